"""Paths of the files that the hub serves. The only module that derives a path from `__file__`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_BESIDE: Final = _PACKAGE.parent
"""The project's directory; of an installed package, the directory that all packages lie in."""
_BUNDLED: Final = _PACKAGE / "bundled"
"""What the wheel brings along from other directories of the project (pyproject.toml)."""


def live_page() -> Path:
    """Return the live page, stream-test.html."""
    return _bundled("stream-test.html", _BESIDE / "stream-test.html")


def api_style() -> Path:
    """Return the style sheet of the API's description."""
    return _PACKAGE / "web" / "openapi" / "page.css"


def console(folder: str) -> Path:
    """Return a directory of the console's files.

    Args:
        folder: `static` or `templates`.
    """
    return _PACKAGE / "web" / "console" / folder


def js_client() -> Path:
    """Return the directory of the JavaScript client's modules, which the console loads."""
    return _bundled("js", _BESIDE / "packages" / "js" / "src")


def agent_package() -> str:
    """Return the name under which the agent is imported: another one where it is installed from the wheel."""
    installed = "streaming_hub_agent"
    return installed if (_BESIDE / installed).is_dir() else "agent"


def import_path() -> str:
    """Return the directory from which a child process imports `streaming_hub`."""
    return str(_BESIDE)


def _bundled(name: str, in_project: Path) -> Path:
    bundled = _BUNDLED / name
    return bundled if bundled.exists() else in_project
