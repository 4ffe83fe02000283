"""An endpoint, the events it gets, and the bodies sent. Pure."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.events.views import OPERATOR

if TYPE_CHECKING:
    from streaming_hub.outlets.webhooks.messages import Line

EVERYTHING: Final = "*"
SETTINGS: Final = "settings"
"""The id of the endpoint from STREAM_WEBHOOK_URL."""
SOURCE: Final = "webhook"
"""`source` of the `error` events about endpoints."""
PENDING: Final = "pending"
DELIVERED: Final = "delivered"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
STATES: Final = (PENDING, DELIVERED, FAILED, SKIPPED)
"""The states of a delivery; `skipped` ones were never sent."""
MOST_KEY: Final = 200
"""Maximum characters of a lane's name, so every database can index it."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Secret(msgspec.Struct):
    """A secret that signs; `until` (seconds since 1970) is None for the current one."""

    secret: str
    until: float | None = None


class Endpoint(msgspec.Struct, kw_only=True):
    """An endpoint, as stored.

    Attributes:
        types: event types, or `*`.
        rooms: the only rooms; None for all, and for events without a room.
        view: `viewer` or `operator`.
        reason: why it is disabled; None while it is enabled.
        secrets: newest first.
        after: it gets events above this sequence number.
        behind: the position from which it reads the history on its own, while it is disabled or catches up; None while
            it gets every event as it arrives.
        missed: how many events were skipped.
        failing_since: when it first failed after the last success, seconds since 1970.
        warned: whether it was reported as failing.
        overflowing: whether it was reported as overflowing.
        expiring: whether it was reported, since the last success, that copies were dropped because of their age.
    """

    id: str
    url: str
    types: list[str]
    rooms: list[str] | None = None
    view: str = OPERATOR
    interims: bool = False
    description: str | None = None
    enabled: bool = True
    reason: str | None = None
    secrets: list[Secret]
    created: float
    after: int
    behind: int | None = None
    missed: int = 0
    failing_since: float | None = None
    warned: bool = False
    overflowing: bool = False
    expiring: bool = False

    def keys(self, now: float) -> list[str]:
        """Return the secrets that sign at a time, newest first."""
        return [one.secret for one in self.secrets if one.until is None or one.until > now]

    def wants(self, message: Message) -> bool:
        """Return whether it gets an event."""
        if message.hidden and self.view != OPERATOR:
            return False
        if message.interim and not self.interims:
            return False
        if message.type not in self.types and EVERYTHING not in self.types:
            return False
        if self.rooms is not None and message.room not in self.rooms:
            return False
        return message.about != self.id


class Message(msgspec.Struct, frozen=True):
    """An event on its way to endpoints.

    Attributes:
        seq: its sequence number.
        at: when it was accepted, seconds since 1970.
        id: the hub's id.
        hidden: whether only operators see it.
        interim: whether it is an interim transcript.
        about: the endpoint that it reports on, for `error` events about webhooks.
        body: of the request.
    """

    seq: int
    at: float
    id: str
    type: str
    room: str | None
    session: str | None
    hidden: bool
    interim: bool
    about: str | None
    body: bytes

    @property
    def lane(self) -> str:
        """The sequence it is delivered in: its room's."""
        return key_of(self.room)


def key_of(name: str | None) -> str:
    """Return the key of a room or a session in an index: its name, or a hash of a long one."""
    name = name or ""
    if len(name) <= MOST_KEY and "\0" not in name:
        return name
    return "sha256:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def message_of(line: Line) -> Message:
    """Decode an event; where its timestamp cannot be represented, the time of its acceptance stands in."""
    event = _decode(line.data)
    kind = event["type"]
    about = event.get("webhook_id") if kind == "error" and event.get("source") == SOURCE else None
    return Message(
        seq=line.seq,
        at=line.at,
        id=event["id"],
        type=kind,
        room=_text(event.get("room")),
        session=_text(event.get("session_id")),
        hidden=line.hidden,
        interim=kind == "transcript" and event.get("is_final") is False,
        about=_text(about),
        body=body_of(kind, event.get("timestamp", line.at), line.at, line.data),
    )


def body_of(kind: str, timestamp: object, at: float, data: bytes) -> bytes:
    """Return the body of a webhook: `type`, `timestamp` (RFC 3339, UTC, milliseconds) and `data`."""
    stamp = _rfc_3339(timestamp) or _rfc_3339(at)
    return b'{"type":%b,"timestamp":"%b","data":%b}' % (_encode(kind), (stamp or "").encode(), data)


def _rfc_3339(seconds: object) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
