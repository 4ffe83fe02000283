"""The console's modules: their types, their size, and their pure parts' own tests, run by Node.

Each `static/**/NAME.js` with logic of its own has a `js/NAME.test.js` here; what needs a document is tested in
tests/browser/console.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from streaming_hub import resources
from streaming_hub.web.console.pages import sent
from tests.kit.process import ROOT
from tests.packages.node import PACKAGE, node, npm

HERE = Path(__file__).parent
TESTS = sorted(path.name for path in (HERE / "js").glob("*.test.js"))
STATIC = resources.console("static")
MODULES = sorted(STATIC.rglob("*.js"))
MOST_LINES = 400
MOST_BYTES = 200_000
"""All pages together as they are sent, without compression."""
IMPORTED = re.compile(r"""(?:from|import)\s+'([^']+)'""")


def run(command: list[str], cwd: Path) -> None:
    """Run a program that says what is wrong.

    Raises:
        AssertionError: it found something; the message is what it said.
    """
    ran = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("file", TESTS)
def test_with_node(file: str) -> None:
    hook = (HERE / "js" / "resolve.js").as_uri()
    run([node(), "--import", hook, "--test", "--test-reporter=spec", str(HERE / "js" / file)], HERE)


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_types() -> None:
    lock, installed = PACKAGE / "package-lock.json", PACKAGE / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm("ci", cwd=PACKAGE)
    project = ROOT / "streaming_hub/web/console/tsconfig.json"
    run([node(), str(PACKAGE / "node_modules/typescript/bin/tsc"), "-p", str(project)], ROOT)


def test_modules_are_short() -> None:
    long = {path.name for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES}
    assert long == set()


def test_every_import_leads_to_a_file() -> None:
    for path in MODULES:
        for name in IMPORTED.findall(path.read_text(encoding="utf-8")):
            client = name.removeprefix("/console/client/")
            found = (path.parent / name) if client == name else (resources.js_client() / client)
            assert found.is_file(), f"{path.relative_to(STATIC)} imports {name}"


def test_all_pages_together_are_small() -> None:
    files = [
        *(path for path in STATIC.rglob("*") if path.is_file()),
        *resources.console("templates").rglob("*.html"),
        *(resources.js_client() / name for name in client_modules()),
    ]
    assert sum(len(sent(path)) for path in files) <= MOST_BYTES


def client_modules() -> set[str]:
    """Return the client's modules that the console's load, directly or indirectly."""
    found: set[str] = set()
    wanted = [
        name.removeprefix("/console/client/")
        for path in MODULES
        for name in IMPORTED.findall(path.read_text(encoding="utf-8"))
        if name.startswith("/console/client/")
    ]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            text = (resources.js_client() / name).read_text(encoding="utf-8")
            wanted += [one.removeprefix("./") for one in IMPORTED.findall(text) if one.startswith("./")]
    return found
