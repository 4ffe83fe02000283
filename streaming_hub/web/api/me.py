"""`GET /api/me`: what a caller may do and see."""

from __future__ import annotations

from flask import Blueprint, Response, request

from streaming_hub.access import HUB_SCOPES, SUBSCRIBE
from streaming_hub.web import answers, callers, query
from streaming_hub.web.about import ARCHIVE, About, ok
from streaming_hub.web.api import archived
from streaming_hub.web.api.answer_types import Me
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("me", __name__)


@endpoint(
    blueprint,
    "GET",
    "/api/me",
    scope=SUBSCRIBE,
    about=lambda: About(
        group=ARCHIVE,
        summary="What the caller may do and see",
        answers=ok(Me, {"scopes": ["subscribe"], "view": "viewer", "rooms": ["support-7"]}),
    ),
)
def me() -> Response:
    """Return what the caller may do and see."""
    grant = callers.grant()
    query.only(request.args, ())
    body: Me = {
        "scopes": sorted(grant.scopes & HUB_SCOPES),
        "view": grant.view,
        "rooms": archived.rooms_of(grant),
    }
    return answers.json(body)
