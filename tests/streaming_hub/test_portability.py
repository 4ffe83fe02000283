"""The switch that hides Linux-only features."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import select
from streaming_hub import portability
print(portability.FORCED, portability.extra(select, "poll") is not None, portability.proc())
"""


def told(value: str | None) -> list[str]:
    environ = {name: text for name, text in os.environ.items() if name != "HUB_PORTABLE"}
    if value is not None:
        environ["HUB_PORTABLE"] = value
    return subprocess.check_output([sys.executable, "-c", PROGRAM], env=environ, text=True).split()


@pytest.mark.parametrize("value", [None, "", "0"])
def test_off_it_shows_what_the_system_has(value: str | None) -> None:
    proc = "/proc" if Path("/proc/self/fd").exists() else "None"
    assert told(value) == ["False", str(hasattr(select, "poll")), proc]


def test_on_it_hides_all_of_it() -> None:
    assert told("1") == ["True", "False", "None"]
