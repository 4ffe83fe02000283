"""`POST /api/agent/data`: publish events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from streaming_hub.access import PUBLISH, require_room
from streaming_hub.access.limits import Action
from streaming_hub.errors import BadRequest, InvalidEvent, TooLarge, Unavailable, UnsupportedMedia
from streaming_hub.events import posted
from streaming_hub.server.environ import BODY_KEY
from streaming_hub.web import answers, callers, headers
from streaming_hub.web.about import JSON, PUBLISHING, About, Answer, Content, Parameter
from streaming_hub.web.api.answer_types import BatchPublished, Published
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.events.posted import Event
    from streaming_hub.services import Services
    from streaming_hub.stream.hub import Receipt

blueprint = Blueprint("publish", __name__)

AGENT: Final = "agent-key"
OWN: Final = frozenset({AGENT, "watcher-key"})
"""The hub's own processes, whose last words are taken while it stops."""
MAX_KEY: Final = 255

_HEADERS: Final = (
    ("Content-Type", "application/json"),
    ("Vary", "Origin"),
    *answers.NOT_CACHED.items(),
    *headers.EVERYWHERE.items(),
)
_encode = msgspec.json.Encoder().encode


def serve(parts: Services, environ: dict[str, Any]) -> answers.Plain:
    """Do as `publish`, for a request whose body has been read.

    Raises:
        HubError: it was refused as a whole; nothing was stored.
    """
    answer = _take(parts, environ, lambda: environ[BODY_KEY])
    return (*_HEADERS, ("Content-Length", str(len(answer)))), [answer]


def _about() -> About:
    printed = "[!-~\u00a1-\u00ac\u00ae-\u00ff]"  # what can be seen of Latin-1, in which headers are written
    one = {
        "type": "transcript",
        "room": "support-7",
        "text": "Hello, how can I help you?",
        "participant": "agent_123",
    }
    batch = [
        {"type": "transcript", "room": "support-7", "text": "Hello", "is_final": False, "segment_id": "s1"},
        {"type": "order.placed", "room": "support-7", "order": 1842, "event_id": "0b9f-1842"},
    ]
    taken = {
        "One event": {"status": "ok", "id": "4fdd2f42-486", "clients_notified": 1},
        "A batch": {
            "status": "ok",
            "ids": ["4fdd2f42-487", "4fdd2f42-488"],
            "duplicates": 0,
            "clients_notified": 1,
        },
    }
    return About(
        group=PUBLISHING,
        summary="Publish one event or a batch",
        text="When the response arrives, the events are stored. A batch (a JSON array, or one event "
        "per line) is stored whole or not at all. Limits: 64 KiB per event, 1 MiB and 1000 events per batch, 32 "
        "levels of nesting. Compressed bodies are rejected.",
        parameters=(
            Parameter(
                "Idempotency-Key",
                "header",
                {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_KEY,
                    "pattern": f"^{printed}( *{printed})*$",
                },
                "Used as `event_id` if that is missing; makes retries safe.",
            ),
        ),
        body=(
            Content(JSON, ("PostedEvent", "EventBatch"), {"One event": one, "A batch": batch}),
            Content(
                "application/x-ndjson",
                ({"type": "string"},),
                {"One event a line": '{"type":"test","n":1}\n{"type":"test","n":2}\n'},
            ),
        ),
        body_required=True,
        answers=(Answer(200, "Accepted.", (Content(JSON, (Published, BatchPublished), taken),)),),
    )


@endpoint(
    blueprint,
    "POST",
    "/api/agent/data",
    scope=PUBLISH,
    serve=serve,
    errors=(BadRequest, TooLarge, UnsupportedMedia, InvalidEvent, Unavailable),
    about=_about,
)
def publish() -> Response:
    """Store one event or a batch, and respond before it is sent to clients."""
    answers.raise_met(request.environ)
    return answers.encoded(_take(services(), request.environ, lambda: request.get_data(cache=False)))


def _take(parts: Services, environ: dict[str, Any], read: Callable[[], bytes]) -> bytes:
    started = time.perf_counter()
    grant = callers.admit(parts, environ)
    parts.limits.check(Action.PUBLISH, callers.client_of(parts, environ), grant)
    if parts.draining and grant.who not in OWN:
        raise Unavailable("The server is stopping: retry.", retry_after=2)
    events, single = _parse(environ, read)
    if grant.rooms is not None:
        for one in events:
            require_room(grant, one.room)
    receipt = parts.intake.take(events, supervised=grant.who == AGENT)
    answer = _describe(receipt, single=single)
    parts.publishing.observe(time.perf_counter() - started)
    return answer


def _describe(receipt: Receipt, *, single: bool) -> bytes:
    notified = receipt.clients_notified
    if not single:
        batch: BatchPublished = {
            "status": "ok",
            "ids": receipt.ids,
            "duplicates": receipt.duplicates,
            "clients_notified": notified,
        }
        return _encode(batch)
    one: Published = {"status": "ok", "id": receipt.ids[0], "clients_notified": notified}
    if receipt.duplicates:
        one["duplicate"] = True
    return _encode(one)


def _parse(environ: dict[str, Any], read: Callable[[], bytes]) -> tuple[list[Event], bool]:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/x-ndjson"):
        raise UnsupportedMedia(f"Content-Type {kind!r}: expected application/json or application/x-ndjson.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMedia("Content-Encoding: send the body uncompressed.")
    key = _idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY"))
    body = read()
    if kind == "application/x-ndjson":
        return posted.parse_ndjson(body, idempotency_key=key), False
    if body.lstrip(b" \t\r\n")[:1] == b"[":
        return posted.parse_array(body, idempotency_key=key), False
    return [posted.parse_one(body, idempotency_key=key)], True


def _idempotency_key(key: str | None) -> str | None:
    if key is None:
        return None
    if not key or len(key) > MAX_KEY or not key.isprintable():
        raise BadRequest(f"Idempotency-Key: expected 1 to {MAX_KEY} printable characters.")
    return key
