"""The documents say what the code does: settings, endpoints, events, tests, commands, links."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
import pytest

from docs.tools import make_modules, make_settings
from flask_server import create_app
from streaming_hub.access import JOIN
from streaming_hub.events import posted, types
from streaming_hub.settings import AGENT_TABLE, TABLE, Settings
from streaming_hub.web.declared import DECLARED
from tests.structure.sources import ROOT, modules

if TYPE_CHECKING:
    from pathlib import Path

DOCS = ROOT / "docs"


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def documents() -> list[Path]:
    """Every document under version control (or about to be)."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    found = [ROOT / name for name in listed if (ROOT / name).is_file()]
    return found or sorted(ROOT.glob("*.md")) + sorted(DOCS.rglob("*.md"))


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL))


# Settings


def test_every_setting_is_documented() -> None:
    text = read(DOCS / "reference" / "settings.md")
    known = {setting.name for setting in TABLE} | set(AGENT_TABLE)
    missing = {name for name in known if f"| `{name}` |" not in text}
    assert missing == set()


def test_every_variable_in_the_code_is_documented() -> None:
    text = read(DOCS / "reference" / "settings.md")
    used = set()
    for path in modules("streaming_hub", "agent"):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used |= set(re.findall(r"\b(?:STREAM|AGENT|LIVEKIT|OPENAI)_[A-Z]+(?:_[A-Z]+)*\b", node.value))
    documented = {name for name in used if f"`{name}`" in text}
    assert used - documented - {"AGENT_TABLE"} == set()


def test_every_setting_that_the_agent_reads_is_listed_by_help() -> None:
    read_by_agent = {
        name for path in modules("agent") for name in re.findall(r"""["'](AGENT_[A-Z_]+)["']""", read(path))
    }
    set_by_hub = {"AGENT_CONTROL_FD", "AGENT_MODE", "AGENT_ROOM", "AGENT_SPOOL_DIR", "AGENT_SUPERVISED"}
    assert read_by_agent - set_by_hub == set(AGENT_TABLE)


def test_the_tables_of_settings_are_current() -> None:
    assert make_settings.current()[0] == make_settings.current()[1], (
        "run `uv run python -m docs.tools.make_settings`"
    )


def test_the_table_of_modules_is_made_from_their_docstrings() -> None:
    is_there, wanted = make_modules.current()
    assert is_there == wanted, "run `uv run python -m docs.tools.make_modules`"


# Endpoints


def endpoints() -> set[str]:
    """`METHOD /path` of every route, with names for its variable parts as the document has them."""
    app = create_app(Settings(history="memory://"))
    return {
        f"{method} {re.sub(r'<[^>]*id>', 'ID', re.sub(r'<[^>]*name>', 'NAME', rule.rule))}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def documented_endpoints() -> set[str]:
    return set(
        re.findall(r"`((?:GET|POST|PUT|DELETE|PATCH) /[^`\s?]*)`", read(DOCS / "reference" / "http.md"))
    )


def test_every_endpoint_is_documented() -> None:
    assert endpoints() - documented_endpoints() == set()


def test_every_documented_endpoint_exists() -> None:
    assert documented_endpoints() - endpoints() == set()


def test_the_scopes_in_the_table_of_endpoints_are_those_that_are_checked() -> None:
    shown = dict(
        re.findall(
            r"^\| \[`((?:GET|POST|PATCH|DELETE) [^`]+)`\]\S+ \| ([^|]*)\|",
            read(DOCS / "reference" / "http.md"),
            re.M,
        )
    )
    named = {key: re.sub(r"<(?:path:)?\w+>", "NAME", " ".join(key)) for key in DECLARED}
    scopes = {one: DECLARED[key].scope for key, one in named.items()}
    found = {re.sub(r"/ID\b", "/NAME", one): words.strip() for one, words in shown.items()}
    assert len(found) > 20
    for one, words in found.items():
        assert words.startswith(scopes[one] or "") or scopes[one] == JOIN, (
            f"{one}: {words!r}, not {scopes[one]!r}"
        )
        assert bool(scopes[one]) == (words != "" and "signature" not in words), one


# Events


def documented_events() -> dict[str, str]:
    """Type -> its section of docs/reference/events.md."""
    parts = re.split(r"^### `([^`]+)`\n", read(DOCS / "reference" / "events.md"), flags=re.MULTILINE)
    return {
        kind: re.split(r"^## ", text, flags=re.MULTILINE)[0]
        for kind, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def posted_by_the_project() -> set[str]:
    """Every event type that hub, agent or client makes: what stands where a type does."""
    found: set[str] = set()
    for path in modules("streaming_hub", "agent", "packages/python/src"):
        if path.parent.name == "openapi":  # where a `type` is one of JSON Schema's
            continue
        for node in ast.walk(ast.parse(read(path))):
            found |= _types(node)
    return found


def _types(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Dict):
        return {
            value.value
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
            and key.value == "type"
            and isinstance(value, ast.Constant)
            and isinstance(value.value, str)
            and re.fullmatch(
                r"[a-z_]+(?<!_usage)", value.value
            )  # LiveKit's entries of `usage` have types, too
        } - {"object", "string", "array", "number", "integer", "boolean", "null"}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "event":
        first = node.args[0] if node.args else None
        return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()
    return set()


def test_every_event_type_is_documented_and_no_other() -> None:
    documented = set(documented_events())
    assert set(types.TYPES) - documented == set(), (
        "in streaming_hub/events/types, without a section in docs/reference/events.md"
    )
    made = posted_by_the_project()
    assert {"transcript", "connected", "heartbeat"} <= made
    assert made - documented == set(), "made somewhere, not in docs/reference/events.md"
    assert documented - made - set(types.TYPES) == set(), "in docs/reference/events.md, made nowhere"


@pytest.mark.parametrize("kind", sorted(documented_events()))
def test_an_events_section_is_right(kind: str) -> None:
    text = documented_events()[kind]
    assert text.strip().startswith(f"Seen by: {types.TYPES[kind].view}.")
    examples = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    assert examples, "an example is missing"
    for example in examples:
        fields: dict[str, Any] = json.loads(example)
        assert fields["type"] == kind
        msgspec.convert(fields, types.TYPES[kind])
        if kind not in types.CONTROL_TYPES | types.PROCESS_TYPES:
            assert posted.parse_one(example.encode()).type == kind


@pytest.mark.parametrize("kind", sorted(types.TYPES))
def test_every_field_of_an_event_is_reported(kind: str) -> None:
    text = documented_events()[kind]
    fields = {field["name"] for field in types.own_fields(types.TYPES[kind])}
    assert {name for name in fields if f"`{name}`" not in text and f'"{name}"' not in text} == set()


def test_the_examples_of_http_are_json() -> None:
    for example in re.findall(r"```json\n(.*?)```", read(DOCS / "reference" / "http.md"), flags=re.DOTALL):
        json.loads(example)


# Guarantees


def test_every_test_that_a_document_names_exists() -> None:
    named = 0
    for document in documents():
        for path, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", read(document)):
            named += 1
            assert (ROOT / path).is_file(), f"{document.name} names {path}"
            assert not test or re.search(rf"def {test}\b", read(ROOT / path)), (
                f"{document.name}: {path}::{test}"
            )
    assert named > 20


def test_every_file_that_a_document_names_exists() -> None:
    made_later = {"data/events.db", "examples/own_agent/"}
    for document in documents():
        for name in re.findall(
            r"`((?:streaming_hub|agent|tests|docs|bench|examples)/[\w./-]+)`", read(document)
        ):
            path = ROOT / name
            exists = path.exists() or path.with_suffix(".py").exists()
            assert exists or name in made_later, f"{document.name} names {name}"


# Commands


def commands(document: Path) -> list[list[str]]:
    """The lines of a document's shell blocks, split into words."""
    blocks = re.findall(r"```bash\n(.*?)```", read(document), flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip() and not line.startswith("#")]


def test_the_readme_begins_with_the_two_commands() -> None:
    assert commands(ROOT / "README.md")[:2] == [
        ["uv", "run", "flask_server.py"],
        ["curl", "-X", "POST", "http://127.0.0.1:5000/api/agent/start"],
    ]
    first_block = read(ROOT / "README.md").index("```bash")
    assert read(ROOT / "README.md")[:first_block].count("\n") <= 3


def test_the_programs_that_documents_run_exist() -> None:
    lock = tomllib.loads(read(ROOT / "uv.lock"))
    packages = {package["name"] for package in lock["package"]}
    seen = 0
    for document in documents():
        for words in commands(document):
            if words[:2] == ["uv", "run"] and len(words) > 2:
                seen += 1
                if words[2] == "--env-file":
                    del words[2:4]
                program = words[2]
                if program == "python":
                    assert find_spec(words[4]) is not None, f"{document.name}: {words}"
                else:
                    exists = (ROOT / program).is_file() or program in packages
                    assert exists, f"{document.name}: {words}"
    assert seen > 5


def test_the_check_script_runs_the_readmes_test_command() -> None:
    assert ["uv", "run", "pytest"] in commands(ROOT / "README.md")
    script = read(ROOT / ".ci" / "run")
    assert re.search(r"^tests uv run pytest$", script, flags=re.MULTILINE)
    assert re.search(r"^tests uv run pytest -m page$", script, flags=re.MULTILINE)
    assert re.search(r"^tests uv run pytest -m faults$", script, flags=re.MULTILINE)
    if shutil.which("bash"):
        checked = subprocess.run(
            ["bash", "-n", ".ci/run"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr


# Links


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", read(document), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    links = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")
    for document, target in [
        (one, link) for one in documents() for link in links.findall(without_code(read(one)))
    ]:
        name, _, anchor = unquote(target).partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{document.name} links to {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{document.name} links to {target}"


def test_every_document_is_linked_from_the_readme() -> None:
    readme = read(ROOT / "README.md")
    shelves = ("guides", "reference", "explanation")
    paths = [path.relative_to(ROOT).as_posix() for shelf in shelves for path in (DOCS / shelf).glob("*.md")]
    assert len(paths) > 10
    missing = [path for path in paths if f"({path})" not in readme]
    assert missing == []
