"""The console: its pages, and the modules and style sheets that they load.

To add a page: a template that extends `frame.html`, a module and a style sheet in `static/`, and a row in `PAGES`.
Pages contain no data; their modules call the API with the user's key.
"""

from __future__ import annotations

import posixpath
import re
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.security import safe_join

from streaming_hub import resources
from streaming_hub.errors import NotFound
from streaming_hub.web import parameters
from streaming_hub.web.about import SERVER, About, Answer, text
from streaming_hub.web.about import page as about_page
from streaming_hub.web.console.compact import compact
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from streaming_hub.web.about import Parameter

blueprint = Blueprint("console", __name__, template_folder=str(resources.console("templates")))


class Page(NamedTuple):
    """A page of the console.

    Attributes:
        path: its route.
        name: of its template, `NAME.html`, and of its module and style sheet, `static/NAME/NAME.js` and `.css`.
        summary: what it shows, for the API's description.
        entry: its name in the navigation; None for a page that others link to.
        operators: whether it requires the scope `operate`.
    """

    path: str
    name: str
    summary: str
    entry: str | None = None
    operators: bool = False

    @property
    def module(self) -> str:
        """Its module in `static/`."""
        return f"{self.name}/{self.name}.js"


PAGES: Final = (
    Page("/console/", "live", "The console: live sessions", "Live"),
    Page("/console/sessions", "sessions", "The console: live and past sessions", "Sessions"),
    Page("/console/sessions/<path:session_id>", "session", "The console: one session"),
    Page("/console/stats", "stats", "The console: figures over time", "Figures"),
    Page(
        "/console/webhooks",
        "webhooks",
        "The console: webhooks and their deliveries",
        "Webhooks",
        operators=True,
    ),
    Page("/console/agent", "agent", "The console: the agent process", "Agent", operators=True),
)
"""In the order of the navigation."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_IMPORT: Final = re.compile(r"^(?:import|export|\}).* from '([^']+)';$", re.MULTILINE)
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Suffix -> media type: the tables of operating systems differ, and browsers refuse modules of another type."""


def show(page: Page, **_names: str) -> Response:
    """Serve a page; its module reads the path's parameters."""
    entries = [one for one in PAGES if one.entry]
    html = render_template(
        f"console/{page.name}.html",
        page=page,
        entries=entries,
        demo=services().settings.demo > 0,
    )
    answer = make_response(compact(html, ".html"))
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Cache-Control"] = "no-cache"
    # Load all modules at once, instead of one round trip per level of imports.
    answer.headers["Link"] = ", ".join(f"<{path}>; rel=modulepreload" for path in imports(page.module))
    return answer


@cache
def imports(module: str) -> tuple[str, ...]:
    """Return the paths of all modules that one in `static/` imports, directly or indirectly."""
    found: dict[str, None] = {}
    wanted = [f"/console/static/{module}"]
    while wanted:
        path = wanted.pop(0)
        if path in found:
            continue
        found[path] = None
        folder = path.rpartition("/")[0]
        names = _IMPORT.findall(source_of(path).read_text(encoding="utf-8"))
        wanted += [posixpath.normpath(posixpath.join(folder, name)) for name in names]
    return tuple(found)[1:]


def source_of(path: str) -> Path:
    """Return the file that is served at a path such as `/console/static/dom.js`."""
    kind, _, name = path.removeprefix("/console/").partition("/")
    return (resources.js_client() if kind == "client" else resources.console(kind)) / name


def _named(name: str, example: str) -> Parameter:
    return parameters.name(name, "Its name.", example)


def _about(page: Page) -> About:
    return about_page(
        page.summary, *(_named(name, "d74c") for name in re.findall(r"<path:(\w+)>", page.path))
    )


def _about_files(summary: str) -> About:
    file = text("text/javascript", "export const one = 1;")
    return About(
        group=SERVER,
        summary=summary,
        parameters=(_named("name", "index.js"),),
        answers=(Answer(200, "The file; style sheets as `text/css`, pictures as `image/svg+xml`.", (file,)),),
    )


def _view(page: Page) -> Any:
    view = partial(show, page)
    view.__doc__ = f"Serve {page.name}.html."
    return view


for _page in PAGES:
    endpoint(blueprint, "GET", _page.path, about=partial(_about, _page))(_view(_page))


@endpoint(
    blueprint,
    "GET",
    "/console/static/<path:name>",
    errors=(NotFound,),
    about=lambda: _about_files("The console's scripts and styles"),
)
def static_file(name: str) -> Response:
    """Serve a module or a style sheet of the console."""
    return _file(resources.console("static"), name)


@endpoint(
    blueprint,
    "GET",
    "/console/client/<path:name>",
    errors=(NotFound,),
    about=lambda: _about_files("The JavaScript client's modules, as the console loads them"),
)
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
    # Revalidated each time (304 if unchanged), so all modules of a page are of one version.
    answer.headers["Cache-Control"] = "no-cache"
    answer.make_conditional(request)
    return answer


@lru_cache(maxsize=200)
def sent(path: Path, _changed: int = 0) -> bytes:
    """Return a file as it is sent to browsers."""
    return compact(path.read_text(encoding="utf-8"), path.suffix).encode()
