"""Each module has a test file of its own, or a reason why not; each file opens by saying what it is for."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.structure.sources import ROOT, modules, name_of

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = modules("streaming_hub", "agent", "flask_server.py", "packages/python/src")
TESTS = modules("tests")

ELSEWHERE: dict[str, str] = {
    "streaming_hub_client.heard": "tests/packages/python/test_live_sessions.py",
    "agent.session": "tests/agent/test_rooms.py",  # where it is held against the stub of the models
    "streaming_hub_client.user_words": "tests/packages/python/test_live_sessions.py",
    "streaming_hub_client.words": "tests/packages/python/test_attachment.py",  # where it stands in LiveKit's chain
    "agent.worker": "tests/agent/test_service.py",  # which starts it as the hub does
    "streaming_hub.command": "tests/test_flask_server.py",
    "streaming_hub.stream.counters": "tests/streaming_hub/web/api/test_metrics.py",  # where they are read
    "streaming_hub.stream.pages": "tests/streaming_hub/stream/test_hub.py",  # which it was a part of
    "streaming_hub_client.file_lock": "tests/packages/python/test_spool.py",  # which runs with either lock
    "streaming_hub.rooms.facts": "tests/streaming_hub/rooms/test_state.py",  # which reads what it keeps
    "streaming_hub.events.types.snapshot": "tests/streaming_hub/web/openapi/test_document.py",
    "streaming_hub.agents.session_watch": "tests/streaming_hub/web/api/test_leases.py",
    "streaming_hub.settings.values": "tests/streaming_hub/settings/test_settings.py",
    "streaming_hub.web.api.agent": "tests/browser/test_whole_path.py",
    "streaming_hub.web.api.answer_types": "tests/streaming_hub/web/openapi/test_document.py",
    "streaming_hub.web.answers": "tests/streaming_hub/web/api/test_publish.py",  # every error is a problem
    "streaming_hub.web.headers": "tests/streaming_hub/web/test_callers.py",
    "streaming_hub.web.console.live": "tests/streaming_hub/web/test_callers.py",
    "streaming_hub.web.api.publish": "tests/streaming_hub/web/api/test_publish.py",
    "streaming_hub.web.query": "tests/streaming_hub/web/api/test_rooms.py",
    "streaming_hub.services": "tests/streaming_hub/agents/test_spool_folder.py",
    "streaming_hub.web.shortcut": "tests/streaming_hub/web/test_guide.py",
    "streaming_hub.web.console.vendor": "tests/livekit/test_talk.py",
    "streaming_hub.agents.output": "tests/streaming_hub/agents/test_states.py",
    "streaming_hub.agents.report": "tests/streaming_hub/agents/test_supervisor.py",
    "streaming_hub.events.stored": "tests/streaming_hub/history/test_history.py",
    **{
        f"streaming_hub.web.openapi.{name}": "tests/streaming_hub/web/openapi/test_document.py"
        for name in (
            "agents",
            "archive",
            "describe",
            "endpoint",
            "livekit",
            "page",
            "publishing",
            "reading",
            "schemas",
            "server",
        )
    },
    "streaming_hub.archive.process": "tests/streaming_hub/archive/test_feed.py",
    "streaming_hub.archive.worker": "tests/streaming_hub/archive/test_feed.py",
    "streaming_hub.archive.wire": "tests/streaming_hub/archive/test_feed.py",
    "streaming_hub.archive.reduce": "tests/streaming_hub/archive/test_vectors.py",
    "streaming_hub.archive.words": "tests/streaming_hub/archive/test_vectors.py",
    "streaming_hub.archive.spoken": "tests/streaming_hub/archive/test_queries.py",
    "streaming_hub.archive.views": "tests/streaming_hub/archive/test_queries.py",
    "streaming_hub.archive.tables": "tests/streaming_hub/archive/test_schema.py",
    "streaming_hub.archive.migrations": "tests/streaming_hub/archive/test_database.py",
    "streaming_hub.archive.migrations.env": "tests/streaming_hub/archive/test_database.py",
    "streaming_hub.archive.migrations.versions.0001_baseline": "tests/streaming_hub/archive/test_database.py",
    "streaming_hub.archive.migrations.versions.0002_stored_statistics": "tests/streaming_hub/archive/test_database.py",
    "streaming_hub.outlets.exports.captions": "tests/streaming_hub/outlets/test_exports.py",
    "streaming_hub.outlets.exports.documents": "tests/streaming_hub/outlets/test_exports.py",
    "streaming_hub.outlets.exports.speaker": "tests/streaming_hub/outlets/test_exports.py",
    "streaming_hub.web.api.archived": "tests/streaming_hub/web/api/test_sessions.py",
    "streaming_hub.web.paths": "tests/streaming_hub/web/api/test_sessions.py",
}
"""Modules without a test file of their own -> the file that tests them."""

NOTHING_TO_TEST: dict[str, str] = {
    "streaming_hub.server.environ": "two names",
    "streaming_hub.stream.pauses": "one number",
}
"""Modules without any code of their own -> what they are."""

MOST_LINES = 600


def candidates(module: str) -> set[str]:
    """The names that a module's test file may have: its own with or without its packages, or a whole package's."""
    parts = module.split(".")[1:] or [module]
    runs = {
        tuple(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1)
    }
    return {f"test_{'_'.join(run)}" for run in runs}


def with_helpers(path: Path) -> list[str]:
    """The text of a test file, and of the helpers among the tests that it imports."""
    text = path.read_text(encoding="utf-8")
    imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    return [text, *(one.read_text(encoding="utf-8") for one in TESTS if name_of(one) in imported)]


@pytest.mark.parametrize("module", [name_of(path) for path in SHIPPED if path.name != "__init__.py"])
def test_every_module_has_a_test_file(module: str) -> None:
    if module in ELSEWHERE:
        named = re.compile(rf"\b{re.escape(module)}\b|\b{re.escape(module.replace('.', '/'))}\.py\b")
        assert any(named.search(text) for text in with_helpers(ROOT / ELSEWHERE[module])), (
            f"{ELSEWHERE[module]} neither imports nor names {module}: say in its docstring that it covers it"
        )
    elif module not in NOTHING_TO_TEST:
        wanted = candidates(module)
        found = [
            path
            for path in TESTS
            if any(path.stem == name or path.stem.startswith(f"{name}_") for name in wanted)
        ]
        assert found, f"no test file for {module}: one of {sorted(wanted)}, or a line in {__name__}"


def test_the_lists_name_modules_that_exist() -> None:
    existing = {name_of(path) for path in SHIPPED}
    assert set(ELSEWHERE) | set(NOTHING_TO_TEST) <= existing


@pytest.mark.parametrize("module", [name_of(path) for path in SHIPPED])
def test_every_module_says_what_it_is_for(module: str) -> None:
    path = next(path for path in SHIPPED if name_of(path) == module)
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{module} has no docstring"
    assert text.count("\n") <= MOST_LINES, f"{module} has more than {MOST_LINES} lines"


def test_nothing_is_left_to_do_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    here = ROOT / "tests" / "structure"
    files = [path for path in (*SHIPPED, *TESTS) if here not in path.parents]
    assert [str(path) for path in files if marks.search(path.read_text(encoding="utf-8"))] == []


def test_no_error_is_swallowed_without_a_word() -> None:
    for path in SHIPPED:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                silent = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
                assert not silent, f"{name_of(path)}:{node.lineno}"
