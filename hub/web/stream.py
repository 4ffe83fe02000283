"""`GET /api/stream`: the events as they happen; `POST /api/stream/ticket`: a credential that may stand in a URL."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from hub import cursor, sse
from hub.auth import SUBSCRIBE, Expired, Grant
from hub.errors import BadRequest, Unavailable
from hub.streaming.body import StreamBody
from hub.web import access, answers, query
from hub.web.services import services

if TYPE_CHECKING:
    from hub.interest import Interest
    from hub.web.services import Services

blueprint = Blueprint("stream", __name__)

HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
MAX_REPLAY: Final = 100_000
MAX_CURSOR: Final = 5_000
TICKET_SECONDS: Final = 600


class TicketRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The optional body of a request for a ticket."""

    room: str | None = None


@blueprint.get("/api/stream")
def stream() -> Response:
    """Open a stream."""
    parts = services()
    grant = _reader(parts)
    if isinstance(grant, Expired):
        return _goodbye("ticket_expired", 1000)
    if request.method == "HEAD":
        # No body is known in advance, so that no Content-Length is told.
        return Response(iter(()), headers=HEADERS)
    if parts.draining:
        return _goodbye("draining", random.randint(1000, 5000))
    if len(parts.hub) >= parts.max_clients:
        return _full()
    interest = access.interest_of(grant, query.filters(request.args))
    body = _open(parts, interest, grant.expires_at)
    return Response(body, headers=HEADERS, direct_passthrough=True)


@blueprint.post("/api/stream/ticket")
def ticket() -> Response:
    """Answer a short-lived credential that may stand in a URL."""
    parts = services()
    grant = access.require(SUBSCRIBE)
    asked = answers.body(TicketRequest)
    text, expires_in = parts.authenticator.mint_ticket(grant, asked.room, parts.clock(), TICKET_SECONDS)
    return answers.json({"ticket": text, "expires_in": expires_in})


def _reader(parts: Services) -> Grant | Expired:
    text = request.args.get("ticket")
    if text is None:
        return access.require(SUBSCRIBE)
    return parts.authenticator.open_ticket(text, parts.clock())


def _open(parts: Services, interest: Interest, expires_at: float | None) -> StreamBody:
    wants_snapshot = query.flag(request.args, "snapshot")
    replay = query.count(request.args, "replay", 0, MAX_REPLAY)
    asked = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    if asked and len(asked) > MAX_CURSOR:
        raise BadRequest(f"last_event_id has {len(asked)} characters; at most {MAX_CURSOR} are taken.")
    intro: list[dict[str, Any]] = []
    if wants_snapshot:
        rooms, position = parts.rooms.current()
        as_of = cursor.show(parts.history.bounds.epoch, position)
        intro.append({"type": "snapshot", "as_of": as_of, "rooms": parts.rooms.visible(rooms, interest)})
    position = _start(parts, interest, asked, replay, intro)
    connected = {
        "type": "connected",
        "client_id": secrets.token_hex(8),
        "cursor": cursor.show(parts.history.bounds.epoch, position),
        "server_time": round(parts.clock(), 6),
        "heartbeat": parts.settings.heartbeat,
    }
    subscriber = parts.hub.new_subscriber(interest, position, chunked=False, expires_at=expires_at)
    subscriber.intro = tuple(sse.control_frame(fields) for fields in (connected, *intro))
    return StreamBody(parts.hub, subscriber, heartbeat=parts.settings.heartbeat)


def _start(
    parts: Services, interest: Interest, asked: str | None, replay: int, intro: list[dict[str, Any]]
) -> int:
    """Return the position to go on after; a cursor that cannot be honoured adds a `stream_reset` to the intro."""
    if asked:
        found = cursor.resolve(asked, parts.history.bounds.range())
        if isinstance(found, int):
            return found
        intro.insert(0, parts.hub.reset_fields(found, interest))
        return parts.history.bounds.oldest - 1
    head = parts.history.bounds.head
    if replay:
        entries = parts.history.before(head + 1, interest, replay)
        # Not below the window, should it have moved on while this was read.
        return max(entries[0].seq - 1, parts.history.bounds.oldest - 1) if entries else head
    return head


def _goodbye(reason: str, retry_ms: int) -> Response:
    """Tell a browser to come back later; any status but 200 would make it give up for good."""
    frame = sse.control_frame({"type": "goodbye", "reason": reason, "retry_ms": retry_ms}, retry_ms=retry_ms)
    return Response(frame, headers={**HEADERS, "Connection": "close"})


def _full() -> Response:
    if "text/event-stream" not in request.headers.get("Accept", ""):
        raise Unavailable("All streams are taken; come back later.", retry_after=random.randint(5, 60))
    return _goodbye("too_many_clients", random.randint(10_000, 120_000))
