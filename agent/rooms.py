"""The assistant in LiveKit's rooms: a job's entry point.

This is what a LiveKit user writes; `attach` is the one line that streams it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from livekit.plugins import silero
from streaming_hub_client import attach
from streaming_hub_client.ending import ask_for_end

from .assistant import Assistant
from .session import make_session

if TYPE_CHECKING:
    from livekit.agents import JobContext, JobProcess


class Flag(Protocol):
    """A byte that the worker's and the jobs' processes share, as `multiprocessing.Value` makes it."""

    value: int


def prewarm(process: JobProcess, stopping: Flag | None = None) -> None:
    """Load the voice activity model before the first job needs it.

    Args:
        process: The process or thread that jobs will run in.
        stopping: Set when the worker is asked to stop; for a session in its own process, which would not notice.
    """
    if stopping is not None:
        ask_for_end(lambda: "agent_stopped" if stopping.value else None)
    process.userdata["vad"] = silero.VAD.load()


async def entrypoint(ctx: JobContext) -> None:
    """Run one job: a session in one room."""
    session = make_session(ctx.proc.userdata["vad"])
    attach(session, ctx)
    await session.start(agent=Assistant(), room=ctx.room)
