"""`POST /api/agent/data`: an agent's events come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from hub import event
from hub.auth import PUBLISH, require_room
from hub.errors import BadRequest, Unavailable, UnsupportedMedia
from hub.web import access, answers
from hub.web.services import services

if TYPE_CHECKING:
    from hub.event import Event
    from hub.web.services import Services

blueprint = Blueprint("publish", __name__)

AGENT = "agent-key"
MAX_KEY = 255


@blueprint.post("/api/agent/data")
def publish() -> Response:
    """Store one event or a batch, and hand it on; answered before anything is sent."""
    parts = services()
    grant = access.require(PUBLISH)
    if parts.draining and grant.who != AGENT:
        raise Unavailable("The server is stopping; send it again to the next one.", retry_after=2)
    events, single = _read()
    if grant.rooms is not None:
        for one in events:
            require_room(grant, one.room)
    return _answer(parts, events, single=single)


def _answer(parts: Services, events: list[Event], *, single: bool) -> Response:
    receipt = parts.hub.publish([parts.redact(one) for one in events] if parts.redact else events)
    body: dict[str, Any] = {"status": "ok"}
    if single:
        body["id"] = receipt.ids[0]
        if receipt.duplicates:
            body["duplicate"] = True
    else:
        body["ids"] = receipt.ids
        body["duplicates"] = receipt.duplicates
    body["clients_notified"] = receipt.clients_notified
    return answers.json(body)


def _read() -> tuple[list[Event], bool]:
    environ = request.environ
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/x-ndjson"):
        raise UnsupportedMedia(f"Content-Type {kind!r}: expected application/json or application/x-ndjson.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMedia("Content-Encoding: bodies are taken as they are, not compressed.")
    key = _idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY"))
    body = request.get_data(cache=False)
    if kind == "application/x-ndjson":
        return event.parse_ndjson(body, idempotency_key=key), False
    if body.lstrip(b" \t\r\n")[:1] == b"[":
        return event.parse_array(body, idempotency_key=key), False
    return [event.parse_one(body, idempotency_key=key)], True


def _idempotency_key(key: str | None) -> str | None:
    if key is None:
        return None
    if not key or len(key) > MAX_KEY or not key.isprintable():
        raise BadRequest(f"Idempotency-Key: expected 1 to {MAX_KEY} printable characters.")
    return key
