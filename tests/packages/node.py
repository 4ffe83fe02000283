"""Node and the npm package under test."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.kit.process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = ROOT / "packages/js"
VECTORS = ROOT / "tests/vectors"


def node() -> str:
    """Return the path of Node; skip the test where there is none."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("nodejs is not on PATH (Debian: apt-get install nodejs)")
    return found


def install() -> None:
    """Install the package's development tools, unless those of its lock file are installed."""
    lock, installed = PACKAGE / "package-lock.json", PACKAGE / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm("ci", cwd=PACKAGE)


def npm(*arguments: str, cwd: Path) -> str:
    """Run npm and return what it printed; skip the test where there is none.

    Raises:
        AssertionError: it failed; the message is its output.
    """
    found = shutil.which("npm")
    if found is None:
        pytest.skip("npm is not on PATH (Debian: apt-get install npm)")
    ran = subprocess.run(
        [found, "--no-audit", "--no-fund", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
