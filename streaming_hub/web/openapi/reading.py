"""The endpoints that pages and back ends read: the stream, stored events, rooms."""

from __future__ import annotations

from typing import Any, Final

from streaming_hub.errors import (
    BadRequest,
    NotFound,
    TooMany,
    Unavailable,
)
from streaming_hub.events.types.snapshot import RoomState
from streaming_hub.web.api.answer_types import (
    Erased,
    EventsPage,
    RoomList,
    Ticket,
)
from streaming_hub.web.api.stream import MAX_CURSOR, TicketRequest
from streaming_hub.web.openapi.endpoint import (
    Answer,
    Content,
    Endpoint,
    Parameter,
    json,
    ok,
)
from streaming_hub.web.query import MOST_DIGITS

STREAMING: Final = "Streaming"
HISTORY: Final = "History and rooms"

_NAMES: Final = {"type": "array", "items": {"type": "string"}}


def _count(least: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": 10**MOST_DIGITS - 1}, {"enum": [""]}]}


_FLAG: Final = {"type": "string", "enum": ["1", "0", "true", "false", ""]}
_CURSOR: Final = {"type": "string", "maxLength": MAX_CURSOR}

_FILTERS: Final = tuple(
    Parameter(name, "query", _NAMES, text, example)
    for name, text, example in (
        (
            "room",
            "Only events of this room. Repeat it for alternatives; different filters combine.",
            "support-7",
        ),
        ("type", "Only events of this type.", "transcript"),
        ("participant", "Only events about this identity.", None),
        ("session_id", "Only events of this session.", None),
    )
)
_STREAM_QUERY: Final = (
    *_FILTERS,
    Parameter(
        "last_event_id",
        "query",
        _CURSOR,
        "Go on after this id, where the header cannot be set. One that cannot be honoured gets a `stream_reset`.",
    ),
    Parameter("replay", "query", _count(0), "The last so many matching events first.", 20),
    Parameter("snapshot", "query", _FLAG, "The present state of the rooms first.", "1"),
    Parameter("Last-Event-ID", "header", _CURSOR, "As `last_event_id`, which it wins over."),
)

_EVENT: Final = {
    "id": "4fdd2f42-12",
    "type": "transcript",
    "timestamp": 1795429993.485,
    "room": "support-7",
    "role": "user",
    "participant": "alice",
    "text": "Hello!",
    "is_final": True,
}
_SUMMARY: Final = {
    "room": "support-7",
    "last_seq": 484,
    "updated": 1795430083.31,
    "participants": [{"identity": "alice", "role": "user"}],
    "agent_state": "listening",
    "speaking": [],
}
_SSE: Final = """data: {"type":"connected","client_id":"baa8a9e5618bf077","cursor":"4fdd2f42-11",\
"server_time":1795429982.45,"heartbeat":15.0}

id: 4fdd2f42-12
data: {"id":"4fdd2f42-12","type":"transcript","timestamp":1795429993.485,"room":"support-7","text":"Hello!"}

"""


def _name(name: str, text: str, example: str) -> Parameter:
    return Parameter(name, "path", {"type": "string", "pattern": "^[^\\r\\n\\x00]+$"}, text, example)


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/api/stream",
        group=STREAMING,
        summary="Events as they happen",
        text="Server-Sent Events, each a default `message` with JSON in one `data:` line; the types are listed under "
        "Events. The first is `connected`. It does not end by itself: the server says `goodbye` first. A browser "
        "gets 200 and `goodbye` where others get 503 or 429, since any other status ends an EventSource for good; so "
        "does an expired ticket.",
        ticket=True,
        parameters=_STREAM_QUERY,
        answers=(
            Answer(
                200, "The stream.", (Content("text/event-stream", ({"type": "string"},), {"Example": _SSE}),)
            ),
        ),
        errors=(BadRequest, TooMany, Unavailable),
    ),
    Endpoint(
        method="HEAD",
        path="/api/stream",
        group=STREAMING,
        summary="The stream's headers, at once",
        ticket=True,
        answers=(Answer(200, "The headers.", ()),),
    ),
    Endpoint(
        method="POST",
        path="/api/stream/ticket",
        group=STREAMING,
        summary="A credential that may stand in a URL",
        text="For EventSource, which cannot send headers. It opens streams only; `room` narrows it to one room.",
        body=(json(TicketRequest, {"room": "support-7"}),),
        answers=ok(Ticket, {"ticket": "eyJ2IjoxfQ.c2lnbmF0dXJl", "expires_in": 600}),
    ),
    Endpoint(
        method="GET",
        path="/api/events",
        group=HISTORY,
        summary="Stored events, page by page",
        text="Oldest first. A parameter that is not listed is refused: a misspelt filter would answer with everything.",
        parameters=(
            *_FILTERS,
            Parameter(
                "after",
                "query",
                {"type": "string"},
                "Go on after this id. Not together with `before` or `last`.",
            ),
            Parameter("before", "query", {"type": "string"}, "Go back from this id."),
            Parameter(
                "last", "query", _count(1), "The newest so many; without a number, the newest `limit`."
            ),
            Parameter("limit", "query", _count(1), "How many at most: 100, up to 1000.", 10),
        ),
        answers=ok(
            EventsPage,
            {"events": [_EVENT], "next": "4fdd2f42-12", "previous": "4fdd2f42-12", "more": False},
        ),
        errors=(BadRequest,),
    ),
    Endpoint(
        method="GET",
        path="/api/rooms",
        group=HISTORY,
        summary="Rooms with stored events",
        answers=ok(RoomList, {"rooms": [_SUMMARY]}),
    ),
    Endpoint(
        method="GET",
        path="/api/rooms/<path:name>",
        group=HISTORY,
        summary="One room's present state",
        text="As far as it follows from the stored events.",
        parameters=(_name("name", "The room.", "support-7"),),
        answers=ok(
            RoomState,
            {
                **_SUMMARY,
                "user_state": "listening",
                "turn": None,
                "transcript": [],
                "sessions": [],
                "tools": [],
            },
        ),
        errors=(NotFound,),
    ),
    Endpoint(
        method="DELETE",
        path="/api/rooms/<path:name>/events",
        group=HISTORY,
        summary="Erase a room's events for good",
        text="From the file, from memory, from what waits for slow clients, and from the archive. 503 while the "
        "archive is away: then nothing is erased yet.",
        parameters=(_name("name", "The room.", "support-7"),),
        answers=ok(Erased, {"status": "ok", "erased": 484}),
        errors=(NotFound, Unavailable),
    ),
    Endpoint(
        method="DELETE",
        path="/api/sessions/<path:session_id>",
        group=HISTORY,
        summary="Erase a session's events for good",
        text="In every room that the caller may erase; as for a room. Late events of it are not archived.",
        parameters=(_name("session_id", "The session.", "d74c"),),
        answers=ok(Erased, {"status": "ok", "erased": 37}),
        errors=(NotFound, Unavailable),
    ),
)
