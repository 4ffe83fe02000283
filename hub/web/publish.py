"""`POST /api/agent/data`: an agent's events come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from hub import event
from hub.auth import PUBLISH, require_room
from hub.errors import BadRequest, HubError, Unavailable, UnsupportedMedia
from hub.streaming.environ import BODY_KEY
from hub.web import access, answers
from hub.web.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication

    from hub.broadcast import Receipt
    from hub.event import Event
    from hub.web.services import Services

blueprint = Blueprint("publish", __name__)

PATH: Final = "/api/agent/data"
AGENT: Final = "agent-key"
MAX_KEY: Final = 255

_HEADERS: Final = [("Content-Type", "application/json"), ("Vary", "Origin"), *answers.NOT_CACHED.items()]
_encode = msgspec.json.Encoder().encode


@blueprint.post(PATH)
def publish() -> Response:
    """Store one event or a batch, and hand it on; answered before anything is sent."""
    return answers.encoded(take(services(), request.environ, lambda: request.get_data(cache=False)))


class Shortcut:
    """WSGI middleware: an agent's events skip Flask's routing, which costs more than storing and sending them.

    Only where the server has read the body within its limits already, and only for publishers that are not browsers:
    all others, and every error, take the way through Flask, to the same `take`.

    Args:
        application: Flask's own WSGI application.
        parts: the hub's services.
    """

    def __init__(self, application: WSGIApplication, parts: Services) -> None:
        self._application = application
        self._parts = parts

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if environ["PATH_INFO"] == PATH and BODY_KEY in environ and "HTTP_ORIGIN" not in environ:
            answer = self._publish(environ)
            if answer is not None:
                start_response("200 OK", [*_HEADERS, ("Content-Length", str(len(answer)))])
                return [answer]
        return self._application(environ, start_response)

    def _publish(self, environ: dict[str, Any]) -> bytes | None:
        """Return the answer, or None where Flask has to give it: nothing was stored then."""
        if environ["REQUEST_METHOD"] != "POST":
            return None
        try:
            access.check_browser_rules(self._parts, environ)
            return take(self._parts, environ, lambda: environ[BODY_KEY])
        except HubError as error:
            environ[answers.ERROR_KEY] = error
            return None


def take(parts: Services, environ: dict[str, Any], read: Callable[[], bytes]) -> bytes:
    """Check, store and hand on what was posted.

    Args:
        parts: the hub's services.
        environ: the request's.
        read: returns the body.

    Returns:
        The answer as JSON.

    Raises:
        HubError: it was refused as a whole; nothing was stored.
    """
    if answers.ERROR_KEY in environ:
        raise environ[answers.ERROR_KEY]
    grant = access.require_of(parts, environ, PUBLISH)
    if parts.draining and grant.who != AGENT:
        raise Unavailable("The server is stopping; send it again to the next one.", retry_after=2)
    events, single = _parse(environ, read)
    if grant.rooms is not None:
        for one in events:
            require_room(grant, one.room)
    receipt = parts.hub.publish([parts.redact(one) for one in events] if parts.redact else events)
    return _describe(receipt, single=single)


def _describe(receipt: Receipt, *, single: bool) -> bytes:
    body: dict[str, Any] = {"status": "ok"}
    if single:
        body["id"] = receipt.ids[0]
        if receipt.duplicates:
            body["duplicate"] = True
    else:
        body["ids"] = receipt.ids
        body["duplicates"] = receipt.duplicates
    body["clients_notified"] = receipt.clients_notified
    return _encode(body)


def _parse(environ: dict[str, Any], read: Callable[[], bytes]) -> tuple[list[Event], bool]:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/x-ndjson"):
        raise UnsupportedMedia(f"Content-Type {kind!r}: expected application/json or application/x-ndjson.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMedia("Content-Encoding: bodies are taken as they are, not compressed.")
    key = _idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY"))
    body = read()
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
