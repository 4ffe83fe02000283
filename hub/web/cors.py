"""Which web origins may read answers, by flask-cors. What counts as listed is decided in hub.origin as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Response, request
from flask_cors import CORS

from hub.settings import LOOPBACK_ORIGIN

if TYPE_CHECKING:
    import re

    from flask import Flask

    from hub.web.services import Services

ALLOW_HEADERS: Final = [
    "authorization",
    "cache-control",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "x-api-key",
]
EXPOSE_HEADERS: Final = ["retry-after", "www-authenticate"]
OPERATE_PATHS: Final = r"/api/(agent/(start|stop|status)|sessions/.*|rooms/.*/events|token)"


def init_app(app: Flask, parts: Services) -> None:
    """Answer preflights and mark answers for listed origins; `null` never for what needs `operate`."""
    listed: list[str | re.Pattern[str]] = list(parts.settings.cors_origins or [LOOPBACK_ORIGIN])
    if parts.settings.cors_origins is None and parts.authenticator.all_open:
        listed.append("null")
    if not parts.authenticator.all_open:
        listed = [origin for origin in listed if origin != "null"]
    for_operators = [origin for origin in listed if origin != "null"]
    common: dict[str, Any] = {
        "allow_headers": ALLOW_HEADERS,
        "expose_headers": EXPOSE_HEADERS,
        "methods": ["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
        "vary_header": True,
        "max_age": 600,
    }
    by_path: dict[str | re.Pattern[str], dict[str, Any]] = {
        OPERATE_PATHS: {"origins": for_operators, **common},
        r"/api/.*": {"origins": listed, **common},
    }
    CORS(app, resources=by_path, intercept_exceptions=False)
    mark = app.after_request_funcs[None].pop()

    def mark_for_browsers(answer: Response) -> Response:
        # Only browsers send an Origin; a publisher would pay for a look at the rules with every event.
        if "HTTP_ORIGIN" in request.environ:
            return mark(answer)  # type: ignore[return-value] # Flask allows async hooks; flask-cors has none
        answer.headers["Vary"] = "Origin"
        return answer

    app.after_request(mark_for_browsers)
