"""Ends the sessions that cannot end themselves. `leases` has the rules; here are the clock and the lock.

While the history cannot write (a full disk), the hub's own events wait here and are published later: no client would
send them again.

Reads the history once, at the start. Notifies `Recall` of rooms that have lost their agent.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.agents.leases import AGENT_STOPPED, Sessions
from streaming_hub.errors import Unavailable
from streaming_hub.events import posted as events
from streaming_hub.events.interest import Interest
from streaming_hub.history.page import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streaming_hub.agents.leases import Session
    from streaming_hub.agents.recall import Recall
    from streaming_hub.events.posted import Event
    from streaming_hub.history import History

CHECK_INTERVAL: Final = 0.5
"""Seconds between checks of the leases."""
LIFE: Final = Interest(types=frozenset({"session_started", "session_ended"}))
GONE: Final = frozenset({"failed", "stopped"})
"""States of the agent process in which none of its sessions lives."""
MAX_UNPUBLISHED: Final = 1_000
"""How many of the hub's own events may wait for a history that cannot write; beyond that the oldest are lost."""
HERE: Final = frozenset({"ready", "running"})

log = logging.getLogger(__name__)

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class SessionMonitor:
    """Watches the tracked sessions.

    Args:
        history: has the sessions of an earlier run.
        publish: stores the hub's own events and sends them, or raises Unavailable.
        recall: brings the agent back to its rooms; None where LiveKit is not configured.
    """

    def __init__(
        self,
        history: History,
        publish: Callable[[Sequence[Event]], object],
        recall: Recall | None,
    ) -> None:
        self._history = history
        self._publish = publish
        self._recall = recall
        self._table = Sessions()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._publishing = threading.Lock()
        self._unpublished: list[Event] = []
        self._owner: Callable[[], bool] = lambda: True
        self._on_renewed: Callable[[Sequence[tuple[str, str | None]], float], object] = lambda *_: None
        if history.shared:
            # Other nodes live: what they run has not ended.
            self._table.rebuild(self._stored(), time.monotonic(), alone=False)
        else:
            ended = self._table.rebuild(self._stored(), time.monotonic())
            self.publish([session.end() for session in ended])
        self._start_checks()

    def share(
        self,
        *,
        owner: Callable[[], bool],
        renewed: Callable[[Sequence[tuple[str, str | None]], float], object],
    ) -> None:
        """Share the sessions with other nodes.

        Args:
            owner: whether this node ends expired sessions; one at a time does.
            renewed: reports leases renewed here to the other nodes.
        """
        self._owner, self._on_renewed = owner, renewed

    def arrived(self, stored: Sequence[Event]) -> None:
        """Process what any node has stored, in the common order."""
        for event in stored:
            with self._lock:
                ended = self._table.take(event, time.monotonic(), supervised=event.supervised, by_node=True)
            if ended is not None and ended.supervised:
                self._note_stopped(ended, event)
        if stored and self._thread is None:
            self._start_checks()

    def renewed_elsewhere(self, sessions: Sequence[tuple[str, str | None]], lease: float) -> None:
        """Apply leases that were renewed on another node."""
        with self._lock:
            now = time.monotonic()
            for name, room in sessions:
                self._table.renew(name, room, lease, now)
        self._start_checks()

    def give_time(self) -> None:
        """Restart every lease: renewals may not have arrived."""
        with self._lock:
            self._table.extend(time.monotonic())

    def saw(self, published: Sequence[Event], *, supervised: bool) -> None:
        """Note published events.

        Args:
            published: in their order.
            supervised: whether the agent process that the hub started sent them.
        """
        for event in published:
            # Most publishers have no sessions, and must not pay for a lock.
            if event.session_id is None:
                continue
            with self._lock:
                ended = self._table.take(event, time.monotonic(), supervised=supervised)
            if ended is not None and ended.supervised:
                self._note_stopped(ended, event)
            if self._thread is None:
                self._start_checks()

    def renew(self, sessions: Sequence[tuple[str, str | None]], lease: float) -> list[str]:
        """Renew the leases of sessions (id and room); return the ids that count as ended."""
        with self._lock:
            now = time.monotonic()
            over = [name for name, room in sessions if not self._table.renew(name, room, lease, now)]
        self._on_renewed(sessions, lease)
        self._start_checks()
        return over

    def answered_for(self) -> list[tuple[str, str | None]]:
        """Return the tracked sessions, as id and room."""
        with self._lock:
            return self._table.answered_for

    def process_changed(
        self, state: str, *, in_rooms: bool, trouble: bool = False, elsewhere: bool = False
    ) -> list[Event]:
        """Note a state of the agent process.

        Args:
            state: see streaming_hub.agents.states.
            in_rooms: whether it works in LiveKit's rooms; not in rehearsal.
            trouble: whether it gets no new rooms for now, though it runs.
            elsewhere: whether it is another node's, which is gone or cut off.

        Returns:
            The ends of the sessions that went with it.
        """
        if state in HERE and in_rooms and self._recall is not None:
            self._recall.agent_ready()
            if trouble:
                self._recall.takes_none()
            else:
                with self._lock:
                    served = self._table.rooms
                self._recall.takes_rooms(served)
        if state not in GONE:
            return []
        if self._recall is not None:
            self._recall.agent_gone()
        with self._lock:
            lost = self._table.worker_lost()
        for session in lost:
            self._note_lost(session, surely=not elsewhere)
        return [session.end() for session in lost]

    def publish(self, made: Sequence[Event]) -> None:
        """Publish the hub's own events, in order; those that cannot be stored now are retried at each check."""
        with self._publishing:
            waiting = [*self._unpublished, *made]
            if not waiting:
                return
            try:
                self._publish(waiting)
                self._unpublished = []
            except Unavailable as error:
                self._keep(waiting, error.detail)
        self._start_checks()

    def _keep(self, waiting: list[Event], why: str) -> None:
        if len(waiting) > len(self._unpublished):
            log.error("%d of the hub's own events are waiting to be stored: %s", len(waiting), why)
        if len(waiting) > MAX_UNPUBLISHED:
            log.error("%d of them are lost", len(waiting) - MAX_UNPUBLISHED)
        self._unpublished = waiting[-MAX_UNPUBLISHED:]

    def forget(self, *, room: str | None = None, session_id: str | None = None) -> None:
        """Forget what was erased."""
        with self._lock:
            self._table.forget(room=room, session_id=session_id)
        with self._publishing:
            self._unpublished = [
                event
                for event in self._unpublished
                if (session_id is None or event.session_id != session_id)
                and (room is None or event.room != room)
            ]

    def stop(self) -> None:
        """Stop, after a last attempt to publish pending events."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.publish([])

    def _note_stopped(self, session: Session, end: Event) -> None:
        if events.fields_of(end).get("reason") == AGENT_STOPPED:
            self._note_lost(session)

    def _note_lost(self, session: Session, *, surely: bool = True) -> None:
        if self._recall is not None and session.room is not None:
            self._recall.lost(session.room, surely=surely)

    def _start_checks(self) -> None:
        with self._lock:
            if self._thread is None and (self._table.waiting or self._unpublished):
                self._thread = threading.Thread(target=self._run, name="session-leases", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(CHECK_INTERVAL):
            try:
                self._check()
            except Exception:
                log.exception("unexpected error: a check of the session leases failed; continuing")

    def _check(self) -> None:
        if not self._owner():
            return
        with self._lock:
            expired = self._table.expired(time.monotonic())
        for session in expired:
            # A job's own process has died, and the worker is alive.
            if session.supervised:
                self._note_lost(session, surely=not self._history.shared)
        self.publish([session.end() for session in expired])

    def _stored(self) -> Iterator[dict[str, Any]]:
        history = self._history
        after = history.bounds.oldest - 1
        while after < history.bounds.head:
            page = history.since(after, LIFE, Limit())
            yield from (_decode(entry.data) for entry in page.entries)
            after = page.upto
