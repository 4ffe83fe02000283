"""Detects Linux-only features, all in one place so that one switch can hide them.

`HUB_PORTABLE=1` makes a process on Linux take the paths that macOS takes; the tests and CI run both. Reads the
environment once, at import.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import ModuleType

SWITCH: Final = "HUB_PORTABLE"
FORCED: Final = os.environ.get(SWITCH, "") not in ("", "0")
"""Whether Linux's own parts are hidden."""
MACOS: Final = sys.platform == "darwin"


def extra(module: ModuleType, name: str) -> Any:
    """Return a module's attribute that only some systems have; None if it is missing or hidden."""
    return None if FORCED else getattr(module, name, None)


def proc() -> Path | None:
    """Return Linux's directory of processes; None if it is missing or hidden."""
    folder = Path("/proc")
    return folder if not FORCED and (folder / "self" / "fd").exists() else None
