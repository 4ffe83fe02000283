"""The newest entries in memory, in order. Pure bookkeeping: the memory history is one, and SQLite's sits behind one.

Readers are served from here when possible, so catching up does not read from disk once per client.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from streaming_hub.history.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.stored import Entry
    from streaming_hub.history.page import Limit

_seq = attrgetter("seq")
_COMPACT_AT = 1024
MOST_SCANNED: Final = 5_000
"""Recent entries examined for one page; everything else waits meanwhile."""


def belongs(entry: Entry, room: str | None, session_id: str | None) -> bool:
    """Return whether an entry belongs to a room, a session, or a session in a room (empty: in none)."""
    if session_id is None:
        return entry.room == room
    return entry.session_id == session_id and (room is None or (entry.room or "") == room)


class Window:
    """A run of entries that is complete above `start`.

    Args:
        start: the position after which nothing is missing here.
        max_bytes: how many bytes of frames are held.
    """

    def __init__(self, start: int, max_bytes: int) -> None:
        self.start = start
        self._max_bytes = max_bytes
        self._entries: list[Entry] = []
        self._gone = 0  # entries at the front of the list that are dropped already
        self._bytes = 0

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow the last one."""
        self._entries.extend(entries)
        self._bytes += sum([len(entry.frame) for entry in entries])
        while self._bytes > self._max_bytes:
            self._drop_first()
        self._compact()

    def since(self, after: int, interest: Interest, limit: Limit, head: int, most: int | None = None) -> Page:
        """Return what follows a position that is not below `start`.

        Args:
            after: the position.
            interest: what matches.
            limit: how much one page holds.
            head: what a page with all of it reaches.
            most: how many entries are looked at; the page reaches the last one of them, whether it matched or not.
        """
        chosen: list[Entry] = []
        size = 0
        everything = interest.everything
        first, end = self._index(after + 1), len(self._entries)
        stop = end if most is None else min(end, first + most)
        for index in range(first, stop):
            entry = self._entries[index]
            if not everything and not interest.matches(entry):
                continue
            if chosen and (len(chosen) >= limit.events or size + len(entry.frame) > limit.size):
                return Page(chosen, chosen[-1].seq)
            chosen.append(entry)
            size += len(entry.frame)
        return Page(chosen, head if stop == end else self._entries[stop - 1].seq)

    def before(self, seq: int, interest: Interest, limit: Limit) -> list[Entry]:
        """Return the last matching entries below a sequence number, in order."""
        chosen: list[Entry] = []
        size = 0
        for entry in self._backwards(seq, interest):
            size += len(entry.frame)
            if chosen and (len(chosen) >= limit.events or size > limit.size):
                break
            chosen.append(entry)
        chosen.reverse()
        return chosen

    def last(self, seq: int, interest: Interest, count: int) -> Iterator[int]:
        """Yield the numbers of the last `count` matching entries below a sequence number, the newest first."""
        return (entry.seq for entry in islice(self._backwards(seq, interest), count))

    def position_before(self, seq: int, interest: Interest, count: int) -> int | None:
        """Return the position before the last `count` matching entries below a sequence number, if there are any."""
        first: int | None = None
        for number in self.last(seq, interest, count):
            first = number
        return first - 1 if first is not None else None

    def first(self, at_or_above: int) -> int | None:
        """Return the first sequence number at or above this one."""
        index = self._index(at_or_above)
        return self._entries[index].seq if index < len(self._entries) else None

    def first_since(self, at: float) -> int | None:
        """Return the first sequence number that was appended at or after a time."""
        for index in range(self._gone, len(self._entries)):
            if self._entries[index].at >= at:
                return self._entries[index].seq
        return None

    def trim(self, oldest: int) -> None:
        """Forget everything below a sequence number."""
        while self._gone < len(self._entries) and self._entries[self._gone].seq < oldest:
            self._drop_first()
        self.start = max(self.start, oldest - 1)
        self._compact()

    def remove(self, unwanted: Callable[[Entry], bool], span: tuple[int, int]) -> list[int]:
        """Remove entries between two sequence numbers, both included; return those of what was removed."""
        first, end = self._index(span[0]), self._index(span[1] + 1)
        kept: list[Entry] = []
        removed: list[int] = []
        for entry in self._entries[first:end]:
            if unwanted(entry):
                removed.append(entry.seq)
                self._bytes -= len(entry.frame)
            else:
                kept.append(entry)
        self._entries[first:end] = kept
        return removed

    def _backwards(self, seq: int, interest: Interest) -> Iterator[Entry]:
        for index in range(self._index(seq) - 1, self._gone - 1, -1):
            if interest.matches(self._entries[index]):
                yield self._entries[index]

    def _index(self, seq: int) -> int:
        return bisect_left(self._entries, seq, lo=self._gone, key=_seq)

    def _drop_first(self) -> None:
        entry = self._entries[self._gone]
        self._bytes -= len(entry.frame)
        self.start = entry.seq
        self._gone += 1

    def _compact(self) -> None:
        # A list forgets its front in one move, now and then, so that dropping stays cheap.
        if self._gone >= _COMPACT_AT and self._gone * 4 >= len(self._entries):
            del self._entries[: self._gone]
            self._gone = 0
