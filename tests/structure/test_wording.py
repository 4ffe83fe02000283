"""Documents, messages, docstrings and comments are in plain English, without phrases that read like a translation."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from typing import TYPE_CHECKING

from tests.structure.sources import ROOT, modules, name_of
from tests.structure.test_docs import documents, read, without_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

SHIPPED = modules("streaming_hub", "agent", "flask_server.py", "packages/python/src")
OTHERS = modules("tests", "examples", "bench")
DIALOGUE = ("streaming_hub.demo.scenes",)
"""Modules whose texts are what people say."""
SCRIPTS = sorted(
    path
    for folder in ("packages/js/src", "streaming_hub/web/console/static")
    for path in (ROOT / folder).rglob("*.js")
)

DROPPED = (
    r"\bwho(?:ever| was away| takes| hung up| is absent| comes later)\b",
    r"\b(?:some|no)body(?:'s)?\b",
    r"\b(?:is|are) told\b",
    r"\bbe it\b",
    r"\bfor ever\b",
    r"\bby way of\b",
    r"\bgoes on\b",
    r"\bfrom so many\b",
    r"\bso many (?:bytes|times|seconds|of)\b",
    r"\btell whether\b",
    r"\btake(?:s|n)? note\b",
    r"\bof theirs\b",
    r"\banew\b",
    r"\bis no (?:more|longer any)\b",
    r"\bwatching over agents\b",
    r"\bbegin so are ours\b",
    r"\bbeats hearts\b",
    r"\bsends for the agent\b",
    r"\bit comes to every new room\b",
)
"""Phrases that read like a translation and that plain English does not need."""


def dropped(text: str) -> list[str]:
    plain = " ".join(without_code(text).split())
    return [found[0] for phrase in DROPPED for found in re.finditer(phrase, plain, flags=re.IGNORECASE)]


def prose(source: str, *, messages: bool) -> Iterator[str]:
    """Yield the docstrings of a module and its comments, and with `messages` every other string of several words."""
    tree = ast.parse(source)
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list)]
    documented = {id(one.value) for body in bodies for one in body if isinstance(one, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) in documented or (messages and node.value.count(" ") > 1):
            yield node.value
    comments = [
        token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    # A sentence may span several of them.
    yield " ".join(comments)


def remarks(script: str) -> str:
    """Return a script's comments as one text, since a sentence may span several lines of them."""
    found = re.findall(r"/\*(.*?)\*/|(?:^|[;,{}]) *//([^\n]*)", script, flags=re.DOTALL | re.MULTILINE)
    return " ".join(re.sub(r"^ *\* ?", "", "".join(each), flags=re.MULTILINE) for each in found)


def found_in(texts: Callable[[Path], Iterable[str]], paths: Iterable[Path]) -> dict[str, list[str]]:
    """Return the dropped phrases in each file that has some.

    Args:
        texts: the texts of a file.
        paths: the files.
    """
    found = {
        str(path.relative_to(ROOT)): [phrase for text in texts(path) for phrase in dropped(text)]
        for path in paths
    }
    return {name: phrases for name, phrases in found.items() if phrases}


def test_documents_are_in_plain_english() -> None:
    assert found_in(lambda path: [read(path)], documents()) == {}


def test_the_help_is_in_plain_english() -> None:
    ran = subprocess.run(
        [sys.executable, "flask_server.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "STREAM_HISTORY" in ran.stdout
    assert dropped(ran.stdout) == []


def test_modules_are_in_plain_english() -> None:
    def texts(path: Path) -> Iterator[str]:
        return prose(read(path), messages=path in SHIPPED and name_of(path) not in DIALOGUE)

    # The list of phrases is one itself.
    assert found_in(texts, [path for path in SHIPPED + OTHERS if name_of(path) != __name__]) == {}


def test_scripts_are_in_plain_english() -> None:
    assert found_in(lambda path: [remarks(read(path))], SCRIPTS) == {}


def test_a_dropped_phrase_is_found_in_a_scripts_comments() -> None:
    script = "/**\n * A client is\n * told.\n */\nconst nobody = 1; // it goes on\n// for\n// ever"
    assert dropped(remarks(script)) == ["is told", "for ever", "goes on"]


def test_a_dropped_phrase_is_found_across_lines() -> None:
    assert dropped("A client is\ntold how much it missed.") == ["is told"]
    assert dropped("`nobody` is a user's name") == []


def test_a_dropped_phrase_is_found_in_docstrings_comments_and_messages() -> None:
    source = '''
def f():
    """Nobody
    waits."""
    # a client is
    # told
    raise OSError("it goes on and on")
'''
    assert [dropped(text) for text in prose(source, messages=False)] == [["Nobody"], ["is told"]]
    assert [dropped(text) for text in prose(source, messages=True)] == [["Nobody"], ["goes on"], ["is told"]]
