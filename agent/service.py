"""Runs the agent until it is asked to stop: LiveKit's worker, or one rehearsal after the other.

Reports its state to the hub over the control socket, and ends its sessions and sends their last events when a
SIGTERM arrives. The only place in the agent that knows signals and LiveKit's AgentServer.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import os
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from livekit.agents import AgentServer, JobExecutorType, WorkerOptions
from streaming_hub_client.attachment import shared_poster
from streaming_hub_client.ending import announce_end

from .connection import ConnectionMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from livekit.agents import JobRequest

    from .control import Control
    from .settings import Settings

log = logging.getLogger(__name__)

READY_MESSAGE = "Voice agent is ready and listening"
PAUSE_BETWEEN_REHEARSALS_SECONDS = 4.0
REPORT_SECONDS = 0.2

ROUTINE = frozenset(
    {
        "plugin registered",
        "preloading plugins",
        "initializing job runner",
        "job runner initialized",
        "initializing process",
        "process initialized",
    }
)
"""What LiveKit logs at every start, and again for each session's successor: it says nothing about any session."""

FULL_LOAD = 0.7
"""livekit-server silently gives no job to a worker that reports this load or more (its `agents.target_load`)."""

NO_LEASE = (
    "this node is cut off from Redis, and another one may run the agent: the sessions here continue,"
    " new rooms get no agent from here"
)

# At a stop of the hub all three together have to fit into what it grants before it kills (its AGENT_BUDGET).
CLOSE_SECONDS = 2.0
TASKS_SECONDS = 0.3
FLUSH_SECONDS = 1.2


def serve(settings: Settings, control: Control) -> int:
    """Run until SIGTERM, SIGINT or a failure.

    Args:
        settings: What to run.
        control: The line to the hub.

    Returns:
        The exit code: 0 after a stop, 1 after a failure.
    """
    _set_up_log()
    try:
        failure = asyncio.run(_Service(settings, control).run())
    except (ValueError, OSError) as error:
        failure = str(error)
    return 0 if failure is None else control.refuse(failure)


def _set_up_log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpx2"):  # openai's client logs every request
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # At the handlers: a logger's own filter does not see what comes from the loggers below it.
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: str(record.msg) not in ROUTINE)


class _Service:
    def __init__(self, settings: Settings, control: Control) -> None:
        self._settings = settings
        self._control = control
        self._poster = shared_poster()
        self._stop = asyncio.Event()
        self._failure: str | None = None
        self._ready = False
        self._trouble = ""
        # One writer, and a byte that is never reset: no lock is needed, and no wait for a killed reader.
        self._stopping = multiprocessing.get_context("spawn").Value("b", 0, lock=False)

    async def run(self) -> str | None:
        """Run; report the reason if the agent cannot continue."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        server, work = self._rooms() if self._settings.mode == "livekit" else self._rehearsals()
        tasks = [asyncio.create_task(each) for each in (*work, self._report(server), self._stop.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None:
                    log.error("the agent cannot continue", exc_info=error)
                    self._fail(f"the agent cannot continue: {error}")
        finally:
            await self._drain(server, tasks)
        return self._failure

    def _rehearsals(self) -> tuple[AgentServer, list[Coroutine[Any, Any, Any]]]:
        from .rehearsal import performance  # noqa: PLC0415  # only what this mode needs

        server = _make_server(self._settings, "thread", setup_fnc=performance.prewarm)
        server.rtc_session(performance.entrypoint)
        started = asyncio.Event()
        server.on("worker_started", started.set)
        performance.read_recordings()  # a missing one is reported before anything runs
        return server, [server.run(unregistered=True), self._rehearse(server, started)]

    async def _rehearse(self, server: AgentServer, started: asyncio.Event) -> None:
        await started.wait()
        self._report_ready()
        while True:
            await server.simulate_job(self._settings.room, fake_job=True)
            self._report_sessions(server)
            while server.active_jobs:
                await asyncio.sleep(REPORT_SECONDS)
            await asyncio.sleep(PAUSE_BETWEEN_REHEARSALS_SECONDS)

    def _rooms(self) -> tuple[AgentServer, list[Coroutine[Any, Any, Any]]]:
        # openai's client insists on a key; a local server named by OPENAI_BASE_URL needs none
        os.environ["OPENAI_API_KEY"] = os.environ.get("OPENAI_API_KEY") or "none"
        from . import rooms  # noqa: PLC0415  # only what this mode needs

        apart = self._settings.executor == "process"
        prewarm = partial(rooms.prewarm, stopping=self._stopping) if apart else rooms.prewarm
        server = _make_server(self._settings, self._settings.executor, setup_fnc=prewarm)
        server.rtc_session(
            rooms.entrypoint, agent_name=self._settings.agent_name, on_request=self._take_or_leave
        )
        monitor = ConnectionMonitor(self._settings.livekit_url, self._fail, self._report_trouble)
        logging.getLogger("livekit.agents").addHandler(monitor)

        def registered(*_details: object) -> None:
            monitor.registered()
            self._report_ready()

        server.on("worker_registered", registered)
        return server, [server.run()]

    async def _take_or_leave(self, job: JobRequest) -> None:
        """Accept a job, or leave it to the worker of another node: livekit-server asks the next one."""
        if self._control.takes_jobs():
            await job.accept()
        else:
            log.warning("leaving a job to another node: %s", NO_LEASE)
            await job.reject(terminate=False)

    def _report_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self._control.report("ready")
            log.info(READY_MESSAGE)
            self._poster.post({"type": "agent_ready", "message": READY_MESSAGE, "timestamp": time.time()})

    def _report_trouble(self, message: str) -> None:
        self._trouble = message
        if message:
            self._poster.post({"type": "error", "source": "worker", "message": message, "recoverable": True})

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason
        self._stop.set()

    async def _report(self, server: AgentServer) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self._report_sessions(server)

    def _report_sessions(self, server: AgentServer) -> None:
        if not self._ready or self._stop.is_set():
            return
        trouble = self._trouble if self._control.takes_jobs() else NO_LEASE
        why = {"reason": trouble} if trouble else {}
        if sessions := len(server.active_jobs):
            self._control.report("running", sessions=sessions, **why)
        else:
            self._control.report("ready", **why)

    async def _drain(self, server: AgentServer, tasks: list[asyncio.Task[Any]]) -> None:
        if self._failure is None:
            self._control.report("draining")
        announce_end("agent_stopped")
        self._stopping.value = 1
        stuck = False
        try:
            await asyncio.wait_for(server.aclose(), CLOSE_SECONDS)
        except TimeoutError:
            stuck = True
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=TASKS_SECONDS)
        await asyncio.to_thread(self._poster.close, FLUSH_SECONDS)
        if stuck:  # a job's thread cannot be killed, and the interpreter would wait for it forever
            log.error("a session did not end within %.1f s; leaving it behind", CLOSE_SECONDS)
            os._exit(0)


def _reported_load(server: AgentServer) -> float:
    """Report a load by which LiveKit spreads rooms over workers, but never one at which it skips this worker.

    CPU load, LiveKit's default, is above that whenever something else keeps the machine busy.
    """
    return min(0.5, 0.01 * len(server.active_jobs))


def _load_against(threshold: float) -> Callable[[AgentServer], float]:
    """Report the CPU load to LiveKit so that worker and server both count it as full at this threshold."""

    def load(server: AgentServer) -> float:
        cpu: float = WorkerOptions.load_fnc(server)  # type: ignore[call-arg]  # the default takes the server
        return cpu * FULL_LOAD / threshold

    return load


def _make_server(settings: Settings, executor: str, **options: Any) -> AgentServer:
    limited = not math.isinf(settings.load_threshold)
    return AgentServer(
        host="127.0.0.1",
        port=0,
        job_executor_type=JobExecutorType(executor),
        num_idle_processes=1,
        max_retry=sys.maxsize,  # once it was there, an outage of the server is waited out, however long
        load_fnc=_load_against(settings.load_threshold) if limited else _reported_load,
        load_threshold=FULL_LOAD if limited else math.inf,
        **options,
    )
