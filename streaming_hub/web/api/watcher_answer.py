"""What `GET /api/agent/status` says of the watcher process."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from streaming_hub.agents import State  # noqa: TC001 - msgspec resolves it


class WatcherAnswer(TypedDict):
    """The watcher process on the node that responds."""

    state: State
    pid: Annotated[int | None, Meta(description="The process id; null if there is no process.")]
    rooms: Annotated[int, Meta(description="Rooms that it is in.")]
    sessions: Annotated[int, Meta(description="Live sessions that it reports.")]
    restarts: Annotated[int, Meta(description="Automatic restarts.")]
    last_error: Annotated[str | None, Meta(description="Why it last failed.")]
    trouble: Annotated[str | None, Meta(description="Why it may miss rooms now; else null.")]
