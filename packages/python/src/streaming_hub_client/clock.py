"""A clock that counts on while the machine sleeps, to notice that a connection died meanwhile.

`time.monotonic` stands still then on Linux and macOS, and counts on Windows.
"""

from __future__ import annotations

import time
from typing import Any

# Linux: CLOCK_BOOTTIME. On macOS CLOCK_MONOTONIC counts sleep, though `time.monotonic` does not.
_NAMES = ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC")
_CLOCK: Any = next((getattr(time, name) for name in _NAMES if hasattr(time, name)), None)


def seconds() -> float:
    """Return seconds from some moment in the past; they never go backwards."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
