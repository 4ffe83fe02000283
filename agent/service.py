"""Runs the agent until it is told to stop: LiveKit's worker, or one rehearsal after the other.

Tells the hub its state over the control socket, and ends its sessions and sends their last events when a
SIGTERM comes. The only place in the agent that knows signals and LiveKit's AgentServer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from livekit.agents import AgentServer, JobExecutorType

from agent.attach import announce_end, shared_poster
from agent.connection import ConnectionWatch, missing_setting

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from agent.control import Control

logger = logging.getLogger(__name__)

READY_MESSAGE = "Voice agent is ready and listening"
PAUSE_BETWEEN_REHEARSALS_SECONDS = 4.0
REPORT_SECONDS = 0.2
CLOSE_SECONDS = 3.0
FLUSH_SECONDS = 1.5


class RefusedError(Exception):
    """The agent cannot run; the text says why and what to do."""


def serve(control: Control) -> int:
    """Run until SIGTERM, SIGINT or a failure.

    Args:
        control: The line to the hub.

    Returns:
        The exit code: 0 after a stop, 1 after a failure.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_Service(control).run())
    except (RefusedError, ValueError, OSError) as error:
        control.tell("failed", reason=str(error))
        sys.stderr.write(f"agent: {error}\n")
        return 1
    return 0


class _Service:
    def __init__(self, control: Control) -> None:
        self._control = control
        self._poster = shared_poster()
        self._stop = asyncio.Event()
        self._failure: str | None = None
        self._ready = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        mode = os.environ.get("AGENT_MODE") or "rehearsal"
        if mode not in ("livekit", "rehearsal"):
            raise RefusedError(f"AGENT_MODE is {mode!r}; it must be livekit or rehearsal")
        server, work = self._rooms() if mode == "livekit" else self._rehearsals()
        tasks = [asyncio.create_task(each) for each in (*work, self._report(server), self._stop.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._drain(server, tasks)
        if self._failure is not None:
            raise RefusedError(self._failure)

    def _rehearsals(self) -> tuple[AgentServer, list[Coroutine[Any, Any, Any]]]:
        from agent.rehearsal import performance  # noqa: PLC0415  # only what this mode needs

        server = _make_server(JobExecutorType.THREAD, setup_fnc=performance.prewarm)
        server.rtc_session(performance.entrypoint)
        started = asyncio.Event()
        server.on("worker_started", started.set)
        performance.read_recordings()  # a missing one is told before anything runs
        return server, [server.run(unregistered=True), self._rehearse(server, started)]

    async def _rehearse(self, server: AgentServer, started: asyncio.Event) -> None:
        await started.wait()
        self._tell_ready()
        room = os.environ.get("AGENT_ROOM") or "rehearsal"
        while True:
            await server.simulate_job(room, fake_job=True)
            while server.active_jobs:
                await asyncio.sleep(REPORT_SECONDS)
            await asyncio.sleep(PAUSE_BETWEEN_REHEARSALS_SECONDS)

    def _rooms(self) -> tuple[AgentServer, list[Coroutine[Any, Any, Any]]]:
        if (reason := missing_setting(os.environ)) is not None:
            raise RefusedError(reason)
        # openai's client insists on a key; a local server named by OPENAI_BASE_URL needs none
        os.environ["OPENAI_API_KEY"] = os.environ.get("OPENAI_API_KEY") or "none"
        from agent import rooms  # noqa: PLC0415  # only what this mode needs

        server = _make_server(_executor(), setup_fnc=rooms.prewarm)
        server.rtc_session(rooms.entrypoint)
        watch = ConnectionWatch(os.environ["LIVEKIT_URL"], self._fail, self._tell_full)
        logging.getLogger("livekit.agents").addHandler(watch)

        def registered(*_details: object) -> None:
            watch.registered = True
            self._tell_ready()

        server.on("worker_registered", registered)
        return server, [server.run()]

    def _tell_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self._control.tell("ready")
            self._poster.post({"type": "agent_ready", "message": READY_MESSAGE, "timestamp": time.time()})

    def _tell_full(self, message: str) -> None:
        self._poster.post({"type": "error", "source": "worker", "message": message, "recoverable": True})

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason
        self._stop.set()

    async def _report(self, server: AgentServer) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if not self._ready:
                continue
            sessions = len(server.active_jobs)
            if sessions:
                self._control.tell("running", sessions=sessions)
            else:
                self._control.tell("ready")

    async def _drain(self, server: AgentServer, tasks: list[asyncio.Task[Any]]) -> None:
        if self._failure is None:
            self._control.tell("draining")
        announce_end("agent_stopped")
        stuck = False
        try:
            await asyncio.wait_for(server.aclose(), CLOSE_SECONDS)
        except TimeoutError:
            stuck = True
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=1.0)
        await asyncio.to_thread(self._poster.close, FLUSH_SECONDS)
        if stuck:  # a job's thread cannot be killed, and the interpreter would wait for it for ever
            logger.error("a session did not end within %.1f s; leaving it behind", CLOSE_SECONDS)
            os._exit(0)


def _make_server(executor: JobExecutorType, **options: Any) -> AgentServer:
    return AgentServer(
        host="127.0.0.1",
        port=0,
        job_executor_type=executor,
        num_idle_processes=1,
        load_threshold=_load_threshold(),
        **options,
    )


def _executor() -> JobExecutorType:
    name = os.environ.get("AGENT_EXECUTOR") or "thread"
    try:
        return JobExecutorType(name)
    except ValueError as error:
        raise RefusedError(f"AGENT_EXECUTOR is {name!r}; it must be thread or process") from error


def _load_threshold() -> float:
    # LiveKit's default counts the whole machine's CPU: a busy neighbour would make the worker refuse rooms
    text = os.environ.get("AGENT_LOAD_THRESHOLD")
    try:
        return float(text) if text else math.inf
    except ValueError as error:
        raise RefusedError(f"AGENT_LOAD_THRESHOLD is {text!r}; it must be a number from 0 to 1") from error
