"""A room's current state, as types: `streaming_hub.rooms.state` builds it, /openapi.json describes it. Pure."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta


class Participant(TypedDict):
    """A participant in a room."""

    identity: str
    role: str | None


class Line(TypedDict):
    """One line of a transcript."""

    segment_id: str | None
    role: str | None
    participant: str | None
    text: str
    is_final: bool
    interrupted: bool
    turn_id: str | None
    session_id: str | None
    timestamp: float | None


class Turn(TypedDict):
    """The open turn: what was said in it so far."""

    turn_id: str
    session_id: str | None
    user: str
    agent: str


class SessionLine(TypedDict):
    """One of the last sessions; times in seconds since 1970."""

    session_id: str
    started: Annotated[float | None, Meta(description="Null if that event has expired.")]
    updated: Annotated[
        float | None,
        Meta(
            description="Its newest event's timestamp. A session without an end counts as abandoned 24 h later."
        ),
    ]
    ended: NotRequired[float | None]
    reason: NotRequired[str | None]


class ToolCall(TypedDict):
    """One of the last tool calls. Fields are as posted, with any value."""

    session_id: str | None
    call_id: str
    turn_id: Any
    name: Any
    arguments: Any
    started: Any
    status: Annotated[
        Any, Meta(description="`running`, `unfinished` (the session ended first), or as posted.")
    ]
    output: Any
    duration: Annotated[Any, Meta(description="Seconds.")]
    finished: Any


class RoomSummary(TypedDict):
    """A summary of a room."""

    room: str
    last_seq: Annotated[int, Meta(description="The sequence number of its newest event.")]
    updated: Annotated[float | None, Meta(description="That event's timestamp, seconds since 1970.")]
    participants: list[Participant]
    agent_state: Annotated[str | None, Meta(description="The newest state in a session that has not ended.")]
    speaking: Annotated[list[str], Meta(description="Participants who are speaking: identities, or roles.")]


class RoomForViewers(RoomSummary):
    """A room's current state as viewers see it."""

    user_state: str | None
    turn: Turn | None
    transcript: Annotated[
        list[Line], Meta(description="The last 50 lines, in the order in which they began.")
    ]
    sessions: Annotated[list[SessionLine], Meta(description="The last sessions, oldest first.")]


class RoomState(RoomForViewers):
    """A room's current state, as far as it follows from the stored events."""

    tools: NotRequired[Annotated[list[ToolCall], Meta(description="The last tool calls; operators only.")]]


class SnapshotRoom(RoomState):
    """A room's state in a `snapshot`."""

    left_out: NotRequired[
        Annotated[
            dict[str, int],
            Meta(
                description="If a room is too large for one event: how many of the oldest entries of a list, or "
                "characters of a string, are missing. `GET /api/rooms/NAME` returns them."
            ),
        ]
    ]
