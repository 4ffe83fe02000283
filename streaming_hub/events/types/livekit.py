"""Event types made from livekit-server's own webhooks. Fields as streaming_hub/livekit/webhooks.py makes them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Meta

from streaming_hub.events.types import effects
from streaming_hub.events.types.base import Opt, Stored
from streaming_hub.events.views import VIEWER


class OfRoom(Stored, kw_only=True):
    """The fields of all of them."""

    created_at: Opt[
        Annotated[int, Meta(ge=0, description="When LiveKit created the webhook, whole seconds since 1970.")]
    ] = UNSET
    room_sid: Opt[Annotated[str, Meta(description="LiveKit's id of the room.")]] = UNSET


class OfParticipant(OfRoom, kw_only=True):
    """The fields about a participant."""

    name: Opt[Annotated[str, Meta(description="The name to display.")]] = UNSET
    participant_sid: Opt[Annotated[str, Meta(description="LiveKit's id of this connection.")]] = UNSET
    kind: Opt[
        Annotated[
            str,
            Meta(
                description="LiveKit's kind: `standard`, `agent`, `sip`, `egress`...",
                examples=["standard", "agent"],
            ),
        ]
    ] = UNSET
    reason: Opt[Annotated[str, Meta(description="Why they left, as reported by LiveKit.")]] = UNSET


class RoomStarted(OfRoom, tag="room_started", kw_only=True):
    """The room is open."""

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "room_started",
        "timestamp": 1795429980.2,
        "room": "support-7",
        "created_at": 1795429980,
    }


class ParticipantJoined(OfParticipant, tag="participant_joined", kw_only=True):
    """A participant joined."""

    view: ClassVar = VIEWER
    effect: ClassVar = effects.member(joined=True)
    example: ClassVar = {
        "type": "participant_joined",
        "timestamp": 1795429981.1,
        "room": "support-7",
        "participant": "alice",
        "kind": "standard",
        "role": "user",
    }


class ParticipantLeft(OfParticipant, tag="participant_left", kw_only=True):
    """A participant left."""

    view: ClassVar = VIEWER
    effect: ClassVar = effects.member(joined=False)
    example: ClassVar = {
        "type": "participant_left",
        "timestamp": 1795430300.4,
        "room": "support-7",
        "participant": "alice",
        "kind": "standard",
        "role": "user",
        "reason": "client_initiated",
    }


class RoomFinished(OfRoom, tag="room_finished", kw_only=True):
    """The room is closed."""

    view: ClassVar = VIEWER
    effect: ClassVar = effects.room_finished()
    example: ClassVar = {"type": "room_finished", "timestamp": 1795430320.1, "room": "support-7"}
