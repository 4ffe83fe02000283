"""Turns a credential into a grant. The only module that knows keys, tokens and tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming_hub.access import keys, tickets
from streaming_hub.access.grant import (
    ALL_SCOPES,
    ANONYMOUS,
    HUB_SCOPES,
    JOIN,
    OPERATE,
    PUBLISH,
    SUBSCRIBE,
    Grant,
    require_room,
)
from streaming_hub.access.tokens import TokenReader
from streaming_hub.errors import Forbidden, Unauthorized
from streaming_hub.events.views import OPERATOR, VIEWER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.access.tickets import Expired


class Authenticator:
    """Knows every credential, and what each allows.

    Args:
        publish_keys: may publish; empty leaves the scope open.
        subscribe_keys: may read the viewer's view; empty leaves the scope open.
        operator_keys: may do everything; empty leaves `operate` open.
        jwt_secret: of hub JWTs; closes all scopes.
        livekit_api_key: the issuer that LiveKit tokens must name; None accepts any.
        livekit_api_secret: of LiveKit tokens; closes nothing.
        ticket_secret: random bytes kept across restarts; see `streaming_hub.access.tickets.signing_key`.
        agent_key: the agent process's key to publish with; closes nothing.
        watcher_key: the watcher process's key to publish and subscribe with; closes nothing.

    Attributes:
        open_scopes: what a caller without a credential may do. `join` is open only if no scope has keys.
        all_open: whether no key and no JWT secret is set.
        any_open: whether any of publish, subscribe and operate is open.

    Raises:
        SettingsError: a key is empty, or a secret is malformed.
    """

    def __init__(
        self,
        *,
        publish_keys: Sequence[str] = (),
        subscribe_keys: Sequence[str] = (),
        operator_keys: Sequence[str] = (),
        jwt_secret: str | None = None,
        livekit_api_key: str | None = None,
        livekit_api_secret: str | None = None,
        ticket_secret: bytes | None = None,
        agent_key: str | None = None,
        watcher_key: str | None = None,
    ) -> None:
        keys_of_scope = {PUBLISH: publish_keys, SUBSCRIBE: subscribe_keys, OPERATE: operator_keys}
        self.open_scopes = _open_scopes(keys_of_scope, closed=bool(jwt_secret))
        self.any_open = bool(self.open_scopes)
        self.all_open = self.open_scopes == ALL_SCOPES
        self._keys = keys.key_ring(keys_of_scope, agent_key, watcher_key)
        self._tokens = TokenReader(jwt_secret, livekit_api_key, livekit_api_secret)
        setting_secrets = [list(group) for group in keys_of_scope.values()]
        setting_secrets += [[secret] if secret else [] for secret in (jwt_secret, livekit_api_secret)]
        self._tickets = tickets.TicketBox(tickets.signing_key(setting_secrets, ticket_secret))
        self._grants = {
            (name, open_access): self._grant(name, scopes, open_access=open_access)
            for name, scopes in [
                (ANONYMOUS, frozenset[str]()),
                *((key.name, key.scopes) for key in self._keys),
            ]
            for open_access in (True, False)
        }

    def authenticate(self, credential: str | None, now: float, *, open_access: bool = True) -> Grant:
        """Return what a caller may do.

        A wrong credential is refused even if none is needed; otherwise its sender would not notice the mistake. Only if
        no scope has keys is an unknown key ignored, since there is nothing to compare it with.

        Args:
            credential: from `credential_of`; None for none.
            now: seconds since 1970.
            open_access: whether open scopes apply to this caller; they do not behind an unknown proxy.

        Raises:
            Unauthorized: the credential is wrong, or has expired.
        """
        if credential is None:
            return self._grants[ANONYMOUS, open_access]
        key = keys.find(self._keys, credential)
        if key is not None:
            return self._grants[key.name, open_access]
        if self._tokens.configured and credential.count(".") == 2:
            return self._tokens.read(credential, now)
        if self.all_open:
            return self._grants[ANONYMOUS, open_access]
        raise Unauthorized(
            "The credential is not a key of this hub: compare it with the STREAM_..._KEYS settings."
        )

    def require(self, grant: Grant, scope: str, room: str | None = None) -> None:
        """Check a scope and, if given, a room.

        Args:
            grant: of the caller.
            scope: what the request does.
            room: the room it concerns; None checks no room (use `require_room` for events without one).

        Raises:
            Unauthorized: no credential was given.
            Forbidden: the credential lacks the scope, or is for other rooms.
        """
        if scope not in grant.scopes:
            raise self._refusal(grant, scope)
        if room is not None:
            require_room(grant, room)

    def mint_ticket(self, grant: Grant, room: str | None, now: float) -> tuple[str, int]:
        """Make a ticket for a caller who may subscribe; see `TicketBox.mint`."""
        self.require(grant, SUBSCRIBE)
        return self._tickets.mint(grant, room, now, tickets.MAX_TICKET_SECONDS)

    def open_ticket(self, ticket: str, now: float) -> Grant | Expired:
        """Read a ticket; see `TicketBox.open`."""
        return self._tickets.open(ticket, now)

    def _grant(self, who: str, scopes: frozenset[str], *, open_access: bool) -> Grant:
        """Add open scopes to those of a key; with `operate` among them, the caller sees everything."""
        if open_access:
            scopes |= self.open_scopes
        return Grant(who, scopes, None, OPERATOR if OPERATE in scopes else VIEWER, None)

    def _refusal(self, grant: Grant, scope: str) -> Unauthorized | Forbidden:
        if not grant.anonymous:
            return Forbidden(f"This credential ({grant.who}) lacks the scope {scope}.", scope=scope)
        if scope in self.open_scopes:
            return Unauthorized(
                f"The scope {scope} is open to this machine only, and the request came from elsewhere or a "
                "proxy: send a key, or name the proxy in STREAM_TRUSTED_PROXIES."
            )
        return Unauthorized(
            f"This needs a credential with the scope {scope}: send `Authorization: Bearer KEY` or `X-API-Key: KEY`."
        )


def credential_of(authorization: str | None, api_key: str | None) -> str | None:
    """Take the credential from a request's `Authorization` and `X-API-Key` headers.

    Schemes other than Bearer are ignored: they are meant for others, such as a proxy with Basic authentication.

    Raises:
        Unauthorized: the two headers hold different credentials.
    """
    scheme, _, rest = (authorization or "").strip().partition(" ")
    bearer = rest.strip() if scheme.lower() == "bearer" else ""
    plain = (api_key or "").strip()
    if bearer and plain and bearer != plain:
        raise Unauthorized("`Authorization` and `X-API-Key` contain different credentials: send only one.")
    return bearer or plain or None


def _open_scopes(keys_of_scope: dict[str, Sequence[str]], *, closed: bool) -> frozenset[str]:
    scopes = frozenset() if closed else frozenset(scope for scope, held in keys_of_scope.items() if not held)
    # `join` has no keys of its own. On a hub with keys it would stay open and hand out LiveKit tokens.
    return scopes | {JOIN} if scopes == HUB_SCOPES else scopes
