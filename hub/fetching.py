"""Pages of history on their way to readers who catch up. Pure values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hub.subscriber import Batch

if TYPE_CHECKING:
    from hub.history.entry import Page


class Reached(msgspec.Struct, frozen=True):
    """A joined page of history, and the position that a reader has reached after it."""

    batch: Batch | None
    upto: int

    @property
    def size(self) -> int:
        """Bytes that keeping it costs, about."""
        return self.batch.size + 200 if self.batch is not None else 200


class Fetched(msgspec.Struct, frozen=True):
    """A page from the disk, and how many erasures there had been before it was read."""

    page: Page
    erasures: int


def reached_by(page: Page) -> Reached:
    """Join a page's entries."""
    return Reached(Batch(page.entries, page.upto) if page.entries else None, page.upto)
