"""Where the files are that the hub serves. The only module that derives a path from a source file's position."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent


def console(folder: str) -> Path:
    """Return a folder of the console's files.

    Args:
        folder: `static` or `templates`.
    """
    return _PACKAGE / "web" / "console" / folder


def js_client() -> Path:
    """Return the folder of the JavaScript client's modules, which the console loads."""
    return _PACKAGE.parent / "packages" / "js" / "src"


def import_path() -> str:
    """Return the folder from which a child process imports `streaming_hub`."""
    return str(_PACKAGE.parent)
