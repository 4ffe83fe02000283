"""Modules lose their comments and indentation, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from streaming_hub import resources
from streaming_hub.web.console.compact import compact

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted([*resources.console("static").rglob("*.js"), *resources.js_client().glob("*.js")])


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("/** A. */\nlet a;\n", "\nlet a;\n"),
        ("/**\n * A.\n */\nlet a;\n", "\n\n\nlet a;\n"),
        ("  // Why.\n  let a;\n", "\nlet a;\n"),
        ("/** @type {A} */ (b).c();\n/** D. */\n", "/** @type {A} */ (b).c();\n\n"),
        ("let a = 1; // One.\n", "let a = 1; // One.\n"),
        ("const a = 'x /* y';\n", "const a = 'x /* y';\n"),
        ("a { b: c; }\n/* Why. */\n", "a { b: c; }\n\n"),
    ],
)
def test_only_comments_with_lines_of_their_own_go(source: str, left: str) -> None:
    assert compact(source) == left


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_literal_spans_lines(path: Path) -> None:
    """Otherwise a line of it could look like a comment."""
    text = compact(path.read_text(encoding="utf-8"))
    for line in text.splitlines():
        assert len(re.sub(r"\\.", "", line).replace("'`'", "").split("`")) % 2 == 1, line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_lines_keep_their_numbers(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for number, line in enumerate(compact(source).splitlines()):
        assert line in ("", lines[number].lstrip())
