"""This node of a hub: applies what arrives from Redis, and runs the tasks that one node at a time must run.

Built by `services` only if the history is shared.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from streaming_hub.cluster.ownership import MARGIN, TTL, Ownership, RedisLeases
from streaming_hub.errors import Unavailable
from streaming_hub.events.posted import Event
from streaming_hub.history.redis import notes
from streaming_hub.history.redis.follower import Follower
from streaming_hub.stream.shared import Arrivals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.agents.session_monitor import SessionMonitor
    from streaming_hub.events.stored import Entry
    from streaming_hub.history.redis.notes import Erased, Note, Renewed, Wanted
    from streaming_hub.history.redis.store import RedisHistory
    from streaming_hub.rooms.current import RoomStates
    from streaming_hub.stream.hub import Hub

log = logging.getLogger(__name__)

REACH_SECONDS: Final = 3.0
RENEW: Final = 1.0
URGENT: Final = 0.1
"""Seconds between renewals of the leases; shorter while this node waits for one."""


class Nodes:
    """See the module.

    Args:
        hub: this node's.
        history: shared with the other nodes.
        rooms: this node's states of the rooms.
        sessions: this node's view of the sessions.
        config: the settings that must be equal on all nodes, as text.
        node: this node's name.
    """

    def __init__(
        self,
        hub: Hub,
        history: RedisHistory,
        rooms: RoomStates,
        sessions: SessionMonitor,
        *,
        config: str,
        node: str,
    ) -> None:
        self.node = node
        self._history = history
        self._rooms = rooms
        self._sessions = sessions
        self._arrivals = Arrivals(hub, history)
        self._arrivals.saw = self._saw
        self._arrivals.lost = self._lost
        self._arrivals.returned = sessions.give_time
        self._arrivals.erased = self._erased
        self._arrivals.renewed = self._renewed
        self._arrivals.wanted = self._wanted
        self._follower = Follower(history, self._arrivals, config)
        self.leases = RedisLeases(history.server)
        self._owned: dict[str, Ownership] = {}
        self.chores = self.ownership("chores")
        self._stop = threading.Event()
        self._urgent: float | None = None
        self._thread: threading.Thread | None = None
        sessions.share(
            owner=lambda: self.chores.held(time.monotonic()),
            renewed=lambda renewed, lease: self._announce(notes.Renewed(node, list(renewed), lease)),
        )

    def ownership(
        self, name: str, ttl: float = TTL, margin: float = MARGIN, *, wanted: bool = True
    ) -> Ownership:
        """Return this node's side of a lease, which is renewed from now on. For the arguments see `Ownership`."""
        self._owned[name] = Ownership(self.leases, name, self.node, ttl, margin=margin, wanted=wanted)
        return self._owned[name]

    def alone(self) -> bool:
        """Return whether this is the only node, as far as it knows."""
        try:
            names = self._history.server.call("ZRANGE", self._history.server.key("nodes"), 0, -1)
        except Unavailable:
            return not self._history.peers - {self.node}
        return not {name.decode() for name in names} - {self.node}

    def claim(self, name: str) -> None:
        """Ask the owner of a lease to hand it over to this node."""
        self._urgent = time.monotonic() + 2 * RENEW
        self._announce(notes.Wanted(name, self.node))

    def start(self) -> None:
        """Start following Redis; a second call does nothing."""
        if self._thread is None:
            self._follower.start()
            for one in self._owned.values():
                one.look(time.monotonic())
            self._thread = threading.Thread(target=self._hold, name="leases", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Release this node's leases, and leave the hub."""
        self._stop.set()
        for one in self._owned.values():
            one.wanted = False
            one.release()
        self._follower.stop()

    def reach_head(self) -> None:
        """Wait until everything that any node has stored by now has arrived here.

        Raises:
            Unavailable: the server is away, or it takes too long.
        """
        if self._thread is not None:
            self._follower.reach_head(REACH_SECONDS)

    def wait_until_erased(self) -> None:
        """Wait until every node has dropped what was last erased here.

        Raises:
            Unavailable: a node does not answer; retry.
        """
        if self._thread is not None and self._history.last_note:
            self._follower.wait_for_nodes(self._history.last_note)

    def _hold(self) -> None:
        while not self._stop.is_set():
            for one in list(self._owned.values()):
                one.look(time.monotonic())
            self._stop.wait(RENEW if self._urgent is None else URGENT)
            if self._urgent is not None and time.monotonic() > self._urgent:
                self._urgent = None

    def _wanted(self, note: Wanted) -> None:
        one = self._owned.get(note.name)
        if one is not None and note.node != self.node and one.held(time.monotonic()):
            one.yield_to_others(time.monotonic())

    def _announce(self, note: Note) -> None:
        try:
            self._follower.announce(note)
        except Unavailable as error:
            log.info("a note did not reach the other nodes: %s", error.detail)

    def _saw(self, entries: Sequence[Entry]) -> None:
        self._sessions.arrived([event_of(entry) for entry in entries if entry.session_id is not None])

    def _lost(self) -> None:
        self._rooms.forget()
        self._sessions.give_time()

    def _erased(self, note: Erased) -> None:
        self._rooms.forget()
        self._sessions.forget(room=None if note.session_id else note.room, session_id=note.session_id)

    def _renewed(self, note: Renewed) -> None:
        if note.node != self.node:
            self._sessions.renewed_elsewhere(note.sessions, note.lease)


def event_of(entry: Entry) -> Event:
    """Return a stored entry as the posted event."""
    return Event(
        entry.type,
        entry.data,
        stamped=True,
        room=entry.room,
        session_id=entry.session_id,
        participant=entry.participant,
        segment=entry.segment,
        supervised=entry.supervised,
    )
