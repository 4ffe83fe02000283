"""A history in memory: fast, bounded, lost with the process. No I/O; time is an argument."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from streaming_hub.events.stored import Entry, encode
from streaming_hub.history.bounds import Bounds
from streaming_hub.history.page import Appended
from streaming_hub.history.window import MOST_SCANNED, Window, belongs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.posted import Event
    from streaming_hub.history.page import Limit, Page

MAX_BYTES: Final = 512 * 1024 * 1024
"""Maximum bytes of stored frames, whatever their number: events may be large, and there is only memory."""


class MemoryHistory:
    """See `streaming_hub.history.History`.

    Args:
        max_events: how many of the newest events are kept.
        max_age: how long an event is kept, in seconds.
    """

    on_disk = False
    shared = False
    away: Final = None

    def __init__(self, max_events: int, max_age: float) -> None:
        self.bounds = Bounds(new_epoch(), head=0, oldest=1, max_events=max_events)
        self._max_age = max_age
        self._window = Window(start=0, max_bytes=MAX_BYTES)
        self._known: dict[str, int] = {}
        self._event_ids: dict[int, str] = {}

    def append(self, events: Sequence[Event], now: float) -> Appended:
        """Store the events that are new."""
        seqs: list[int] = []
        new: list[Entry] = []
        for event in events:
            seq = self._known.get(event.event_id) if event.event_id is not None else None
            if seq is None:
                seq = self.bounds.head = self.bounds.head + 1
                new.append(encode(self.bounds.epoch, seq, event, now))
                if event.event_id is not None:
                    self._known[event.event_id] = seq
                    self._event_ids[seq] = event.event_id
            seqs.append(seq)
        self._window.append(new)
        self._advance(max(self.bounds.floor(), self._window.start + 1))
        return Appended(seqs, new)

    def recent(self, after: int, interest: Interest, limit: Limit) -> Page | None:
        """Return what follows a position."""
        return self._window.since(after, interest, limit, self.bounds.head, MOST_SCANNED)

    def since(self, after: int, interest: Interest, limit: Limit) -> Page:
        """Return what follows a position."""
        return self._window.since(after, interest, limit, self.bounds.head)

    def before(self, seq: int, interest: Interest, limit: Limit) -> list[Entry]:
        """Return the last matching entries below a sequence number."""
        return self._window.before(seq, interest, limit)

    def position_before(self, seq: int, interest: Interest, count: int) -> int | None:
        """Return the position before the last matching events."""
        return self._window.position_before(seq, interest, count)

    @property
    def first_row(self) -> int:
        """The lowest stored sequence number."""
        return self.bounds.oldest

    def erase(self, *, span: tuple[int, int], room: str | None = None, session_id: str | None = None) -> int:
        """Remove a room's or a session's events."""
        removed = self._window.remove(
            lambda entry: belongs(entry, room, session_id),
            span,
        )
        for seq in removed:
            self._forget_id(seq)
        self.bounds.note_erased(removed)
        self._advance(self.bounds.oldest)
        return len(removed)

    def trim(self, now: float) -> bool:
        """Forget what is too old."""
        first = self._window.first_since(now - self._max_age)
        self._advance(self.bounds.head + 1 if first is None else first)
        return False

    def checkpoint(self) -> None:
        """Nothing to do: there is no file."""

    def close(self) -> None:
        """Nothing to release."""

    def _advance(self, floor: int) -> None:
        oldest = max(self.bounds.oldest, floor)
        if self.bounds.gaps_from(oldest):
            oldest = self._window.first(oldest) or self.bounds.head + 1
        for seq in range(self.bounds.oldest, oldest):
            self._forget_id(seq)
        self.bounds.oldest = oldest
        self._window.trim(oldest)

    def _forget_id(self, seq: int) -> None:
        event_id = self._event_ids.pop(seq, None)
        if event_id is not None:
            del self._known[event_id]


def new_epoch() -> str:
    """Return a name for a new history."""
    return secrets.token_hex(4)
