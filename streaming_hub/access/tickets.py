"""Tickets: short-lived credentials that open streams, for clients that cannot send headers (EventSource).

A ticket is a JWS with a type and audience of its own, signed by a key that signs nothing else: no ticket
passes as a token, and no token as a ticket. The key depends on every secret in the settings, so changing any of
them revokes all tickets.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final, Literal

import jwt
import msgspec

from streaming_hub.access.grant import SUBSCRIBE, Grant, require_room
from streaming_hub.errors import Forbidden, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TICKET_SECONDS: Final = 600
MAX_TICKET_CHARACTERS: Final = 4096
"""Maximum characters of a ticket. It is part of a URL, and servers and proxies limit URLs to about 8,000."""

_ALGORITHM: Final = "HS256"
_TYPE: Final = "stream-ticket+jwt"
_AUDIENCE: Final = "/api/stream"
_jws = jwt.PyJWS(algorithms=[_ALGORITHM])


class Expired(msgspec.Struct, frozen=True):
    """A correctly signed ticket that has expired. Its stream gets a goodbye instead of a refusal.

    Attributes:
        who: the caller it was created for.
    """

    who: str


class _Claims(msgspec.Struct, forbid_unknown_fields=True):
    aud: str
    exp: float
    who: str
    rooms: frozenset[str] | None
    view: Literal["viewer", "operator"]
    until: float | None


class TicketBox:
    """Creates and reads tickets.

    Args:
        signing_key: signs this hub's tickets and nothing else (see `signing_key`).
    """

    def __init__(self, signing_key: str) -> None:
        self._key = signing_key

    def mint(self, grant: Grant, room: str | None, now: float, ttl: float) -> tuple[str, int]:
        """Create a ticket that allows no more and lasts no longer than the caller's own credential.

        Args:
            grant: of the caller.
            room: limits the ticket to one room; None allows all of the caller's rooms.
            now: seconds since 1970.
            ttl: requested lifetime in seconds; at most 600 are granted.

        Returns:
            The ticket, and its lifetime in whole seconds.

        Raises:
            Forbidden: the room is not the caller's, or there are too many rooms for a URL.
            Unauthorized: the caller's credential has expired.
        """
        if room is not None:
            require_room(grant, room)
        expires_at = now + min(ttl, MAX_TICKET_SECONDS)
        if grant.expires_at is not None:
            expires_at = min(expires_at, grant.expires_at)
        if expires_at <= now:
            raise Unauthorized("The credential has expired: get a new one.")
        rooms = grant.rooms if room is None else frozenset({room})
        claims = _Claims(_AUDIENCE, expires_at, f"ticket:{grant.who}", rooms, grant.view, grant.expires_at)
        ticket = _jws.encode(msgspec.json.encode(claims), self._key, _ALGORITHM, headers={"typ": _TYPE})
        if len(ticket) > MAX_TICKET_CHARACTERS:
            raise Forbidden(
                'The credential has too many rooms for one ticket: request one for a single room with {"room": NAME}.'
            )
        return ticket, int(expires_at - now)

    def open(self, ticket: str, now: float) -> Grant | Expired:
        """Read a ticket.

        Returns:
            What it allows: to subscribe, until the credential it was made with expires (a stream may outlive
            the ticket that opened it); or `Expired`.

        Raises:
            Unauthorized: not a ticket of this hub.
        """
        claims = self._claims(ticket)
        if now >= claims.exp:
            return Expired(claims.who)
        return Grant(claims.who, frozenset({SUBSCRIBE}), claims.rooms, claims.view, claims.until)

    def _claims(self, ticket: str) -> _Claims:
        wrong = Unauthorized(
            "The ticket is not one of this hub's: get a new one from POST /api/stream/ticket."
        )
        if len(ticket) > MAX_TICKET_CHARACTERS or not ticket.isascii():
            raise wrong
        try:
            opened = _jws.decode_complete(ticket, self._key, algorithms=[_ALGORITHM])
            claims = msgspec.json.decode(opened["payload"], type=_Claims)
        except (jwt.InvalidTokenError, msgspec.DecodeError):
            raise wrong from None
        if opened["header"].get("typ") != _TYPE or claims.aud != _AUDIENCE:
            raise wrong
        return claims


def signing_key(setting_secrets: Sequence[Sequence[str]], ticket_secret: bytes | None) -> str:
    """Derive the key that signs tickets.

    Args:
        setting_secrets: the keys and secrets in the settings, one list per setting.
        ticket_secret: random bytes that survive a restart. Without them, the key is derived from the settings'
            secrets alone, by a slow function (70 ms), because the holder of a ticket could otherwise try millions of
            weak keys. If there are no secrets either, the key is random, and tickets are valid until the process ends.
    """
    configured = msgspec.json.encode([sorted(group) for group in setting_secrets])
    if ticket_secret is None and not any(setting_secrets):
        ticket_secret = secrets.token_bytes(32)
    if ticket_secret is None:
        ticket_secret = hashlib.scrypt(configured, salt=_TYPE.encode(), n=2**14, r=8, p=1, dklen=32)
    return hmac.new(ticket_secret, _TYPE.encode() + configured, hashlib.sha256).hexdigest()
