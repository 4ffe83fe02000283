"""A fast path for the two most frequent requests: publishing events, and opening a stream.

Flask's routing and request context cost more than storing an event or opening a stream. If the hub's own server has
read the request within its limits, and no browser of another origin needs CORS headers, these two bypass Flask and call
the same functions as its views. Every other request, and every error, goes through Flask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streaming_hub.server.environ import BODY_KEY
from streaming_hub.web import answers, callers
from streaming_hub.web.declared import DECLARED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication

    from streaming_hub.services import Services

    Serve = Callable[[Services, dict[str, Any]], answers.Plain]


class Shortcut:
    """WSGI middleware in front of Flask.

    Args:
        application: Flask's own WSGI application.
        parts: the hub's services.
    """

    def __init__(self, application: WSGIApplication, parts: Services) -> None:
        self._application = application
        self._parts = parts
        self._routes: dict[tuple[str, str], Serve] = {
            key: one.serve for key, one in DECLARED.items() if one.serve is not None
        }

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        serve = self._routes.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if serve is not None and BODY_KEY in environ and "HTTP_ORIGIN" not in environ:
            try:
                callers.check_browser_rules(self._parts, environ)
                headers, body = serve(self._parts, environ)
            except Exception as error:  # noqa: BLE001 - not swallowed: Flask's view raises it again
                environ[answers.ERROR_KEY] = error
            else:
                start_response("200 OK", list(headers))
                return body
        return self._application(environ, start_response)
