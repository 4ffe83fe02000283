"""`GET /api/rooms`: the rooms with stored events, and the current state of one."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from streaming_hub.access import SUBSCRIBE
from streaming_hub.errors import NotFound
from streaming_hub.events.interest import EVERYTHING
from streaming_hub.events.types.snapshot import RoomState
from streaming_hub.web import answers, callers, parameters
from streaming_hub.web.about import HISTORY, About, ok
from streaming_hub.web.api.answer_types import RoomList
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("rooms", __name__)


def _example() -> dict[str, Any]:
    return {
        "room": "support-7",
        "last_seq": 484,
        "updated": 1795430083.31,
        "participants": [{"identity": "alice", "role": "user"}],
        "agent_state": "listening",
        "speaking": [],
    }


@endpoint(
    blueprint,
    "GET",
    "/api/rooms",
    scope=SUBSCRIBE,
    about=lambda: About(
        group=HISTORY, summary="Rooms with stored events", answers=ok(RoomList, {"rooms": [_example()]})
    ),
)
def rooms() -> Response:
    """Return all rooms with stored events."""
    parts = services()
    interest = callers.interest_of(callers.grant(), EVERYTHING)
    parts.reach_head()
    states, _ = parts.rooms.current()
    body: RoomList = {"rooms": parts.rooms.summaries(states, interest)}
    return answers.json(body)


@endpoint(
    blueprint,
    "GET",
    "/api/rooms/<path:name>",
    scope=SUBSCRIBE,
    errors=(NotFound,),
    about=lambda: About(
        group=HISTORY,
        summary="One room's current state",
        text="Derived from the stored events.",
        parameters=(parameters.name("name", "The room.", "support-7"),),
        answers=ok(
            RoomState,
            {
                **_example(),
                "user_state": "listening",
                "turn": None,
                "transcript": [],
                "sessions": [],
                "tools": [],
            },
        ),
    ),
)
def room(name: str) -> Response:
    """Return one room's current state."""
    parts = services()
    interest = callers.interest_of(callers.grant(), EVERYTHING)
    parts.reach_head()
    states, _ = parts.rooms.current()
    state = parts.rooms.describe(states, name, interest)
    if state is None:
        raise NotFound(f"The room {name[:100]!r} has no stored events.")
    return answers.json(state)
