"""LiveKit's tokens: what a client may ask for, and what it gets. Minted by livekit-api.

The request is LiveKit's standard one (`TokenSource.endpoint` of its clients). `livekit.api` takes 0.2 s to
import, so `Minter` imports it when it is made: at the server's start, and only where LiveKit is configured.
Its asyncio client is not used.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from streaming_hub.errors import InvalidBody

if TYPE_CHECKING:
    from livekit.protocol.room import RoomConfiguration

PARTICIPANT_SECONDS: Final = 900.0
"""How long a token can be used to join; LiveKit renews it for connected participants."""
SERVICE_SECONDS: Final = 60.0
"""How long a token of the hub's own is good for."""

Name = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


class TokenRequest(msgspec.Struct, frozen=True):
    """LiveKit's TokenSourceRequest. All fields are optional; null and empty count as absent."""

    room_name: Name | None = None
    participant_identity: Name | None = None
    participant_name: Name | None = None
    participant_metadata: str | None = None
    participant_attributes: dict[str, str] | None = None
    room_config: dict[str, Any] | None = None


class Minter:
    """Mints tokens with the API key.

    Args:
        api_key: LIVEKIT_API_KEY.
        api_secret: LIVEKIT_API_SECRET.
        agent_name: the agent that is asked for where a request names none; empty where LiveKit sends one by itself.
    """

    def __init__(self, api_key: str, api_secret: str, agent_name: str = "") -> None:
        from google.protobuf import json_format  # noqa: PLC0415 - costs time and memory; see the module's text
        from livekit import api  # noqa: PLC0415

        self._api: Any = api
        self._json: Any = json_format
        self._key, self._secret = api_key, api_secret
        self.agent_name = agent_name

    def participant(self, asked: TokenRequest, room: str, identity: str, seconds: float) -> str:
        """Return a token for one participant in one room.

        Args:
            asked: name, metadata, attributes and room configuration.
            room: the only room that it opens.
            identity: the participant; LiveKit disconnects an existing participant with the same identity.
            seconds: how long it is good for.

        Raises:
            InvalidBody: the room configuration is none, or asks for a recording.
        """
        grants = self._api.VideoGrants(
            room_join=True,
            room=room,
            can_publish=True,
            can_subscribe=True,
            can_publish_data=True,
            can_update_own_metadata=True,
        )
        token = self._token(grants, seconds).with_identity(identity)
        if asked.participant_name:
            token.with_name(asked.participant_name)
        if asked.participant_metadata:
            token.with_metadata(asked.participant_metadata)
        if asked.participant_attributes:
            token.with_attributes(asked.participant_attributes)
        if (config := self._room_config(asked.room_config)) is not None:
            token.with_room_config(config)
        return str(token.to_jwt())

    def for_room(self, room: str) -> str:
        """Return a token with which the hub itself asks about one room."""
        return self._of_the_hub(room_admin=True, room=room)

    def for_listing(self) -> str:
        """Return a token with which the hub itself asks which rooms are open."""
        return self._of_the_hub(room_list=True)

    def _of_the_hub(self, **grants: Any) -> str:
        return str(self._token(self._api.VideoGrants(**grants), SERVICE_SECONDS).to_jwt())

    def _token(self, grants: Any, seconds: float) -> Any:
        lasting = datetime.timedelta(seconds=seconds)
        return self._api.AccessToken(self._key, self._secret).with_ttl(lasting).with_grants(grants)

    def _room_config(self, asked: dict[str, Any] | None) -> RoomConfiguration | None:
        config: RoomConfiguration = self._api.RoomConfiguration()
        try:
            self._json.ParseDict(asked or {}, config, ignore_unknown_fields=True)
        except self._json.ParseError as error:
            raise InvalidBody(f"room_config: {error}.", field="room_config") from error
        if config.HasField("egress"):
            raise InvalidBody(
                "room_config.egress: tokens from this hub cannot start a recording; start it from your server.",
                field="room_config.egress",
            )
        if not config.agents and self.agent_name:
            config.agents.add(agent_name=self.agent_name)
        return config if config.ByteSize() else None
