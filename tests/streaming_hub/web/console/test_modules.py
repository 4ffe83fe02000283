"""The console's modules: their types, their size, and their tests, run by Node.

The tests in `js/` mirror `static/`. Modules that need a document are tested in tests/browser/console.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from streaming_hub import resources
from streaming_hub.web.console.pages import PAGES, imports, sent, source_of
from tests.kit.process import ROOT
from tests.packages.node import PACKAGE, install, node

HERE = Path(__file__).parent
TESTS = sorted(str(path.relative_to(HERE / "js")) for path in (HERE / "js").rglob("*.test.js"))
STATIC = resources.console("static")
MOST_LINES = 400
MOST_BYTES = 200_000
"""All pages together as they are sent, without compression."""


def loaded() -> set[Path]:
    """Return the modules that the pages load, directly or indirectly.

    Raises:
        FileNotFoundError: one imports a file that does not exist.
    """
    paths = {path for page in PAGES for path in (f"/console/static/{page.module}", *imports(page.module))}
    return {source_of(path) for path in paths}


def run(command: list[str], cwd: Path) -> None:
    """Run a checker.

    Raises:
        AssertionError: it failed; the message is its output.
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
    install()
    project = ROOT / "streaming_hub/web/console/tsconfig.json"
    run([node(), str(PACKAGE / "node_modules/typescript/bin/tsc"), "-p", str(project)], ROOT)


def test_modules_are_short() -> None:
    long = {path.name for path in STATIC.rglob("*.js") if path.read_text("utf-8").count("\n") > MOST_LINES}
    assert long == set()


def test_a_page_loads_every_module() -> None:
    assert set(STATIC.rglob("*.js")) - loaded() == set()


def test_all_pages_together_are_small() -> None:
    others = [*STATIC.rglob("*.css"), *STATIC.rglob("*.svg"), *resources.console("templates").rglob("*.html")]
    assert sum(len(sent(path)) for path in (*loaded(), *others)) <= MOST_BYTES
