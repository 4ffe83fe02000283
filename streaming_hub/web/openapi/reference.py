"""`/openapi.json` and `/docs`: the API, described. Made when it is first asked for."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from flask import Blueprint, Response

from streaming_hub.web import answers
from streaming_hub.web.about import JSON, SERVER, About, Answer, Content, page
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("reference", __name__)

Scopes = frozenset[str]


@endpoint(
    blueprint,
    "GET",
    "/openapi.json",
    about=lambda: About(
        group=SERVER,
        summary="This description",
        answers=(
            Answer(
                200,
                "OpenAPI 3.1.",
                (Content(JSON, ({"type": "object"},), {"Example": {"openapi": "3.1.0"}}),),
            ),
        ),
    ),
)
def openapi() -> Response:
    """Answer the API's description for programs."""
    return answers.json(_document(services().authenticator.open_scopes))


@endpoint(blueprint, "GET", "/docs", about=lambda: page("This description as a page"))
def docs() -> Response:
    """Answer the API's description for people: one page that loads nothing and runs nothing."""
    parts = services()
    html, policy = _page(parts.authenticator.open_scopes, parts.url)
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    return Response(html, mimetype="text/html", headers=headers)


@cache
def _document(open_scopes: Scopes) -> dict[str, Any]:
    from streaming_hub.web.openapi.describe import (  # noqa: PLC0415 - takes time and memory that most servers never need
        describe,
    )

    return describe(open_scopes)


@cache
def _page(open_scopes: Scopes, base_url: str) -> tuple[str, str]:
    from streaming_hub.web.openapi import page as made  # noqa: PLC0415 - as above

    digest = base64.b64encode(hashlib.sha256(made.STYLE.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return made.page(_document(open_scopes), base_url), policy
