"""Node and the npm package under test."""

from __future__ import annotations

import shutil

import pytest

from tests.browser.hub_process import ROOT

PACKAGE = ROOT / "packages/js"
VECTORS = ROOT / "tests/vectors"


def node() -> str:
    """Return the path of Node; skip the test where there is none."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("nodejs is not on PATH (Debian: apt-get install nodejs)")
    return found
