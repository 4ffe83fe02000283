"""Which web origins may read responses, by flask-cors. `streaming_hub.access.origin` decides what is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Response, request
from flask_cors import CORS

from streaming_hub.access.origin import NULL_ORIGIN, listed_patterns
from streaming_hub.web.declared import guarded

if TYPE_CHECKING:
    import re

    from flask import Flask

    from streaming_hub.services import Services

ALLOW_HEADERS: Final = [
    "authorization",
    "baggage",
    "cache-control",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "pragma",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "x-api-key",
    "x-request-id",
    "x-requested-with",
]
"""What the hub reads, and what libraries in pages add by themselves: to requests for tracing and against caches."""
EXPOSE_HEADERS: Final = ["retry-after", "www-authenticate"]


def init_app(app: Flask, parts: Services) -> None:
    """Answer preflights and mark answers for listed origins; `null` never for what needs `operate`."""
    common: dict[str, Any] = {
        "allow_headers": ALLOW_HEADERS,
        "expose_headers": EXPOSE_HEADERS,
        "methods": ["GET", "HEAD", "POST", "DELETE", "OPTIONS"],
        "vary_header": True,
        # The default is any local page; with a proxy's cookies come only those that the operator named.
        "supports_credentials": parts.settings.cors_origins is not None,
        "max_age": 600,
    }
    by_path: dict[str | re.Pattern[str], dict[str, Any]] = {
        path: {"origins": _listed(parts, operate=operate), **common}
        for path, operate in ((guarded(), True), (r"/api/.*", False))
    }
    CORS(app, resources=by_path, intercept_exceptions=False)
    mark = app.after_request_funcs[None].pop()

    def mark_for_browsers(answer: Response) -> Response:
        # Only browsers send an Origin; others would pay for a look at the rules.
        if "HTTP_ORIGIN" in request.environ:
            answer = mark(answer)  # type: ignore[assignment] # Flask allows async hooks; flask-cors has none
            if request.environ["HTTP_ORIGIN"] == NULL_ORIGIN:
                # A page from disk, but any site's sandboxed frame, too: never with the cookies of a proxy in between.
                answer.headers.pop("Access-Control-Allow-Credentials", None)
        # Also where the origin is not listed: a cache must not hand that answer to another origin.
        answer.headers["Vary"] = "Origin"
        return answer

    app.after_request(mark_for_browsers)


def _listed(parts: Services, *, operate: bool) -> list[re.Pattern[str]]:
    return listed_patterns(
        parts.settings.cors_origins, all_open=parts.authenticator.all_open, operate=operate
    )
