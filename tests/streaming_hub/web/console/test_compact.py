"""Modules lose their comments and needless spaces, and nothing else."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from streaming_hub import resources
from streaming_hub.web.console.compact import compact
from tests.packages.node import PACKAGE, npm

if TYPE_CHECKING:
    from pathlib import Path

STYLES = sorted(resources.console("static").rglob("*.css"))
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
    ],
)
def test_only_comments_with_lines_of_their_own_go(source: str, left: str) -> None:
    assert re.sub(" ", "", compact(source)) == re.sub(" ", "", left)


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("if (a === 'x : y') return { b, c: [1, 2] };", "if(a==='x : y')return{b,c:[1,2]};"),
        ("const f = async (x) => x ?? y || -z + +a;", "const f=async(x)=>x??y||-z + +a;"),
        ("const t = `a : ${b}`;", "const t = `a : ${b}`;"),
        ("const r = /a , b/.test(c);", "const r = /a , b/.test(c);"),
        ("import { a } from './b.js';", "import{a}from './b.js';"),
    ],
)
def test_spaces_that_mean_nothing_go(source: str, left: str) -> None:
    assert compact(source) == left


def test_styles_lose_theirs() -> None:
    assert (
        compact("/* Why. */\na > b, c :d { e: f(1px + 2px, g); }\n", is_style=True)
        == "\na > b,c :d{e:f(1px + 2px,g);}\n"
    )
    assert compact("a { --b: 1px, 2px; c: d; }", is_style=True) == "a { --b: 1px, 2px; c: d; }"


@pytest.mark.npm
@pytest.mark.parametrize("path", [*FILES, *STYLES], ids=lambda path: path.name)
def test_a_compiler_reads_the_same(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    left = compact(source, is_style=path.suffix == ".css")
    assert compiled(left, path.suffix[1:]) == compiled(source, path.suffix[1:])


def compiled(source: str, loader: str) -> str:
    """Return what esbuild makes of a module or a style sheet.

    Raises:
        AssertionError: it cannot read it; the message says why.
    """
    esbuild = PACKAGE / "node_modules/.bin/esbuild"
    if not esbuild.exists():
        npm("ci", cwd=PACKAGE)
    ran = subprocess.run(
        [esbuild, "--minify-whitespace", f"--loader={loader}"],
        input=source,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


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
        # Of a comment nothing is left, of anything else all but spaces.
        assert re.sub(r"\s", "", line) in ("", re.sub(r"\s", "", lines[number]))
