"""The endpoints about the server itself, and its pages."""

from __future__ import annotations

import re
from typing import Final

from streaming_hub.errors import NotFound
from streaming_hub.web.api.answer_types import Health
from streaming_hub.web.console.pages import PAGES
from streaming_hub.web.openapi.endpoint import (
    JSON,
    Answer,
    Content,
    Endpoint,
    Parameter,
    ok,
)

GROUP: Final = "Server"

_HEALTH: Final = {"status": "ok", "version": "0.1.0", "clients": 3, "archive": "ok", "uptime": 127.4}
_METRICS: Final = "# TYPE hub_clients gauge\nhub_clients 3.0\n"


def _page(path: str, summary: str, *parameters: Parameter) -> Endpoint:
    html = Content("text/html", ({"type": "string"},), {"Example": "<!doctype html>"})
    return Endpoint(
        method="GET",
        path=path,
        group=GROUP,
        summary=summary,
        parameters=parameters,
        answers=(Answer(200, "The page.", (html,)),),
    )


def _files(path: str, summary: str) -> Endpoint:
    file = Content("text/javascript", ({"type": "string"},), {"Example": "export const one = 1;"})
    return Endpoint(
        method="GET",
        path=path,
        group=GROUP,
        summary=summary,
        parameters=(_named("name", "index.js"),),
        answers=(Answer(200, "The file; style sheets as `text/css`, pictures as `image/svg+xml`.", (file,)),),
        errors=(NotFound,),
    )


def _named(name: str, example: str) -> Parameter:
    return Parameter(
        name, "path", {"type": "string", "pattern": "^[^\\r\\n\\x00]+$"}, "As it is called.", example
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/api/health",
        group=GROUP,
        summary="Does the server take requests?",
        answers=(
            *ok(Health, _HEALTH, "It does."),
            Answer(
                503, "It stops.", (Content(JSON, (Health,), {"Example": {**_HEALTH, "status": "draining"}}),)
            ),
        ),
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        group=GROUP,
        summary="Figures for Prometheus",
        text="In Prometheus's text format, or in OpenMetrics where `Accept` asks for it.",
        answers=(
            Answer(
                200,
                "The figures.",
                (
                    Content("text/plain", ({"type": "string"},), {"Example": _METRICS}),
                    Content(
                        "application/openmetrics-text",
                        ({"type": "string"},),
                        {"Example": _METRICS + "# EOF\n"},
                    ),
                ),
            ),
        ),
    ),
    Endpoint(
        method="GET",
        path="/openapi.json",
        group=GROUP,
        summary="This description",
        answers=(
            Answer(
                200,
                "OpenAPI 3.1.",
                (Content(JSON, ({"type": "object"},), {"Example": {"openapi": "3.1.0"}}),),
            ),
        ),
    ),
    Endpoint(
        method="GET",
        path="/vendor/livekit-client.js",
        group=GROUP,
        summary="LiveKit's client, for the live page's Talk",
        text="From the npm package that the operator has installed.",
        answers=(
            Answer(
                200,
                "The script.",
                (Content("text/javascript", ({"type": "string"},), {"Example": "/* livekit-client */"}),),
            ),
        ),
        errors=(NotFound,),
    ),
    _page("/docs", "This description as a page"),
    _page("/", "The live page"),
    _page("/stream-test.html", "The live page, as the file is called"),
    *(
        _page(
            page.path,
            page.summary,
            *(_named(name, "d74c") for name in re.findall(r"<path:(\w+)>", page.path)),
        )
        for page in PAGES
    ),
    _files("/console/static/<path:name>", "The console's modules and styles"),
    _files("/console/client/<path:name>", "The JavaScript client's modules, as the console loads them"),
)
