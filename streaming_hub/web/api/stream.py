"""`GET /api/stream`: events as they happen; `POST /api/stream/ticket`: a credential for a URL."""

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
from streaming_hub.web import answers, callers, parameters, query
from streaming_hub.web.about import STREAMING, About, Answer, Parameter, json, ok, text
from streaming_hub.web.api.answer_types import Ticket
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint
from streaming_hub.web.headers import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming_hub.access import Grant
    from streaming_hub.access.address import Client
    from streaming_hub.events.interest import Interest
    from streaming_hub.services import Services

blueprint = Blueprint("stream", __name__)

HEADERS: Final = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-store, no-transform"),
    ("X-Accel-Buffering", "no"),
)


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


def _about() -> About:
    example = """data: {"type":"connected","client_id":"baa8a9e5618bf077","cursor":"4fdd2f42-11",\
"head":"4fdd2f42-12","server_time":1795429982.45,"heartbeat":15.0}

id: 4fdd2f42-12
data: {"id":"4fdd2f42-12","type":"transcript","timestamp":1795429993.485,"room":"support-7","text":"Hello!"}

"""
    return About(
        group=STREAMING,
        summary="Live events",
        head="The headers of a stream",
        text="Server-Sent Events, each a default `message` with JSON in one `data:` line; the types are listed under "
        "Events. The first is `connected`, the last `goodbye`. Browsers get 200 and a `goodbye` where other clients "
        "get 503 or 429, since any other status ends an EventSource for good; with an expired ticket, all clients do.",
        ticket=True,
        parameters=(
            *parameters.FILTERS,
            Parameter(
                "last_event_id",
                "query",
                parameters.CURSOR,
                "Resume after this id, for clients that cannot set the header. If that is not possible, the stream "
                "sends a `stream_reset`.",
            ),
            Parameter(
                "replay",
                "query",
                parameters.count(0),
                "First send this many of the latest matching events.",
                20,
            ),
            Parameter(
                "snapshot", "query", parameters.FLAG, "First send the current state of the rooms.", "1"
            ),
            Parameter(
                "Last-Event-ID", "header", parameters.CURSOR, "Same as `last_event_id`, which it overrides."
            ),
        ),
        answers=(Answer(200, "The stream.", (text("text/event-stream", example),)),),
    )


@endpoint(
    blueprint,
    "GET",
    STREAM_PATH,
    scope=SUBSCRIBE,
    serve=serve,
    errors=(BadRequest, TooMany, Unavailable),
    about=_about,
)
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
        # The body is not known in advance, so there is no Content-Length.
        return HEADERS, iter(())
    if parts.draining:
        return _goodbye(environ, "draining", random.randint(1000, 5000))
    client = callers.client_of(parts, environ)
    refused = _refusal(parts, client)
    if refused is not None:
        return _refused(parts, environ, refused)
    return _opened(parts, environ, asked, grant, client)


def _opened(
    parts: Services, environ: dict[str, Any], asked: query.StreamQuery, grant: Grant, client: Client
) -> answers.Plain:
    interest = callers.interest_of(grant, asked.interest)
    try:
        body = _open(parts, asked, environ.get("HTTP_LAST_EVENT_ID"), interest, grant.expires_at)
    except Unavailable as error:
        # A replay, a snapshot or a position that cannot be looked up now: a browser would give up at any other status.
        return _refused(parts, environ, error, "history_away", random.randint(1000, 3000))
    full = _full(parts, client)
    if parts.draining or full is not None:
        return _late(parts, environ, full)
    body.subscriber.address = client.bucket
    body.subscriber.in_page = _in_page(environ)
    return HEADERS, body


@endpoint(
    blueprint,
    "POST",
    "/api/stream/ticket",
    scope=SUBSCRIBE,
    about=lambda: About(
        group=STREAMING,
        summary="A credential for a URL",
        text="For EventSource, which cannot send headers. It only opens streams; `room` limits it to one room.",
        body=(json(TicketRequest, {"room": "support-7"}),),
        answers=ok(Ticket, {"ticket": "eyJ2IjoxfQ.c2lnbmF0dXJl", "expires_in": 600}),
    ),
)
def ticket() -> Response:
    """Return a short-lived credential for a URL."""
    parts = services()
    grant = callers.grant()
    callers.limit(Action.TICKET, grant)
    asked = answers.body(TicketRequest)
    minted, expires_in = parts.authenticator.mint_ticket(grant, asked.room, parts.clock())
    body: Ticket = {"ticket": minted, "expires_in": expires_in}
    return answers.json(body)


def _refusal(parts: Services, client: Client) -> HubError | None:
    """Return why a client gets no further stream; None if it does."""
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
        return Unavailable("All streams are in use; retry later.", retry_after=random.randint(5, 60))
    most = parts.limits.streams_of_one(client)
    if most is not None and parts.hub.audience.addresses[client.bucket] >= most:
        return TooMany(
            f"This address already has {most} open streams: close one.",
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
    if resume and len(resume) > query.MAX_CURSOR:
        raise BadRequest(
            f"last_event_id has {len(resume)} characters; at most {query.MAX_CURSOR} are accepted."
        )
    intro: list[dict[str, Any]] = []
    head = parts.history.bounds.head
    if wants_snapshot:
        # The stream continues at the snapshot's position, whatever other threads publish meanwhile.
        rooms, head = parts.rooms.current()
        as_of = cursor.show(parts.history.bounds.epoch, head)
        intro += snapshots(as_of, parts.rooms.visible(rooms, interest))
    position = _start(parts, interest, resume, replay, head=head, intro=intro)
    bounds = parts.history.bounds
    newest = bounds.head
    connected: dict[str, Any] = {
        "type": "connected",
        "client_id": secrets.token_hex(8),
        "cursor": cursor.show(bounds.epoch, position),
        "head": cursor.show(bounds.epoch, newest),
        "server_time": round(parts.clock(), 6),
        "heartbeat": parts.settings.heartbeat,
    }
    if asked.ignored:
        connected["ignored"] = asked.ignored
    subscriber = parts.hub.new_subscriber(interest, position, chunked=False, expires_at=expires_at)
    is_reset = any(fields["type"] == "stream_reset" for fields in intro)
    subscriber.owed_heartbeat = position < newest or is_reset
    if asked.warnings:
        connected["warnings"] = asked.warnings
    subscriber.intro = deque(_pieces([connected, *intro]))
    return StreamBody(parts.hub, subscriber, heartbeat=parts.settings.heartbeat)


def _pieces(intro: list[dict[str, Any]]) -> Iterator[bytes]:
    """Yield what is sent in one piece: everything up to the first snapshot, then each further one."""
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
    """Return the position to continue after; a cursor that cannot be honoured adds a `stream_reset` to the intro."""
    if asked:
        found = _resolved(parts, asked)
        if isinstance(found, int):
            return found
        intro.insert(0, parts.hub.reset_fields(found, interest))
        return parts.history.bounds.oldest - 1 if found.resume is None else found.resume
    if replay:
        with parts.replay_look_ups:
            before = parts.read(lambda: parts.history.position_before(head + 1, interest, replay))
        # Not below the window, which may have moved during the read.
        return head if before is None else max(before, parts.history.bounds.oldest - 1)
    return head


def _resolved(parts: Services, asked: str) -> int | cursor.Reset:
    """Hold a cursor against the history; it may come from a node that is a little further on than this one.

    Raises:
        Unavailable: it does, and the history cannot be read now: to start elsewhere would send events twice.
    """
    found = cursor.resolve(asked, parts.history.bounds.range())
    if isinstance(found, int) or found.reason not in ("future", "foreign") or not parts.history.shared:
        return found
    parts.reach_head()
    return cursor.resolve(asked, parts.history.bounds.range())


def _in_page(environ: callers.Environ) -> bool:
    """Return whether a page in a browser sent this, by EventSource or fetch. Node's fetch looks the same."""
    return "HTTP_SEC_FETCH_MODE" in environ


def _goodbye(environ: callers.Environ, reason: str, retry_ms: int) -> answers.Plain:
    """Ask a browser to reconnect later; on any status but 200 it would give up for good."""
    frame = goodbye(reason, retry_ms, chunked=False)
    if not _in_page(environ):
        return [*HEADERS, ("Content-Length", str(len(frame))), ("Connection", "close")], [frame]
    # One byte more than there is: so the end is an error to a page, as with an open stream (`frames.goodbye`).
    return [*HEADERS, ("Content-Length", str(len(frame) + 1)), ("Connection", "close")], _and_wait(frame)


def _and_wait(frame: bytes) -> Iterator[bytes]:
    yield frame
    time.sleep(LAST_LOOK)


def _late(parts: Services, environ: dict[str, Any], full: HubError | None) -> answers.Plain:
    """Respond if others connected, or the server began to stop, while a replay was looked up."""
    if full is None or parts.draining:
        # The list of streams that get a goodbye may already be complete.
        return _goodbye(environ, "draining", random.randint(1000, 5000))
    return _refused(parts, environ, full)


def _refused(
    parts: Services,
    environ: callers.Environ,
    error: HubError,
    reason: str = "too_many_clients",
    retry_ms: int | None = None,
) -> answers.Plain:
    if "text/event-stream" not in environ.get("HTTP_ACCEPT", ""):
        raise error
    callers.note_refusal_of(parts, environ, error, STREAM_PATH)
    return _goodbye(environ, reason, random.randint(10_000, 120_000) if retry_ms is None else retry_ms)
