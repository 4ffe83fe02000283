"""Runs the watcher until it is asked to stop, and reports its state to the hub over the control socket."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from streaming_hub_client.fitting import fit
from streaming_hub_client.poster import Poster

from .rooms import Rooms

if TYPE_CHECKING:
    from streaming_hub_client.conversation import Event

    from ..control import Control
    from .settings import Settings

log = logging.getLogger(__name__)

STOPPED = "watcher_stopped"
# Both together must fit into the time that the stopping hub grants.
LEAVE_SECONDS = 2.0
FLUSH_SECONDS = 1.2


def serve(settings: Settings, control: Control) -> int:
    """Run until SIGTERM, SIGINT or a failure; return the exit code: 0 after a stop, 1 after a failure."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("livekit").setLevel(logging.WARNING)
    try:
        failure = asyncio.run(_run(settings, control))
    except (ValueError, OSError) as error:
        failure = str(error)
    return 0 if failure is None else control.refuse(failure)


async def _run(settings: Settings, control: Control) -> str | None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    poster = Poster.from_env()

    def send(event: Event) -> None:
        poster.post(fit(event))

    def report() -> None:
        counts = {"rooms": rooms.rooms, "unknown": rooms.unknown.total()}
        why = {"reason": rooms.trouble} if rooms.trouble else {}
        if rooms.sessions:
            control.report("running", sessions=rooms.sessions, counts=counts, **why)
        else:
            control.report("ready", counts=counts, **why)

    rooms = Rooms(settings, send, report)
    report()
    log.info("watching rooms named %s", ", ".join(settings.patterns))
    watching, stopping = asyncio.create_task(rooms.run()), asyncio.create_task(stop.wait())
    await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
    failure = None
    if watching.done() and (error := watching.exception()) is not None:
        log.error("the watcher cannot continue", exc_info=error)
        causes = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        failure = f"the watcher cannot continue: {'; '.join(map(str, causes))}"
    else:
        control.report("draining")
    try:
        await asyncio.wait_for(rooms.stop(STOPPED), LEAVE_SECONDS)
    except TimeoutError:
        log.warning("could not leave some rooms within %.1f s", LEAVE_SECONDS)
    watching.cancel()
    await asyncio.wait([watching], timeout=LEAVE_SECONDS)
    await asyncio.to_thread(poster.close, FLUSH_SECONDS)
    return failure
