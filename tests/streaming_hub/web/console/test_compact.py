"""What is sent of the console's files is smaller, and means the same."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from streaming_hub import resources
from streaming_hub.web.console.compact import compact
from tests.packages.node import PACKAGE, node, npm

if TYPE_CHECKING:
    from pathlib import Path

MODULES = sorted([*resources.console("static").rglob("*.js"), *resources.js_client().glob("*.js")])
STYLES = sorted(resources.console("static").rglob("*.css"))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "suffix", "sent"),
    [
        ("/** A. */\nlet a;\n", ".js", "\nlet a;\n"),
        ("/**\n * A.\n */\nlet a;\n", ".js", "\n\n\nlet a;\n"),
        ("  // Why.\n  let a = b (c) => { d };\n", ".js", "\nlet a=b(c)=>{d};\n"),
        ("let a = /** @type {B} */ (c);", ".js", "let a=(c);"),
        ("let a = 'b = c'; e = f;", ".js", "let a='b = c';e=f;"),
        ("let a = `b = ${c ? `: ${d}` : ''}`;", ".js", "let a = `b = ${c ? `: ${d}` : ''}`;"),
        ("let a = /b , c/.test(d);", ".js", "let a = /b , c/.test(d);"),
        ("let a = b + +c - -d;", ".js", "let a=b + +c - -d;"),
        ("a > b, c :hover { d: e; }\n/* Why. */\n", ".css", "a > b,c :hover{d:e;}\n\n"),
        ('a { content: "b: c"; }', ".css", 'a { content: "b: c"; }'),
        ("<!-- A. -->\n", ".svg", "<!-- A. -->\n"),
    ],
)
def test_only_what_means_nothing_goes(source: str, suffix: str, sent: str) -> None:
    assert compact(source, suffix) == sent


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_literal_spans_lines(path: Path) -> None:
    """Otherwise a line of it could look like a comment."""
    for line in compact(read(path), ".js").splitlines():
        assert len(re.sub(r"\\.", "", line).replace("'`'", "").split("`")) % 2 == 1, line


@pytest.mark.parametrize("path", [*MODULES, *STYLES], ids=lambda path: path.name)
def test_lines_keep_their_numbers(path: Path) -> None:
    assert compact(read(path), path.suffix).count("\n") == read(path).count("\n")


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_what_is_sent_means_the_same() -> None:
    """esbuild makes the same of it as of the sources."""
    lock, installed = PACKAGE / "package-lock.json", PACKAGE / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm("ci", cwd=PACKAGE)
    script = """
        import { transform } from 'esbuild';
        let text = '';
        for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
        const wrong = [];
        for (const [name, loader, ...both] of JSON.parse(text)) {
            const [one, other] = await Promise.all(both.map((source) => transform(source, { loader, minify: true })));
            if (one.code !== other.code) wrong.push(name);
        }
        console.log(JSON.stringify(wrong));
    """
    files = [
        [path.name, path.suffix[1:], read(path), compact(read(path), path.suffix)]
        for path in [*MODULES, *STYLES]
    ]
    ran = subprocess.run(
        [node(), "--input-type=module", "-e", script],
        cwd=PACKAGE,
        input=json.dumps(files),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "[]", "")
