"""The console's pages, and the modules and styles that they load. Reads files of the package only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from flask import Blueprint, send_from_directory

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("console", __name__, url_prefix="/console")

STATIC: Final = Path(__file__).resolve().parent / "static"
MODULES: Final = Path(__file__).resolve().parents[3] / "packages" / "js" / "src"
"""The client that the pages share with everybody else."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blueprint.get("/")
def live() -> Response:
    """Serve the page of all live sessions."""
    answer = send_from_directory(STATIC, "live.html", mimetype="text/html", max_age=0)
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


@blueprint.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """Serve a module or a style sheet."""
    return send_from_directory(STATIC, name, mimetype=_mimetype(name), max_age=0)


@blueprint.get("/client/<path:name>")
def client_module(name: str) -> Response:
    """Serve a module of the JavaScript client."""
    return send_from_directory(MODULES, name, mimetype=_mimetype(name), max_age=0)


def _mimetype(name: str) -> str:
    # The system's own tables differ, and browsers refuse modules of another type.
    return "text/css" if name.endswith(".css") else "text/javascript"
