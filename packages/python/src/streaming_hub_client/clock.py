"""A clock that keeps counting while the machine sleeps, to notice connections that died meanwhile.

`time.monotonic` stops during sleep on Linux and macOS, but not on Windows.
"""

from __future__ import annotations

import time
from typing import Any

# Linux: CLOCK_BOOTTIME. On macOS CLOCK_MONOTONIC counts sleep, though `time.monotonic` does not.
_NAMES = ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC")
_CLOCK: Any = next((getattr(time, name) for name in _NAMES if hasattr(time, name)), None)


def seconds() -> float:
    """Return seconds since some moment in the past; never goes backwards."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
