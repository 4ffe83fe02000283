"""Pages of history for readers that catch up, cached for the next reader. No I/O, no clock."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from streaming_hub.stream.subscriber import Batch

if TYPE_CHECKING:
    from streaming_hub.events.interest import Interest
    from streaming_hub.history.page import Page

SHARED_BYTES: Final = 8 * 1024 * 1024
"""Bytes of joined pages cached for the next reader with the same position and interest."""
OVERHEAD: Final = 1000
"""Approximate overhead of a cached page, in bytes."""


class Reached(msgspec.Struct, frozen=True):
    """A joined page of history, and the position that a reader has reached after it."""

    batch: Batch | None
    upto: int


class Fetched(msgspec.Struct, frozen=True):
    """A page from the disk, and how many erasures there had been before it was read."""

    page: Page
    erasures: int


def reached_by(page: Page) -> Reached:
    """Join a page's entries."""
    return Reached(Batch(page.entries, page.upto) if page.entries else None, page.upto)


class SharedPages:
    """Pages that several readers may want, the oldest forgotten first."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[Interest, int], tuple[Reached, int]] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._pages)

    def get(self, interest: Interest, position: int) -> Reached | None:
        """Return the page that follows a position, if it is cached."""
        found = self._pages.get((interest, position))
        return found[0] if found is not None else None

    def put(self, interest: Interest, position: int, reached: Reached) -> None:
        """Cache a page unless it is empty: finding that out again costs no more than caching it."""
        if reached.batch is None or (interest, position) in self._pages:
            return
        size = OVERHEAD + reached.batch.size + interest.size
        self._pages[interest, position] = (reached, size)
        self.size += size
        while self.size > SHARED_BYTES:
            _, (_, oldest) = self._pages.popitem(last=False)
            self.size -= oldest

    def forget(self) -> None:
        """Forget all of them."""
        self._pages.clear()
        self.size = 0
