"""LiveKit's tokens: what a client may request, and what it gets.

The request is LiveKit's standard one (`TokenSource.endpoint` of its clients). A token is a JWT with a few claims, which
PyJWT signs: livekit-api would bring protobuf and an HTTP client into every installation. A test compares both.
"""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Final

import jwt
import msgspec

from streaming_hub.errors import InvalidBody

PARTICIPANT_SECONDS: Final = 900.0
"""Seconds for which a token can be used to join; LiveKit renews it for connected participants."""
SERVICE_SECONDS: Final = 60.0
"""Seconds for which the hub's own tokens are valid."""

_UNDERSCORE: Final = re.compile(r"_([a-z])")

Name = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]


class TokenRequest(msgspec.Struct, frozen=True):
    """LiveKit's TokenSourceRequest. All fields are optional; null and empty values count as absent."""

    room_name: Name | None = None
    participant_identity: Name | None = None
    participant_name: Name | None = None
    participant_metadata: str | None = None
    participant_attributes: dict[str, str] | None = None
    room_config: dict[str, Any] | None = None


class _Agent(msgspec.Struct, rename="camel", omit_defaults=True):
    """livekit.RoomAgentDispatch."""

    agent_name: str = ""
    metadata: str = ""
    restart_policy: str | int = 0
    deployment: str = ""
    attributes: dict[str, str] = {}


Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class _RoomConfig(msgspec.Struct, rename="camel", omit_defaults=True):
    """livekit.RoomConfiguration, as its JSON."""

    name: str = ""
    empty_timeout: Count = 0
    departure_timeout: Count = 0
    max_participants: Count = 0
    metadata: str = ""
    egress: Any = None
    min_playout_delay: Count = 0
    max_playout_delay: Count = 0
    sync_streams: bool = False
    agents: list[_Agent] = []
    tags: dict[str, str] = {}


class Minter:
    """Mints tokens with the API key.

    Args:
        api_key: LIVEKIT_API_KEY.
        api_secret: LIVEKIT_API_SECRET.
        agent_name: the agent to dispatch if a request names none; empty if LiveKit dispatches one to every room.
    """

    def __init__(self, api_key: str, api_secret: str, agent_name: str = "") -> None:
        self._key, self._secret = api_key, api_secret
        self.agent_name = agent_name

    def participant(self, asked: TokenRequest, room: str, identity: str, seconds: float) -> str:
        """Return a token for one participant in one room.

        Args:
            asked: the request, with name, metadata, attributes and room configuration.
            room: the only room that it opens.
            identity: the participant; LiveKit disconnects an existing participant with the same identity.
            seconds: how long it is valid.

        Raises:
            InvalidBody: the room configuration is invalid, or asks for a recording.
        """
        grants = {
            "roomJoin": True,
            "room": room,
            "canPublish": True,
            "canSubscribe": True,
            "canPublishData": True,
            "canUpdateOwnMetadata": True,
        }
        more = {
            "name": asked.participant_name,
            "metadata": asked.participant_metadata,
            "attributes": asked.participant_attributes,
            "roomConfig": self._room_config(asked.room_config),
        }
        return self._token(
            grants, seconds, sub=identity, **{name: value for name, value in more.items() if value}
        )

    def for_room(self, room: str) -> str:
        """Return a token for the hub's own requests about one room."""
        return self._token({"roomAdmin": True, "room": room}, SERVICE_SECONDS)

    def for_listing(self) -> str:
        """Return a token for the hub's own requests for the list of rooms."""
        return self._token({"roomList": True}, SERVICE_SECONDS)

    def _token(self, grants: dict[str, Any], seconds: float, **claims: Any) -> str:
        now = time.time()
        claims |= {"video": grants, "iss": self._key, "nbf": int(now), "exp": int(now + seconds)}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def _room_config(self, asked: dict[str, Any] | None) -> dict[str, Any]:
        try:
            config = msgspec.convert(_camel_case(asked or {}), _RoomConfig, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidBody(f"room_config: {error}.", field="room_config") from error
        if config.egress is not None:
            raise InvalidBody(
                "room_config.egress: tokens from this hub cannot start a recording; start it from your server.",
                field="room_config.egress",
            )
        if not config.agents and self.agent_name:
            config.agents = [_Agent(self.agent_name)]
        made: dict[str, Any] = msgspec.to_builtins(config)
        return made


def _camel_case(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a message's fields under their JSON names, without nulls, since protobuf accepts either spelling.

    This includes the agents' fields. Keys of maps stay unchanged.
    """
    renamed = {_UNDERSCORE.sub(_upper, name): value for name, value in fields.items() if value is not None}
    agents = renamed.get("agents")
    if isinstance(agents, list):
        renamed["agents"] = [_camel_case(one) if isinstance(one, dict) else one for one in agents]
    return renamed


def _upper(found: re.Match[str]) -> str:
    return found[1].upper()
