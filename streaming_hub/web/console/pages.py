"""The console: its pages, made from one frame, and the modules and styles that they load.

Add a page: a template that extends `frame.html`, a module in `static/`, and a row of `PAGES`. Pages hold no data; their
modules ask the API, with the reader's key.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.security import safe_join

from streaming_hub import resources
from streaming_hub.errors import NotFound
from streaming_hub.web.console.compact import compact
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("console", __name__, template_folder=str(resources.console("templates")))


class Page(NamedTuple):
    """One page of the console.

    Attributes:
        path: its route.
        template: in `templates/console/`.
        summary: what it shows, for the API's description.
        entry: its name in the navigation; None for a page that others link to.
        operators: whether its entry is for operators only.
    """

    path: str
    template: str
    summary: str
    entry: str | None = None
    operators: bool = False


PAGES: Final = (
    Page("/console/", "live.html", "The console: live sessions", "Live"),
    Page("/console/sessions/<path:session_id>", "session.html", "The console: one session"),
)
"""In the order of the navigation."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Suffix -> media type. The system's own tables differ, and browsers refuse modules of another type."""


def show(page: Page, **_names: str) -> Response:
    """Serve a page; names in its path are for its module."""
    entries = [one for one in PAGES if one.entry]
    html = render_template(
        f"console/{page.template}", page=page, entries=entries, demo=services().settings.demo > 0
    )
    answer = make_response(html)
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-cache"
    return answer


def _view(page: Page) -> Any:
    view = partial(show, page)
    view.__doc__ = f"Serve {page.template}."
    return view


for _page in PAGES:
    endpoint(blueprint, "GET", _page.path)(_view(_page))


@endpoint(blueprint, "GET", "/console/static/<path:name>")
def static_file(name: str) -> Response:
    """Serve a module or a style sheet of the console."""
    return _file(resources.console("static"), name)


@endpoint(blueprint, "GET", "/console/client/<path:name>")
def client_module(name: str) -> Response:
    """Serve a module of the JavaScript client."""
    return _file(resources.js_client(), name)


def _file(folder: Path, name: str) -> Response:
    mimetype = next((known for suffix, known in TYPES.items() if name.endswith(suffix)), None)
    found = safe_join(str(folder), name)
    path = folder if found is None else Path(found)
    if mimetype is None or not path.is_file():
        raise NotFound(f"The console has no file {name[:80]!r}.")
    answer = Response(sent(path, path.stat().st_mtime_ns), mimetype=mimetype)
    answer.add_etag()
    # Asked for again each time (304 where it is the same): all modules of a page are of one version.
    answer.headers["Cache-Control"] = "no-cache"
    answer.make_conditional(request)
    return answer


@lru_cache(maxsize=200)
def sent(path: Path, _changed: int = 0) -> bytes:
    """Return a file as browsers get it."""
    text = path.read_text(encoding="utf-8")
    return (compact(text) if path.suffix in (".js", ".css") else text).encode()
