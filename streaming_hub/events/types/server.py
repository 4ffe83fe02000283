"""Event types that only the server creates: the agent process (stored), and control events (never stored)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta

from streaming_hub.events.cursor import ResetReason
from streaming_hub.events.types.base import Control, Opt, Stored
from streaming_hub.events.types.snapshot import SnapshotRoom
from streaming_hub.events.views import OPERATOR, VIEWER

ProcessState = Literal["starting", "ready", "running", "draining", "stopped", "failed"]
WhyReset = Annotated[
    ResetReason,
    Meta(
        description="`expired`: no longer stored; `foreign`: from another history; `future`; `malformed`; "
        "`history_lost`: Redis returned with fewer events."
    ),
]
RoomStates = Annotated[list[SnapshotRoom], Meta(description="As returned by `GET /api/rooms/NAME`.")]


class AgentProcess(Stored, tag="agent_process", kw_only=True):
    """The state of the agent process."""

    state: Annotated[ProcessState, Meta(description="`running` while a session is live.")]
    pid: Annotated[int | None, Meta(description="The process id; null if there is no process.")]
    exit: Annotated[
        int | str | None,
        Meta(description="Its exit code or the signal that ended it; else null."),
    ]
    reason: Annotated[
        str | None,
        Meta(
            description="With `failed`: why. With `ready` and `running`: why new rooms get no agent now. Else null."
        ),
    ]
    log: Opt[
        Annotated[list[str], Meta(description="With `failed`: its last log lines, without secrets.")]
    ] = UNSET
    restart_in: Opt[
        Annotated[
            float | None,
            Meta(description="With `failed`: seconds until it is restarted; null if it is not."),
        ]
    ] = UNSET

    view: ClassVar = OPERATOR
    by_hub: ClassVar = True
    example: ClassVar = {
        "type": "agent_process",
        "timestamp": 1795429982.975,
        "state": "ready",
        "pid": 29191,
        "exit": None,
        "reason": None,
    }


class Connected(Control, tag="connected", kw_only=True):
    """The first event of every stream."""

    client_id: Annotated[str, Meta(description="A random id of this stream.")]
    cursor: Annotated[
        str, Meta(description="The position after which the stream continues; a valid `Last-Event-ID`.")
    ]
    head: Annotated[
        str,
        Meta(
            description="The newest id at that moment: a stream whose position has reached it has caught up, "
            "which a heartbeat confirms."
        ),
    ]
    server_time: Annotated[float, Meta(description="The server's clock, seconds since 1970.")]
    heartbeat: Annotated[float, Meta(description="Seconds between heartbeats.")]
    ignored: Opt[
        Annotated[
            list[str],
            Meta(description="Unknown parameters of the request, perhaps misspelt filters."),
        ]
    ] = UNSET
    warnings: Opt[
        Annotated[
            list[str],
            Meta(description="A sentence for each filter value that looks like a mistake."),
        ]
    ] = UNSET

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "connected",
        "client_id": "baa8a9e5618bf077",
        "cursor": "4fdd2f42-0",
        "head": "4fdd2f42-484",
        "server_time": 1795429982.45,
        "heartbeat": 15.0,
    }


class Heartbeat(Control, tag="heartbeat", kw_only=True):
    """Shows that the stream is alive. Its `id:` line is the stream's position."""

    timestamp: Annotated[float, Meta(description="The server's clock, seconds since 1970.")]

    view: ClassVar = VIEWER
    example: ClassVar = {"type": "heartbeat", "timestamp": 1795429997.48}


class Snapshot(Control, tag="snapshot", kw_only=True):
    """The current state of the rooms, requested with `snapshot=1`; several events if one would be too long."""

    as_of: Annotated[str, Meta(description="The position of this state.")]
    part: Annotated[int, Meta(ge=1, description="Number of this part, from 1.")]
    more: Annotated[bool, Meta(description="Whether another part with other rooms follows.")]
    rooms: RoomStates

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "snapshot",
        "as_of": "4fdd2f42-484",
        "part": 1,
        "more": False,
        "rooms": [
            {
                "room": "rehearsal",
                "last_seq": 484,
                "updated": 1795430083.31,
                "participants": [{"identity": "user", "role": "user"}],
                "agent_state": "listening",
                "speaking": [],
                "user_state": "listening",
                "turn": None,
                "transcript": [],
                "sessions": [{"session_id": "d74c", "started": 1795429986.66, "updated": 1795430083.31}],
            }
        ],
    }


class StreamReset(Control, tag="stream_reset", kw_only=True):
    """The stream cannot resume where requested, or had to skip events. Those still stored follow."""

    reason: WhyReset
    requested: Annotated[str, Meta(description="The cursor as sent, shortened.")]
    oldest: Annotated[str | None, Meta(description="The first stored id; null if nothing is stored.")]
    missed: Annotated[int | None, Meta(description="How many events the client missed; null if unknown.")]

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "stream_reset",
        "reason": "expired",
        "requested": "4fdd2f42-17",
        "oldest": "4fdd2f42-31",
        "missed": 13,
    }


class Goodbye(Control, tag="goodbye", kw_only=True):
    """The last event of a stream that the server ends."""

    reason: Annotated[
        str,
        Meta(
            description="`draining`, `too_many_clients`, `history_away`, `ticket_expired` or `credential_expired`.",
            examples=["draining", "ticket_expired"],
        ),
    ]
    retry_ms: Annotated[int, Meta(ge=0, description="Milliseconds to wait before reconnecting.")]

    view: ClassVar = VIEWER
    example: ClassVar = {"type": "goodbye", "reason": "draining", "retry_ms": 3120}
