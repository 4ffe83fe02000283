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
from tests.streaming_hub.web.console.test_modules import client_modules

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


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_what_is_sent_is_the_same_program() -> None:
    """Held against a minifier that parses: rjsmin does not, and takes a template within a template for code."""
    if not (PACKAGE / "node_modules/esbuild").exists():
        npm("ci", cwd=PACKAGE)
    script = """
        import { transform } from 'esbuild';
        for await (const chunk of process.stdin.setEncoding('utf8')) globalThis.text = (globalThis.text ?? '') + chunk;
        const options = { minifyWhitespace: true, legalComments: 'none' };
        const different = [];
        for (const [name, source, sent] of JSON.parse(globalThis.text)) {
          const [one, other] = await Promise.all([transform(source, options), transform(sent, options)]);
          if (one.code !== other.code) different.push(name);
        }
        console.log(JSON.stringify(different));
    """
    loaded = [
        *resources.console("static").rglob("*.js"),
        *(resources.js_client() / name for name in client_modules()),
    ]
    sources = [(path.name, path.read_text(encoding="utf-8")) for path in loaded]
    ran = subprocess.run(
        [node(), "--input-type=module", "-e", script],
        cwd=PACKAGE,
        input=json.dumps([(name, source, compact(source, ".js")) for name, source in sources]),
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == []
