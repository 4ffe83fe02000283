"""livekit-server's webhooks: authenticated, and turned into the hub's room events. Pure: time is an argument.

A webhook has a bare JWT in `Authorization`, signed with the API secret, that contains the body's SHA-256. Only the
fields listed here are passed on: the body holds secrets (`room.turnPassword`), and LiveKit may add more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.access.tokens import decode_claims, signed_payload
from streaming_hub.errors import BadRequest, InvalidBody, Unauthorized
from streaming_hub.events import posted

if TYPE_CHECKING:
    from streaming_hub.events.posted import Event

MAX_AGE: Final = 600.0
"""Seconds after which a webhook is too old: LiveKit's retries end before that, and its token lasts 5 minutes."""
LEEWAY: Final = 60.0
"""Seconds by which livekit-server's clock may differ from the hub's."""
MAX_TOKEN_CHARACTERS: Final = 8192

ROLES: Final = {"AGENT": "agent", "STANDARD": "user", "SIP": "user", "CONNECTOR": "user"}
"""LiveKit's kinds of participants as roles; others (egress, ingress, bridges) are `system`."""
EVENTS: Final = frozenset({"room_started", "room_finished", "participant_joined", "participant_left"})
"""The webhooks that become events of the same name."""


WATCHER: Final = "hub-watcher-"
"""How a watcher's identity begins, this hub's or another one's. It is hidden from everybody in the room."""


def is_watcher(identity: str, *, agent: bool) -> bool:
    """Return whether a participant is a watcher: of the kind that only a server can give it."""
    return agent and identity.startswith(WATCHER)


class _Claims(msgspec.Struct):
    exp: int | float
    sha256: str
    nbf: int | float = 0
    iss: str = ""


class _Room(msgspec.Struct):
    name: str = ""
    sid: str = ""


class _Participant(msgspec.Struct, rename="camel"):
    identity: str = ""
    name: str = ""
    sid: str = ""
    kind: str = "STANDARD"
    disconnect_reason: str = ""


class Webhook(msgspec.Struct, rename="camel"):
    """The fields of a webhook that are used.

    Attributes:
        event: LiveKit's name for it.
        id: unique; LiveKit's retries repeat it.
        created_at: seconds since 1970; LiveKit writes int64 as strings.
        room: where it happened.
        participant: the one it is about.
    """

    event: str
    id: str = ""
    created_at: int | str = 0
    room: _Room = msgspec.field(default_factory=_Room)
    participant: _Participant = msgspec.field(default_factory=_Participant)


_decoder = msgspec.json.Decoder(Webhook)


def verify(body: bytes, token: str | None, *, api_key: str, api_secret: str, now: float) -> None:
    """Check that livekit-server sent this body.

    Args:
        body: as received.
        token: the `Authorization` header.
        api_key: LIVEKIT_API_KEY.
        api_secret: LIVEKIT_API_SECRET.
        now: seconds since 1970.

    Raises:
        Unauthorized: no token, another secret, another body, or an expired token.
    """
    token = (token or "").strip().removeprefix("Bearer ")
    if not token or len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
        raise Unauthorized("A webhook needs the JWT that livekit-server sends in `Authorization`.")
    payload = signed_payload(token, api_secret)
    if payload is None:
        raise Unauthorized(
            "The webhook's signature is wrong: LIVEKIT_API_SECRET is not the secret of the `webhook.api_key` in "
            "livekit-server's configuration, or another sender forged it."
        )
    claims = decode_claims(payload, _Claims)
    if claims.iss != api_key:
        raise Unauthorized("The webhook's `iss` is not this hub's LIVEKIT_API_KEY.")
    if not claims.nbf - LEEWAY <= now < claims.exp + LEEWAY:
        raise Unauthorized("The webhook's token has expired or is not valid yet: compare both clocks.")
    if not hmac.compare_digest(_digest(claims.sha256), hashlib.sha256(body).digest()):
        raise Unauthorized("The webhook's body does not match its signature.")


def read(body: bytes, now: float) -> Webhook:
    """Read a verified webhook.

    Raises:
        BadRequest: not JSON.
        InvalidBody: JSON, but not a webhook.
        Unauthorized: too old; it may be a replay of one that the hub no longer remembers.
    """
    try:
        webhook = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidBody(f"The webhook does not have LiveKit's format: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The webhook is not JSON: {error}.") from error
    created = _seconds(webhook.created_at)
    if created and abs(now - created) > MAX_AGE:
        raise Unauthorized(
            f"The webhook's createdAt is {now - created:.0f} s away from the hub's clock; at most {MAX_AGE:.0f} s "
            "are allowed."
        )
    return webhook


def translate(webhook: Webhook) -> Event | None:
    """Return the hub's event for a webhook; None for those it ignores (tracks, egress, watchers).

    Raises:
        InvalidEvent: a name that no event may carry.
    """
    if webhook.event not in EVENTS or not webhook.room.name:
        return None
    participant = webhook.participant
    if is_watcher(participant.identity, agent=participant.kind == "AGENT"):
        return None
    fields: dict[str, Any] = {"type": webhook.event, "room": webhook.room.name}
    if webhook.id:
        fields["event_id"] = webhook.id
    if created := _seconds(webhook.created_at):
        # LiveKit's times are whole seconds. The event's timestamp is its arrival, or times would go backwards.
        fields["created_at"] = created
    if webhook.room.sid:
        fields["room_sid"] = webhook.room.sid
    if webhook.event.startswith("participant_"):
        fields |= _about(webhook.participant)
    return posted.make(fields)


def _about(participant: _Participant) -> dict[str, Any]:
    known = {
        "participant": participant.identity,
        "name": participant.name,
        "participant_sid": participant.sid,
        "reason": participant.disconnect_reason.lower(),
    }
    given = {name: value for name, value in known.items() if value}
    return given | {"kind": participant.kind.lower(), "role": ROLES.get(participant.kind, "system")}


def _digest(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _seconds(value: int | str) -> int:
    """Return LiveKit's int64 as a number; anything else counts as absent."""
    if isinstance(value, int):
        return max(value, 0)
    return int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else 0
