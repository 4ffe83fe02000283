"""`GET /api/stream`: the events as they happen; `POST /api/stream/ticket`: a credential that may stand in a URL."""

from __future__ import annotations

import random
import secrets
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from streaming_hub.access import SUBSCRIBE, Expired
from streaming_hub.access.limits import Action
from streaming_hub.errors import (
    BadRequest,
    HubError,
    TooMany,
    Unavailable,
)
from streaming_hub.events import cursor, sse
from streaming_hub.rooms.snapshot import snapshots
from streaming_hub.server.environ import STREAM_PATH
from streaming_hub.stream.body import StreamBody
from streaming_hub.stream.frames import LAST_LOOK, goodbye
from streaming_hub.stream.pauses import NAP
from streaming_hub.web import answers, callers, query
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint
from streaming_hub.web.headers import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming_hub.access.address import Client
    from streaming_hub.events.interest import Interest
    from streaming_hub.services import Services
    from streaming_hub.web.api.answer_types import Ticket

blueprint = Blueprint("stream", __name__)

HEADERS: Final = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-store, no-transform"),
    ("X-Accel-Buffering", "no"),
)
MAX_CURSOR: Final = 5_000


class TicketRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The optional body of a request for a ticket."""

    room: str | None = None


def serve(parts: Services, environ: dict[str, Any]) -> answers.Plain:
    """Do as `stream`, without Flask.

    Raises:
        HubError: it was refused.
    """
    headers, body = _answer(parts, environ)
    return [*headers, ("Vary", "Origin"), *EVERYWHERE.items()], body


@endpoint(blueprint, "GET", STREAM_PATH, scope=SUBSCRIBE, serve=serve)
def stream() -> Response:
    """Open a stream."""
    answers.raise_met(request.environ)
    headers, body = _answer(services(), request.environ)
    return Response(body, headers=headers, direct_passthrough=True)


def _answer(parts: Services, environ: callers.Environ) -> answers.Plain:
    asked = query.of_stream(environ.get("QUERY_STRING", ""))
    grant = callers.reader_of(parts, environ, asked.ticket)
    if isinstance(grant, Expired):
        return _goodbye(environ, "ticket_expired", 1000)
    if environ["REQUEST_METHOD"] == "HEAD":
        # No body is known in advance, so that no Content-Length is told.
        return HEADERS, iter(())
    if parts.draining:
        return _goodbye(environ, "draining", random.randint(1000, 5000))
    client = callers.client_of(parts, environ)
    refused = _refusal(parts, client)
    if refused is not None:
        return _refused(parts, environ, refused)
    interest = callers.interest_of(grant, asked.interest)
    body = _open(parts, asked, environ.get("HTTP_LAST_EVENT_ID"), interest, grant.expires_at)
    full = _full(parts, client)
    if parts.draining or full is not None:
        return _late(parts, environ, full)
    body.subscriber.address = client.bucket
    body.subscriber.in_page = _in_page(environ)
    return HEADERS, body


@endpoint(blueprint, "POST", "/api/stream/ticket", scope=SUBSCRIBE)
def ticket() -> Response:
    """Answer a short-lived credential that may stand in a URL."""
    parts = services()
    grant = callers.grant()
    callers.limit(Action.TICKET, grant)
    asked = answers.body(TicketRequest)
    text, expires_in = parts.authenticator.mint_ticket(grant, asked.room, parts.clock())
    body: Ticket = {"ticket": text, "expires_in": expires_in}
    return answers.json(body)


def _refusal(parts: Services, client: Client) -> HubError | None:
    """Return why a client gets no further stream, if it gets none."""
    full = _full(parts, client)
    if full is not None:
        return full
    try:
        parts.limits.check(Action.CONNECT, client)
    except TooMany as error:
        return error
    return None


def _full(parts: Services, client: Client) -> HubError | None:
    if len(parts.hub) >= parts.max_clients:
        return Unavailable("All streams are taken; come back later.", retry_after=random.randint(5, 60))
    most = parts.limits.streams_of_one(client)
    if most is not None and parts.hub.audience.addresses[client.bucket] >= most:
        return TooMany(
            f"{most} streams are open from this address already: close one.",
            retry_after=random.randint(5, 60),
        )
    return None


def _open(
    parts: Services,
    asked: query.StreamQuery,
    last_event_id: str | None,
    interest: Interest,
    expires_at: float | None,
) -> StreamBody:
    wants_snapshot, replay = asked.snapshot, asked.replay
    resume = last_event_id or asked.resume
    if resume and len(resume) > MAX_CURSOR:
        raise BadRequest(f"last_event_id has {len(resume)} characters; at most {MAX_CURSOR} are taken.")
    intro: list[dict[str, Any]] = []
    head = parts.history.bounds.head
    if wants_snapshot:
        # The stream goes on where the snapshot stands, whatever other threads publish meanwhile.
        rooms, head = parts.rooms.current()
        as_of = cursor.show(parts.history.bounds.epoch, head)
        intro += snapshots(as_of, parts.rooms.visible(rooms, interest))
    position = _start(parts, interest, resume, replay, head=head, intro=intro)
    connected: dict[str, Any] = {
        "type": "connected",
        "client_id": secrets.token_hex(8),
        "cursor": cursor.show(parts.history.bounds.epoch, position),
        "server_time": round(parts.clock(), 6),
        "heartbeat": parts.settings.heartbeat,
    }
    if asked.ignored:
        connected["ignored"] = asked.ignored
    subscriber = parts.hub.new_subscriber(interest, position, chunked=False, expires_at=expires_at)
    if asked.warnings:
        connected["warnings"] = asked.warnings
    subscriber.intro = deque(_pieces([connected, *intro]))
    return StreamBody(parts.hub, subscriber, heartbeat=parts.settings.heartbeat)


def _pieces(intro: list[dict[str, Any]]) -> Iterator[bytes]:
    """Yield what is sent at once: all up to the first snapshot, then each further one."""
    first = [fields for fields in intro if fields.get("part", 1) == 1]
    yield b"".join(map(sse.control_frame, first))
    for fields in intro[len(first) :]:
        yield sse.control_frame(fields)
        time.sleep(NAP)


def _start(
    parts: Services,
    interest: Interest,
    asked: str | None,
    replay: int,
    *,
    head: int,
    intro: list[dict[str, Any]],
) -> int:
    """Return the position to go on after; a cursor that cannot be honoured adds a `stream_reset` to the intro."""
    if asked:
        found = cursor.resolve(asked, parts.history.bounds.range())
        if isinstance(found, int):
            return found
        intro.insert(0, parts.hub.reset_fields(found, interest))
        return parts.history.bounds.oldest - 1
    if replay:
        with parts.replay_look_ups:
            before = parts.read(lambda: parts.history.position_before(head + 1, interest, replay))
        # Not below the window, should it have moved on while this was read.
        return head if before is None else max(before, parts.history.bounds.oldest - 1)
    return head


def _in_page(environ: callers.Environ) -> bool:
    """Say whether a page in a browser asks: EventSource or fetch. Of other programs, Node's fetch says the same."""
    return "HTTP_SEC_FETCH_MODE" in environ


def _goodbye(environ: callers.Environ, reason: str, retry_ms: int) -> answers.Plain:
    """Tell a browser to come back later; any status but 200 would make it give up for good."""
    frame = goodbye(reason, retry_ms, chunked=False)
    if not _in_page(environ):
        return [*HEADERS, ("Content-Length", str(len(frame))), ("Connection", "close")], [frame]
    # One byte more than there is: to a page the end is an error, as that of an open stream (`frames.goodbye`).
    return [*HEADERS, ("Content-Length", str(len(frame) + 1)), ("Connection", "close")], _and_wait(frame)


def _and_wait(frame: bytes) -> Iterator[bytes]:
    yield frame
    time.sleep(LAST_LOOK)


def _late(parts: Services, environ: dict[str, Any], full: HubError | None) -> answers.Plain:
    """Answer where others came, or the server began to stop, while a replay was looked up."""
    if full is None or parts.draining:
        # Those to say goodbye to may have been listed before.
        return _goodbye(environ, "draining", random.randint(1000, 5000))
    return _refused(parts, environ, full)


def _refused(parts: Services, environ: callers.Environ, error: HubError) -> answers.Plain:
    if "text/event-stream" not in environ.get("HTTP_ACCEPT", ""):
        raise error
    callers.note_refusal_of(parts, environ, error, STREAM_PATH)
    return _goodbye(environ, "too_many_clients", random.randint(10_000, 120_000))
