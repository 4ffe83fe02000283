"""`POST /api/agent/lease`: agents that the hub did not start renew the leases of their sessions."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from flask import Blueprint, Response

from streaming_hub.access import PUBLISH, require_room
from streaming_hub.agents.leases import DEFAULT_LEASE, MAX_LEASE, MIN_LEASE
from streaming_hub.events.posted import NAME_PATTERN
from streaming_hub.web import answers, callers
from streaming_hub.web.about import PUBLISHING, About, json, ok
from streaming_hub.web.api.answer_types import Lease
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("lease", __name__)

MAX_SESSIONS: Final = 1000
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024, pattern=NAME_PATTERN)]


class Held(msgspec.Struct):
    """One live session, and its room."""

    session_id: Name
    room: Name | None = None


class LeaseRequest(msgspec.Struct):
    """The body.

    Attributes:
        sessions: the live ones.
        lease: seconds until they count as dead unless renewed.
    """

    sessions: Annotated[list[Held], msgspec.Meta(max_length=MAX_SESSIONS)] = []
    lease: Annotated[float, msgspec.Meta(ge=MIN_LEASE, le=MAX_LEASE)] = DEFAULT_LEASE


@endpoint(
    blueprint,
    "POST",
    "/api/agent/lease",
    scope=PUBLISH,
    about=lambda: About(
        group=PUBLISHING,
        summary="Renew the leases of sessions",
        text="For agents that the hub did not start. The hub ends a session whose lease expires.",
        body=(json(LeaseRequest, {"sessions": [{"session_id": "d74c", "room": "support-7"}], "lease": 15}),),
        answers=ok(Lease, {"status": "ok", "ended": []}),
    ),
)
def renew() -> Response:
    """Renew leases; return which of the sessions have already ended."""
    grant = callers.grant()
    asked = answers.body(LeaseRequest)
    if grant.rooms is not None:
        for held in asked.sessions:
            require_room(grant, held.room)
    over = services().sessions.renew([(held.session_id, held.room) for held in asked.sessions], asked.lease)
    body: Lease = {"status": "ok", "ended": over}
    return answers.json(body)
