"""Which rooms get the agent back: livekit-server sends a new worker to no room that is already open.

So when the agent process is ready again, the rooms in which it was, and those that people have entered while it
was away, are looked at: where there still are people and no agent, one is sent. Uses a thread, and livekit-server
by way of `service`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from hub.livekit.service import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hub.livekit.service import Present, Service

log = logging.getLogger("hub.livekit")

MAX_ROOMS: Final = 1000
SETTLE: Final = 1.0
"""Seconds after readiness until the look, in which LiveKit sends the new worker to rooms that are just opening."""
PAUSES: Final = (1.0, 3.0, 6.0)
"""Seconds between attempts where livekit-server does not answer."""


def needs_agent(people: Iterable[Present], lost_at: float | None) -> bool:
    """Say whether an agent should be sent to a room.

    Args:
        people: who is there. The participant of a killed agent stays for about 20 s.
        lost_at: when the room lost its agent, seconds since 1970; None where it had none.
    """
    present = list(people)
    alive = any(one.agent and (lost_at is None or one.joined_at >= lost_at) for one in present)
    return not alive and any(not one.agent for one in present)


class Recall:
    """Remembers rooms without an agent, and sends it there when it is back.

    Args:
        service: livekit-server.
        agent_name: AGENT_NAME; empty for the worker without a name.
        on_failure: called with the room and a sentence when an agent could not be sent.
        clock: seconds since 1970.
        settle: seconds from readiness to the look.
        pauses: seconds before each further attempt.
    """

    def __init__(
        self,
        service: Service,
        agent_name: str,
        on_failure: Callable[[str, str], None],
        *,
        clock: Callable[[], float] = time.time,
        settle: float = SETTLE,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self._service = service
        self._agent_name = agent_name
        self._on_failure = on_failure
        self._clock = clock
        self._settle = settle
        self._pauses = pauses
        self._rooms: OrderedDict[str, float | None] = OrderedDict()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def lost(self, room: str) -> None:
        """Note that a room has just lost its agent."""
        self._note(room, self._clock())

    def entered(self, room: str) -> None:
        """Note that somebody is about to enter a room, or has."""
        with self._lock:
            known = room in self._rooms
        if not known:
            self._note(room, None)

    def heard_of(self, room: str) -> None:
        """Note that somebody has entered a room, by LiveKit's word; it is ours where agents come without a name."""
        if not self._agent_name:
            self.entered(room)

    def closed(self, room: str) -> None:
        """Note that a room is no more."""
        with self._lock:
            self._rooms.pop(room, None)

    def agent_ready(self) -> None:
        """Look after the noted rooms, in a thread."""
        with self._lock:
            rooms = list(self._rooms.items())
            self._rooms.clear()
        if rooms:
            threading.Thread(target=self._serve, args=(rooms,), name="agent-recall", daemon=True).start()

    def stop(self) -> None:
        """Send no more agents."""
        self._stop.set()

    def _note(self, room: str, lost_at: float | None) -> None:
        with self._lock:
            self._rooms[room] = lost_at
            if len(self._rooms) > MAX_ROOMS:
                self._rooms.popitem(last=False)

    def _serve(self, rooms: list[tuple[str, float | None]]) -> None:
        if self._stop.wait(self._settle):
            return
        for room, lost_at in rooms:
            self._send(room, lost_at)

    def _send(self, room: str, lost_at: float | None) -> None:
        failure = ""
        for pause in (0.0, *self._pauses):
            if self._stop.wait(pause):
                return
            try:
                if needs_agent(self._service.present(room), lost_at):
                    self._service.dispatch(room, self._agent_name)
                    log.info("the agent was sent to the room %r", room)
            except ServiceError as error:
                failure = str(error)
            else:
                return
        log.warning("the agent could not be sent to the room %r: %s", room, failure)
        self._on_failure(room, f"the agent could not be sent to the room: {failure}")
