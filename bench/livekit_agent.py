"""An agent that measures itself: the assistant in LiveKit's rooms, with `attach` or without it.

Run by `bench/livekit_figures.py`:  livekit_agent.py KIND REPORT

KIND is `plain` (no `attach`, and nothing of it imported), `noted` (the same, but the callbacks of its session are
noted; with RECORD it uploads), `attached` or `traced` (attached, and every allocation of the bridge and the poster is
followed). At each SIGUSR1 a line of JSON is added to REPORT: CPU and memory so far, what
the callbacks took, and in `traced` what they hold. Each event carries `called_at`, when its callback was called.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from livekit.agents import AgentServer, AgentSession, JobContext, JobExecutorType, JobProcess
from livekit.plugins import silero
from openai.resources import audio, chat

from agent.assistant import Assistant
from agent.session import make_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub_client.attachment import Attachment

# openai's client loads them when first used: tens of thousands of allocations of its own.
WARM = (audio, chat)
PARTS = ("attach", "bridge", "conversation", "poster", "backlog", "spool", "lease", "retry")
OWN_FILES = {str(Path(__file__).resolve().parents[1] / "agent" / f"{part}.py") for part in PARTS}
FRAMES = 16  # deep enough to see the bridge or the poster below what allocates for them


class Callbacks:
    """What the callbacks of one session took: [wall seconds, CPU seconds] of each call."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, float]] = []
        self.events = 0
        self.notes: list[tuple[float, str, str]] = []
        self._called_at = 0.0

    def timed(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return the callback with a stopwatch."""

        def call(payload: Any) -> None:
            self._called_at = time.time()
            wall, cpu = time.perf_counter(), time.thread_time()
            callback(payload)
            self.taken.append((time.perf_counter() - wall, time.thread_time() - cpu))

        return call

    def note(self, session: AgentSession[None]) -> None:
        """Note when the session calls back about the agent's state and the user's final words."""

        def state(event: Any) -> None:
            self.notes.append((time.time(), "agent_state", event.new_state))

        def words(event: Any) -> None:
            if event.is_final:
                self.notes.append((time.time(), "user_final", event.transcript))

        session.on("agent_state_changed", state)
        session.on("user_input_transcribed", words)

    def stamp(self, event: dict[str, Any]) -> dict[str, Any]:
        """Say in the event when its callback was called."""
        self.events += 1
        return {**event, "called_at": self._called_at}


callbacks = Callbacks()


def attach_measured(session: AgentSession[None], ctx: JobContext) -> Attachment:
    """Attach as a user does, with a stopwatch around each callback."""
    from streaming_hub_client.attachment import attach  # noqa: PLC0415  # `plain` must not have it: `main` imports it
    from streaming_hub_client.words import SpokenWords  # noqa: PLC0415

    subscribe = session.on
    # only `attach` calls it while it is replaced, and only to subscribe
    session.on = lambda name, callback: subscribe(name, callbacks.timed(callback))  # type: ignore[assignment,method-assign,misc]
    attachment = attach(session, ctx, redact=callbacks.stamp)
    session.on = subscribe  # type: ignore[method-assign]
    attachment.words = SpokenWords(callbacks.timed(attachment.words._on_words))
    return attachment


def prewarm(process: JobProcess) -> None:
    """Load the voice activity model before the first job."""
    process.userdata["vad"] = silero.VAD.load()


def entrypoint_of(kind: str) -> Callable[[JobContext], Any]:
    """Return the job's entry point: as in agent/rooms.py, but for how it is attached."""

    async def entrypoint(ctx: JobContext) -> None:
        session = make_session(ctx.proc.userdata["vad"])
        if kind == "noted":
            callbacks.note(session)
        elif kind != "plain":
            attach_measured(session, ctx)
        uploads = {"record": True} if os.environ.get("RECORD") else {}
        await session.start(agent=Assistant(), room=ctx.room, **uploads)

    return entrypoint


def poster_cpu() -> float:
    """Return the CPU seconds of the poster's threads so far."""
    clocks = [
        time.pthread_getcpuclockid(thread.ident)
        for thread in threading.enumerate()
        if thread.name.startswith("poster") and thread.ident is not None
    ]
    return sum(time.clock_gettime(clock) for clock in clocks)


def resident() -> int:
    """Return this process's resident bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def traced_bytes() -> int | None:
    """Return what is held of all that was allocated by the bridge and the poster, or for them; None: not followed."""
    if not tracemalloc.is_tracing():
        return None
    traces = tracemalloc.take_snapshot().traces  # its own filters compare patterns, which takes minutes here
    return sum(
        trace.size for trace in traces if any(frame.filename in OWN_FILES for frame in trace.traceback)
    )


def look(report: Path) -> None:
    """Add a line to the report."""
    line = {
        "at": time.time(),
        "process_cpu": time.process_time(),
        "poster_cpu": poster_cpu(),
        "resident": resident(),
        "events": callbacks.events,
        "callbacks": callbacks.taken,
        "traced": traced_bytes(),
        "notes": callbacks.notes,
    }
    with report.open("a") as file:
        file.write(json.dumps(line) + "\n")


async def serve(kind: str, report: Path) -> None:
    """Take jobs until the process is ended."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, look, report)
    server = AgentServer(
        host="127.0.0.1",
        port=0,
        job_executor_type=JobExecutorType.THREAD,
        num_idle_processes=1,
        load_fnc=lambda _server: 0.0,
        setup_fnc=prewarm,
    )
    server.rtc_session(entrypoint_of(kind))
    server.on("worker_registered", lambda *_: print("registered", flush=True))
    await server.run()


def main() -> None:
    """Run what the command line says."""
    kind, report = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    if kind == "traced":
        tracemalloc.start(FRAMES)
    if kind not in ("plain", "noted"):
        importlib.import_module("streaming_hub_client.attachment")  # here, where nothing waits for it
    asyncio.run(serve(kind, Path(report)))


if __name__ == "__main__":
    main()
