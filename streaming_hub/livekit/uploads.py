"""LiveKit's agents upload to "Agent Insights": the paths, and the tokens of the uploads. Pure: time is an argument.

An agent signs a JWT with its own LIVEKIT_API_SECRET; it names the API key as its issuer and grants
`observability.write` (livekit-agents, `telemetry/traces.py`). The token names no room, and opens nothing else.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streaming_hub.access.tokens import decode_claims, signed_payload
from streaming_hub.errors import Unauthorized

PREFIX: Final = "/observability/"
"""Prefix of the paths that agents upload to."""
LEEWAY: Final = 60.0
"""Seconds by which the agent's clock may differ from the hub's."""
MAX_TOKEN_CHARACTERS: Final = 8192
DISABLED: Final = "data recording is disabled by owner"
"""In a 401 this text makes the SDK stop uploading for the session, with one warning in its log."""


class _Grant(msgspec.Struct):
    write: bool = False


class _Claims(msgspec.Struct):
    exp: int | float
    nbf: int | float = 0
    iss: str = ""
    observability: _Grant = msgspec.field(default_factory=_Grant)


def verify(token: str | None, *, api_key: str, api_secret: str, now: float) -> None:
    """Check that a request is from an agent of this LiveKit project.

    Args:
        token: the `Authorization` header.
        api_key: LIVEKIT_API_KEY.
        api_secret: LIVEKIT_API_SECRET.
        now: seconds since 1970.

    Raises:
        Unauthorized: no token, another secret or key, no grant to upload, or an expired token.
    """
    token = (token or "").strip().removeprefix("Bearer ")
    if not token or len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
        raise Unauthorized("An upload needs the JWT that a LiveKit agent sends in `Authorization`.")
    payload = signed_payload(token, api_secret)
    if payload is None:
        raise Unauthorized("The upload's token is not signed with this hub's LIVEKIT_API_SECRET.")
    claims = decode_claims(payload, _Claims)
    if claims.iss != api_key:
        raise Unauthorized("The `iss` of the upload's token is not this hub's LIVEKIT_API_KEY.")
    if not claims.observability.write:
        raise Unauthorized("The upload's token does not grant `observability.write`.")
    if not claims.nbf - LEEWAY <= now < claims.exp + LEEWAY:
        raise Unauthorized("The upload's token has expired or is not valid yet: compare both clocks.")
