"""What tests ask the system about processes, on Linux and on macOS."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

OPEN_FILES = Path("/dev/fd")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def is_running(pid: int) -> bool:
    """Whether a process lives. A zombie counts as gone: where nothing reaps orphans it stays in the table."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _asked(pid, "stat")[:1] not in ("", "Z")


def memory_of(pid: int) -> int:
    """Resident bytes of a process."""
    return int(_asked(pid, "rss")) * 1024


def open_files() -> int:
    """How many descriptors this process has, and one for asking."""
    return len(list(OPEN_FILES.iterdir()))


def _asked(pid: int, column: str) -> str:
    ran = subprocess.run(
        ["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return ran.stdout.strip()
