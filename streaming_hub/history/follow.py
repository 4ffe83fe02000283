"""A reader of the whole history with its own position: for the archive, and forwarders of events.

It reads like any subscriber, a page at a time: from memory where memory reaches back far enough, else from the disk,
off the loop. Nothing waits for it. If the history has dropped events in the meantime, it continues with the
rest and reports how many numbers it skipped.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from streaming_hub.events.interest import EVERYTHING
from streaming_hub.history.page import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.stored import Entry
    from streaming_hub.history import History
    from streaming_hub.history.page import Page

PAGE: Final = Limit(events=1000, size=512 * 1024)


def position_before(history: History, at: float, read: Callable[[Callable[[], Page]], Page]) -> int:
    """Return the sequence number before the first event that was accepted at a time or later.

    Args:
        history: to search.
        at: seconds since 1970.
        read: calls a function that may wait for the disk.
    """
    low, high = history.bounds.oldest - 1, history.bounds.head
    while low < high:
        middle = (low + high) // 2
        page = read(partial(history.since, middle, EVERYTHING, Limit(1, PAGE.size)))
        if page.entries and page.entries[0].seq <= high and page.entries[0].at < at:
            low = page.entries[0].seq
        else:
            high = middle
    return low


def pages(
    history: History, after: int, upto: int, interest: Interest, read: Callable[[Callable[[], Page]], Page]
) -> Iterator[Page]:
    """Yield what is stored between two positions, page by page.

    Args:
        history: to read.
        after: the sequence number before the first event.
        upto: the last one; the last page may go beyond it.
        interest: which events.
        read: calls a function that may wait for the disk.
    """
    while after < upto:
        page = read(partial(history.since, after, interest, PAGE))
        if page.upto <= after:
            return
        after = page.upto
        yield page


class Followed(msgspec.Struct, frozen=True):
    """A page of a follower.

    Attributes:
        after: the position that it follows.
        upto: the position after it.
        entries: what is stored in between, in order.
        skipped: how many numbers above `after` the history no longer had, without those that were erased. An upper
            bound: only the newest `bounds.MOST_GAPS` ranges of erased numbers are known.
    """

    after: int
    upto: int
    entries: list[Entry]
    skipped: int = 0


class Follower:
    """Reads on from a position. One thread at a time.

    Args:
        history: what is read.
        position: the sequence number after which it continues.
        read: calls a function that may wait for the disk.
        lock: guards the history against publishers.
        limit: how much one page holds.
    """

    def __init__(
        self,
        history: History,
        position: int,
        *,
        read: Callable[[Callable[[], Page]], Page],
        lock: AbstractContextManager[object],
        limit: Limit = PAGE,
    ) -> None:
        self.position = position
        self._history = history
        self._read = read
        self._lock = lock
        self._limit = limit

    @property
    def behind(self) -> int:
        """How many sequence numbers there are above the position."""
        return max(0, self._history.bounds.head - self.position)

    def next(self) -> Followed | None:
        """Return the next page and move on; None at the head."""
        while self.behind:
            bounds = self._history.bounds
            skipped, after = 0, self.position
            if after < bounds.oldest - 1:
                skipped = bounds.oldest - 1 - after - bounds.erased_between(after + 1, bounds.oldest - 1)
                self.position = bounds.oldest - 1
                return Followed(after, self.position, [], max(0, skipped))
            with self._lock:
                page = self._history.recent(after, EVERYTHING, self._limit)
            if page is None:
                erasures = bounds.erasures
                page = self._read(partial(self._history.since, after, EVERYTHING, self._limit))
                if erasures != bounds.erasures or after < bounds.oldest - 1:
                    # Some of it may have been erased by now, or expired before it: read again.
                    continue
            if page.upto <= after:
                return None
            self.position = page.upto
            return Followed(after, page.upto, page.entries)
        return None
