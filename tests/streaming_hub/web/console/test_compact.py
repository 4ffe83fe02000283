"""What is sent of the console's files is smaller, and means the same."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from streaming_hub import resources
from streaming_hub.web.console.compact import compact
from tests.packages.node import node

if TYPE_CHECKING:
    from pathlib import Path

MODULES = sorted([*resources.console("static").rglob("*.js"), *resources.js_client().glob("*.js")])


@pytest.mark.parametrize(
    ("source", "suffix", "sent"),
    [
        ("/** A. */\nlet a;\n", ".js", "let a;"),
        ("// Why.\nlet a = 'b  // c';", ".js", "let a='b  // c';"),
        ("let a = `b  ${c}  /* d */`;", ".js", "let a=`b  ${c}  /* d */`;"),
        ("let a = /[/*]  b/.test(c);", ".js", "let a=/[/*]  b/.test(c);"),
        ("/* A. */\na { b: c; }\n", ".css", "a{b:c}"),
        ("<!-- A. -->\n", ".svg", "<!-- A. -->\n"),
    ],
)
def test_only_what_means_nothing_goes(source: str, suffix: str, sent: str) -> None:
    assert compact(source, suffix) == sent


def test_every_module_still_is_one() -> None:
    """All in one run of Node: each is compiled as a module, and none is run."""
    script = """
        import { SourceTextModule } from 'node:vm';
        for await (const chunk of process.stdin.setEncoding('utf8')) globalThis.text = (globalThis.text ?? '') + chunk;
        for (const source of JSON.parse(globalThis.text)) new SourceTextModule(source);
    """
    ran = subprocess.run(
        [node(), "--experimental-vm-modules", "--input-type=module", "-e", script],
        input=json.dumps([compact(path.read_text(encoding="utf-8"), ".js") for path in MODULES]),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_literals_stay(path: Path) -> None:
    """Strings of a module are in what is sent, letter for letter."""
    source = re.sub(
        r"/\*.*?\*/|^\s*//[^\n]*|(?<=[;,{]) //[^\n]*",
        "",
        path.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    sent = compact(path.read_text(encoding="utf-8"), ".js")
    for literal in re.findall(r"'[^'\\\n]*'", source):
        assert literal in sent
