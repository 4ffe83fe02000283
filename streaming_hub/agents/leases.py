"""Which sessions are live, and which died silently. Pure: no I/O; time is an argument.

A session is tracked here if something vouches for it:

    supervised   the agent process that the hub started posts it; it ends with that process
    leased       its poster has promised to renew a lease; it ends if no renewal arrives in time

Other sessions are never ended: their posters may be scripts that never end them. A session ended here is
remembered, because a dead process's last events may still arrive (from its spool) and would show it as
live: another end follows them.

Sessions are identified by room and id: a publisher of one room must not end or renew another room's session,
whose id every viewer sees.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.events import posted as events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from streaming_hub.events.posted import Event

MIN_LEASE: Final = 1.0
MAX_LEASE: Final = 3600.0
"""Seconds a lease may last."""
DEFAULT_LEASE: Final = 15.0
"""Seconds, for a session that returns after its lease was forgotten."""
AFTERMATH: Final = 2.0
"""Seconds after the last late event of a dead session until its end is published again."""
MAX_LIVE: Final = 10_000
MAX_REMEMBERED: Final = 1_000
"""The most sessions tracked and remembered, so invented ones cannot fill memory; the oldest are dropped first."""

WORKER_LOST: Final = "worker_lost"
LEASE_EXPIRED: Final = "lease_expired"
AGENT_STOPPED: Final = "agent_stopped"
"""The agent process's own reason for sessions that it ends because it is asked to stop."""


Key = tuple[str, str | None]
"""A session's id and its room."""


class Session(msgspec.Struct):
    """One tracked session.

    Attributes:
        room: its room, once an event or a renewal has named it.
        supervised: whether the agent process that the hub started posts it.
        lease: seconds that a renewal lasts; None without a lease.
        deadline: when it counts as dead unless it is renewed, on the caller's clock; None without a lease.
        reason: the reason in its end.
    """

    session_id: str
    room: str | None = None
    supervised: bool = False
    lease: float | None = None
    deadline: float | None = None
    reason: str = LEASE_EXPIRED

    @property
    def key(self) -> Key:
        """What identifies it."""
        return self.session_id, self.room

    def end(self) -> Event:
        """Make the `session_ended` that it cannot send itself."""
        fields = {"type": "session_ended", "session_id": self.session_id, "reason": self.reason}
        return events.make(fields | ({"room": self.room} if self.room is not None else {}))


class Sessions:
    """The table."""

    def __init__(self) -> None:
        self._live: OrderedDict[Key, Session] = OrderedDict()
        self._dead: OrderedDict[Key, Session] = OrderedDict()
        self._over: OrderedDict[Key, None] = OrderedDict()
        self._rooms: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    @property
    def waiting(self) -> bool:
        """Whether any session has a deadline."""
        return any(session.deadline is not None for session in self._live.values())

    def take(self, event: Event, now: float, *, supervised: bool, by_node: bool = False) -> Session | None:
        """Note a published event.

        Args:
            event: any; those without a session are passed over.
            now: seconds that only rise.
            supervised: whether the agent process that the hub started sent it.
            by_node: whether an end may be one that a node published for a session that died.

        Returns:
            The session, if this was an end that it published itself.
        """
        if event.session_id is None:
            return None
        key = self._key(event.session_id, event.room)
        if event.type == "session_ended":
            reason = str(events.fields_of(event).get("reason")) if by_node else ""
            if reason in (WORKER_LOST, LEASE_EXPIRED):
                known = self._live.pop(key) if key in self._live else self._dead.get(key)
                self._bury(known or Session(*key), reason)
                return None
            return self._note_end(key)
        session = self._live.get(key) or self._find(event, key, supervised=supervised)
        if session is not None and session.lease is not None:
            session.deadline = now + session.lease
        return None

    def renew(self, name: str, room: str | None, lease: float, now: float) -> bool:
        """Begin or renew a lease.

        Returns:
            Whether the session counts as live now: not after it has published its end.
        """
        key = self._key(name, room)
        known = self._live.get(key) or self._dead.get(key)
        if key in self._over or (known is not None and known.reason == WORKER_LOST):
            return False
        session = self._live.get(key) or self._revive(key) or self._keep(Session(*key))
        session.lease = min(max(lease, MIN_LEASE), MAX_LEASE)
        session.deadline = now + session.lease
        return True

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms of the living sessions."""
        return frozenset(session.room for session in self._live.values() if session.room is not None)

    @property
    def answered_for(self) -> list[Key]:
        """Return the live sessions, as id and room: they have a lease, or the hub's own agent runs them."""
        return list(self._live)

    def worker_lost(self) -> list[Session]:
        """End all sessions of the agent process that has died; return them."""
        return self._end(lambda session: session.supervised, WORKER_LOST)

    def expired(self, now: float) -> list[Session]:
        """End all sessions whose lease has expired; return them."""
        return self._end(lambda session: session.deadline is not None and session.deadline <= now)

    def forget(self, *, room: str | None = None, session_id: str | None = None) -> None:
        """Forget what was erased, or its end would reveal its name again."""
        for table in (self._live, self._dead):
            gone = [key for key in table if key[0] == session_id or (room is not None and key[1] == room)]
            for key in gone:
                del table[key]
                self._rooms.pop(key[0], None)

    def extend(self, now: float) -> None:
        """Let no lease expire before it could be renewed once more."""
        for session in self._live.values():
            if session.lease is not None:
                session.deadline = max(session.deadline or 0.0, now + session.lease)

    def rebuild(
        self, stored: Iterable[Mapping[str, Any]], now: float, *, alone: bool = True
    ) -> list[Session]:
        """Apply the stored `session_started` and `session_ended` of an earlier run of the hub.

        Args:
            stored: the events' fields, oldest first.
            now: seconds that only rise.
            alone: whether no other node may run what began then.

        Returns:
            The sessions that died with that run, whose end has not been published.
        """
        for fields in stored:
            name = fields.get("session_id")
            if not isinstance(name, str):
                continue
            session = _from_start(name, fields, now)
            if fields.get("type") == "session_started":
                if session is not None:
                    self._keep(session)
                continue
            room = fields.get("room")
            ended = session or Session(name, room if isinstance(room, str) else None)
            ended = self._live.pop(ended.key, ended)
            self._bury(ended, str(fields.get("reason")))
        return self.worker_lost() if alone else []

    def _key(self, name: str, room: str | None) -> Key:
        """Return what a session is known by; where its room is named for the first time, that is its room."""
        if room is None:
            # Only a credential for all rooms may leave the room out.
            return name, self._rooms.get(name)
        roomless = self._live.pop((name, None), None)
        if roomless is not None:
            roomless.room = room
            self._keep(roomless)
        return name, room

    def _find(self, event: Event, key: Key, *, supervised: bool) -> Session | None:
        if key in self._dead:
            return self._revive(key)
        if key in self._over:
            return None
        lease = _lease(events.fields_of(event)) if event.type == "session_started" else None
        if not supervised and lease is None:
            return None
        return self._keep(Session(*key, supervised=supervised, lease=lease))

    def _revive(self, key: Key) -> Session | None:
        session = self._dead.pop(key, None)
        if session is None:
            return None
        if session.reason == WORKER_LOST:
            # Its process has died: later events come from a spool.
            session.supervised, session.lease = False, AFTERMATH
        else:
            session.lease = session.lease or DEFAULT_LEASE
        return self._keep(session)

    def _keep(self, session: Session) -> Session:
        self._live[session.key] = session
        if len(self._live) > MAX_LIVE:
            self._live.popitem(last=False)
        self._note_room(session.key)
        return session

    def _note_room(self, key: Key) -> None:
        name, room = key
        if room is not None:
            self._rooms.setdefault(name, room)
            if len(self._rooms) > MAX_LIVE:
                self._rooms.popitem(last=False)

    def _note_end(self, key: Key) -> Session | None:
        self._dead.pop(key, None)
        self._over[key] = None
        self._note_room(key)
        if len(self._over) > MAX_REMEMBERED:
            self._over.popitem(last=False)
        return self._live.pop(key, None)

    def _end(self, chosen: Callable[[Session], bool], reason: str | None = None) -> list[Session]:
        ended = [session for session in self._live.values() if chosen(session)]
        for session in ended:
            del self._live[session.key]
            self._bury(session, reason or session.reason)
        return ended

    def _bury(self, session: Session, reason: str) -> None:
        if reason not in (WORKER_LOST, LEASE_EXPIRED):
            self._note_end(session.key)
            return
        session.reason, session.deadline = reason, None
        self._dead[session.key] = session
        if len(self._dead) > MAX_REMEMBERED:
            self._dead.popitem(last=False)


def _from_start(name: str, fields: Mapping[str, Any], now: float) -> Session | None:
    room, lease = fields.get("room"), _lease(fields)
    supervised = fields.get("supervised") is True
    if not supervised and lease is None:
        return None
    deadline = None if lease is None else now + lease
    named = room if isinstance(room, str) else None
    return Session(name, room=named, supervised=supervised, lease=lease, deadline=deadline)


def _lease(fields: Mapping[str, Any]) -> float | None:
    """Read the promise in a `session_started`: seconds within which its poster renews it."""
    lease = fields.get("lease")
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not lease > 0:
        return None
    return min(max(float(lease), MIN_LEASE), MAX_LEASE)
