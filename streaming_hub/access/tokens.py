"""Two kinds of JWT: tokens of the operator's own back end, and LiveKit's participant tokens.

Only the header is read before the signature is verified. The claims give the kind, and the kind gives the secret
that must have signed it: `scope` is a hub JWT (STREAM_JWT_SECRET), `video` is a LiveKit token
(LIVEKIT_API_SECRET), both or neither is refused. So a LiveKit token never counts as a hub JWT, even if
both secrets are the same. Dates are checked against the caller's `now`, at each use.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Final, TypeVar

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm

from streaming_hub.access.grant import (
    ALL_SCOPES,
    OPERATE,
    SUBSCRIBE,
    Grant,
)
from streaming_hub.errors import SettingsError, Unauthorized
from streaming_hub.events.views import OPERATOR, VIEWER

if TYPE_CHECKING:
    from streaming_hub.events.views import View

MAX_TOKEN_CHARACTERS: Final = 8192
MAX_DATE: Final = 1e11
"""Seconds since 1970; a date beyond it is one in milliseconds."""
START_LEEWAY: Final = 60.0
"""Seconds that a token's `nbf` may be in the future, since its issuer's clock may be ahead. LiveKit allows the same."""
CACHED_TOKENS: Final = 1024

_ALGORITHM: Final = "HS256"
_jws = jwt.PyJWS(algorithms=[_ALGORITHM])


class _Kind(msgspec.Struct):
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    video: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Dated(msgspec.Struct):
    exp: int | float
    nbf: int | float = 0
    sub: str = ""
    aud: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _HubClaims(_Dated, kw_only=True):
    scope: str
    rooms: frozenset[str] | msgspec.UnsetType = msgspec.UNSET
    view: str = VIEWER


class _Video(msgspec.Struct):
    room: str


class _LiveKitClaims(_Dated, kw_only=True):
    video: _Video
    iss: str = ""


class Verified(msgspec.Struct, frozen=True):
    """A token whose signature and claims are valid, before its dates are checked."""

    grant: Grant
    expires_at: float
    starts_at: float


Claims = TypeVar("Claims", bound=msgspec.Struct)


class TokenReader:
    """Turns tokens into grants.

    Args:
        jwt_secret: STREAM_JWT_SECRET, or None.
        livekit_api_key: whom a LiveKit token must name as its issuer; None takes any.
        livekit_api_secret: LIVEKIT_API_SECRET, or None.

    Raises:
        SettingsError: a secret that is a public key or certificate, which is no secret.
    """

    def __init__(
        self, jwt_secret: str | None, livekit_api_key: str | None, livekit_api_secret: str | None
    ) -> None:
        _check_secret("STREAM_JWT_SECRET", jwt_secret)
        _check_secret("LIVEKIT_API_SECRET", livekit_api_secret)
        self._jwt_secret = jwt_secret
        self._livekit_api_key = livekit_api_key
        self._livekit_api_secret = livekit_api_secret
        self.configured = bool(jwt_secret or livekit_api_secret)
        # Only valid tokens are cached: a failure raises. So strangers cannot evict tokens in use.
        self._cached = functools.lru_cache(maxsize=CACHED_TOKENS)(self._verify)

    def read(self, token: str, now: float) -> Grant:
        """Return what a token allows.

        Args:
            token: as sent.
            now: seconds since 1970.

        Raises:
            Unauthorized: not signed by a known secret, malformed, expired or not valid yet.
        """
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise Unauthorized(f"The token is not a JWT of at most {MAX_TOKEN_CHARACTERS} ASCII characters.")
        verified = self._cached(token)
        if now >= verified.expires_at:
            raise Unauthorized("The token has expired: get a new one.")
        if now + START_LEEWAY < verified.starts_at:
            raise Unauthorized("The token is not valid yet (`nbf`): check the issuer's clock.")
        return verified.grant

    def _verify(self, token: str) -> Verified:
        by_hub = signed_payload(token, self._jwt_secret)
        by_livekit = signed_payload(token, self._livekit_api_secret)
        payload = by_hub if by_hub is not None else by_livekit
        if payload is None:
            raise Unauthorized(
                "The token's signature is wrong: it was signed with another secret, or modified."
            )
        kind = decode_claims(payload, _Kind)
        is_hub, is_livekit = kind.scope is not msgspec.UNSET, kind.video is not msgspec.UNSET
        if is_hub and is_livekit:
            raise Unauthorized(
                "The token has both `scope` (a hub token) and `video` (a LiveKit token): leave one out."
            )
        if is_hub and by_hub is not None:
            return _hub_token(decode_claims(by_hub, _HubClaims), token)
        if is_livekit and by_livekit is not None:
            return self._livekit_token(decode_claims(by_livekit, _LiveKitClaims), token)
        raise Unauthorized(
            "The token needs `scope` and STREAM_JWT_SECRET's signature (a hub token), or `video` and "
            "LIVEKIT_API_SECRET's (a LiveKit token)."
        )

    def _livekit_token(self, claims: _LiveKitClaims, token: str) -> Verified:
        if self._livekit_api_key and claims.iss != self._livekit_api_key:
            raise Unauthorized("The LiveKit token's `iss` is not this hub's LIVEKIT_API_KEY.")
        if not claims.video.room:
            raise Unauthorized("The LiveKit token's `video.room` is empty: it must name a room.")
        room = frozenset({claims.video.room})
        return _dated(claims, _name("livekit", claims.sub, token), frozenset({SUBSCRIBE}), room, VIEWER)


def signed_payload(token: str, secret: str | None) -> bytes | None:
    """Return a token's payload, or None if this secret did not sign it.

    Raises:
        Unauthorized: not a JWT, or not HS256.
    """
    if not secret:
        return None
    try:
        payload = _jws.decode(token, secret, algorithms=[_ALGORITHM])
    except jwt.InvalidSignatureError:
        return None
    except jwt.InvalidAlgorithmError:
        raise Unauthorized(
            f"The token must be signed with {_ALGORITHM}; no other `alg` is accepted."
        ) from None
    except jwt.InvalidTokenError:
        raise Unauthorized("The token is not a readable JWT.") from None
    return payload if isinstance(payload, bytes) else None


def decode_claims(payload: bytes, kind: type[Claims]) -> Claims:
    """Read a verified payload.

    Raises:
        Unauthorized: a claim is missing or of the wrong type; names the claim, not its value.
    """
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError as error:
        raise Unauthorized(f"The token's claims are invalid: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unauthorized("The token's claims are not valid JSON.") from None


def _hub_token(claims: _HubClaims, token: str) -> Verified:
    # Unknown words are ignored: one token may serve several services.
    scopes = frozenset(claims.scope.split()) & ALL_SCOPES
    if claims.view not in (VIEWER, OPERATOR):
        raise Unauthorized("The token's `view` must be viewer or operator.")
    view: View = OPERATOR if claims.view == OPERATOR or OPERATE in scopes else VIEWER
    if OPERATE in scopes:
        scopes = ALL_SCOPES
    rooms = None if claims.rooms is msgspec.UNSET else claims.rooms
    return _dated(claims, _name("jwt", claims.sub, token), scopes, rooms, view)


def _dated(
    claims: _Dated, who: str, scopes: frozenset[str], rooms: frozenset[str] | None, view: View
) -> Verified:
    if not (0 < claims.exp < MAX_DATE and 0 <= claims.nbf < MAX_DATE):
        raise Unauthorized("The token's `exp` or `nbf` is out of range: dates are seconds since 1970.")
    if claims.aud is not msgspec.UNSET:
        raise Unauthorized("The token's `aud` names another audience: tokens for this hub have none.")
    grant = Grant(who, scopes, rooms, view, float(claims.exp))
    return Verified(grant, float(claims.exp), float(claims.nbf))


def _name(kind: str, subject: str, token: str) -> str:
    """Name the holder; without a usable `sub`, by part of the token's digest, which distinguishes tokens."""
    if subject.isprintable() and 0 < len(subject) <= 200:
        return f"{kind}:{subject}"
    return f"{kind}:#{hashlib.sha256(token.encode()).hexdigest()[:12]}"


def _check_secret(setting: str, secret: str | None) -> None:
    if not secret:
        return
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError:
        raise SettingsError(
            f"{setting} is an asymmetric key or a certificate: set a random string instead."
        ) from None
