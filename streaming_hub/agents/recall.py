"""Sends the agent to rooms that are already open: livekit-server dispatches a worker only to new rooms.

So the rooms that the agent process was in when it ended, those that a token was made for or that people have
entered, and those opened while it accepted none are checked as soon as the agent is ready: if there are people and no
agent, one is sent. Uses one thread, while there are rooms to check; talks to livekit-server through `server_api`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from streaming_hub.livekit.server_api import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from streaming_hub.livekit.server_api import Present, Service

log = logging.getLogger(__name__)

MAX_ROOMS: Final = 1000
ATTEMPTS: Final = 5
"""Checks of a room that is still empty, or of a server that does not respond."""
SENDINGS: Final = 3
"""Agents sent to a room before reporting that none joins: LiveKit accepts, and drops the job of a busy worker."""
CHECKS_IN_DOUBT: Final = 10
"""Looks at an agent that may be alive or not; LiveKit removes the participant of a dead one after about 20 s."""


class Pace(msgspec.Struct, frozen=True):
    """Times in seconds.

    Attributes:
        settle: from the agent's readiness, or a token, to the first look.
        again: between two checks at a room.
        arrival: from sending an agent to the look whether it came.
    """

    settle: float = 1.0
    again: float = 3.0
    arrival: float = 8.0


class Noted(msgspec.Struct):
    """A room to check.

    Attributes:
        lost_at: when it lost its agent, seconds since 1970; None where it had none.
        due: when to look, on the monotonic clock.
        bare: whether people were seen there without an agent. LiveKit may just be sending one by itself, which
            takes half a second: so a room that had no agent is looked at twice.
        failures: checks without a result.
        sent: how often an agent was sent.
        doubts: looks to come at an agent that may live though its node is gone: a second one must not talk into its
            call.
    """

    lost_at: float | None
    due: float
    bare: bool = False
    failures: int = 0
    sent: int = 0
    doubts: int = 0


def needs_agent(people: Iterable[Present], lost_at: float | None) -> bool:
    """Return whether an agent should be sent to a room.

    Args:
        people: who is there. The participant of a killed agent stays for about 20 s.
        lost_at: when the room lost its agent, seconds since 1970; None where it had none.
    """
    present = list(people)
    alive = any(one.agent and (lost_at is None or one.joined_at >= lost_at) for one in present)
    return not alive and any(not one.agent for one in present)


class Recall:
    """Remembers rooms that may be without an agent, and sends it there when it can.

    Args:
        service: livekit-server.
        agent_name: AGENT_NAME; empty for the worker without a name.
        on_failure: called with the room and a sentence when an agent could not be sent.
        clock: seconds since 1970.
        pace: how long to wait.
    """

    def __init__(
        self,
        service: Service,
        agent_name: str,
        on_failure: Callable[[str, str], None],
        *,
        clock: Callable[[], float] = time.time,
        pace: Pace | None = None,
    ) -> None:
        self._service = service
        self._agent_name = agent_name
        self._on_failure = on_failure
        self._clock = clock
        self._pace = pace or Pace()
        self._rooms: OrderedDict[str, Noted] = OrderedDict()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._none_since: float | None = None
        self._passed_over: tuple[float, Collection[str]] | None = None
        self._agent_is_here = False
        self._stopped = False
        self._thread: threading.Thread | None = None

    def lost(self, room: str, *, surely: bool = True) -> None:
        """Note that a room has just lost its agent.

        Args:
            room: its name.
            surely: whether the agent is known to be dead; one of another node may only be cut off.
        """
        self._note(room, self._clock(), doubts=0 if surely else CHECKS_IN_DOUBT)

    def entered(self, room: str) -> None:
        """Note that a person is about to enter a room, or has."""
        with self._lock:
            known = room in self._rooms
        if not known:
            self._note(room, None)

    def heard_of(self, room: str) -> None:
        """Note that a person entered a room, as reported by LiveKit; it is ours if agents have no name."""
        if not self._agent_name:
            self.entered(room)

    def closed(self, room: str) -> None:
        """Note that a room no longer exists."""
        with self._lock:
            self._rooms.pop(room, None)

    def agent_ready(self) -> None:
        """Start to check the noted rooms; do nothing if that is already running."""
        with self._lock:
            if self._agent_is_here:
                return
            self._agent_is_here = True
            for noted in self._rooms.values():
                noted.due = time.monotonic() + self._pace.settle
            self._start_checks()

    def agent_gone(self) -> None:
        """Send no agent until it is ready again."""
        with self._lock:
            self._agent_is_here = False
            self._none_since = self._passed_over = None

    def takes_none(self) -> None:
        """Note that the agent accepts no rooms for now: livekit-server silently skips it."""
        with self._lock:
            if self._none_since is None:
                self._none_since = self._clock()

    def takes_rooms(self, served: Collection[str]) -> None:
        """Check the rooms that were opened while the agent accepted none; not for an agent with a name.

        Args:
            served: rooms in which it has a session: it may just be coming back to them.
        """
        with self._lock:
            if self._none_since is not None and not self._agent_name:
                self._passed_over = (self._none_since, served)
                self._start_checks()
            self._none_since = None

    def stop(self) -> None:
        """Send no more agents."""
        self._stopped = True
        self._changed.set()

    def _note(self, room: str, lost_at: float | None, doubts: int = 0) -> None:
        with self._lock:
            self._rooms[room] = Noted(lost_at, time.monotonic() + self._pace.settle, doubts=doubts)
            if len(self._rooms) > MAX_ROOMS:
                self._rooms.popitem(last=False)
            self._start_checks()

    def _start_checks(self) -> None:
        if self._thread is None and self._has_work():
            self._thread = threading.Thread(target=self._run, name="agent-recall", daemon=True)
            self._thread.start()
        self._changed.set()

    def _has_work(self) -> bool:
        some = bool(self._rooms) or self._passed_over is not None
        return some and self._agent_is_here and not self._stopped

    def _run(self) -> None:
        while self._keeps_running():
            with self._lock:
                passed_over, self._passed_over = self._passed_over, None
            if passed_over is not None:
                self._note_passed_over(*passed_over)
            self._check_next()

    def _keeps_running(self) -> bool:
        with self._lock:
            if self._has_work():
                return True
            self._thread = None
            return False

    def _check_next(self) -> None:
        with self._lock:
            if not self._rooms:
                return
            room, noted = min(self._rooms.items(), key=lambda pair: pair[1].due)
        wait = noted.due - time.monotonic()
        if wait > 0:
            self._changed.wait(wait)
            self._changed.clear()
            return
        try:
            self._check(room, noted)
        except Exception:
            log.exception("unexpected error: a check of the room %r failed; continuing", room)
            noted.due = time.monotonic() + self._pace.again

    def _note_passed_over(self, since: float, served: Collection[str]) -> None:
        try:
            found = self._service.opened()
        except ServiceError as error:
            log.warning("rooms opened while the agent took none get no agent: %s", error)
            return
        except Exception:
            log.exception("unexpected error: the open rooms could not be read; continuing")
            return
        for room in found:
            # livekit-server's clock may have whole seconds
            if room.created_at >= math.floor(since) and room.name not in served:
                self.entered(room.name)

    def _check(self, room: str, noted: Noted) -> None:
        pause = self._pace.again
        try:
            people = self._service.present(room)
            if not people:
                self._count_failure(room, noted, "")
            elif noted.doubts and any(one.agent for one in people):
                noted.doubts -= 1
                if not noted.doubts:
                    self._done(room, noted)
            elif not needs_agent(people, noted.lost_at):
                self._done(room, noted)
            elif not noted.bare and noted.lost_at is None:
                noted.bare = True
            elif noted.sent < SENDINGS:
                noted.sent += 1
                pause = self._pace.arrival
                self._service.dispatch(room, self._agent_name)
                log.info("the agent was sent to the room %r", room)
            else:
                self._give_up(room, noted, f"LiveKit was asked {SENDINGS} times, and no agent came")
        except ServiceError as error:
            self._count_failure(room, noted, str(error))
        noted.due = time.monotonic() + pause

    def _count_failure(self, room: str, noted: Noted, failure: str) -> None:
        noted.failures += 1
        if noted.failures >= ATTEMPTS:
            self._give_up(room, noted, failure)

    def _give_up(self, room: str, noted: Noted, failure: str) -> None:
        self._done(room, noted)
        if failure:
            log.warning("the agent could not be sent to the room %r: %s", room, failure)
            self._on_failure(room, f"the agent could not be sent to the room: {failure}")

    def _done(self, room: str, noted: Noted) -> None:
        with self._lock:
            if self._rooms.get(room) is noted:
                del self._rooms[room]
