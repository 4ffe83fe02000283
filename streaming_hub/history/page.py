"""What a history returns: pages of stored events, and the result of an append. Plain data; no logic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from streaming_hub.events.stored import Entry


class Page(msgspec.Struct, frozen=True):
    """Entries in order, and the position that a reader has reached after them."""

    entries: list[Entry]
    upto: int


class Appended(msgspec.Struct, frozen=True):
    """The answer of `append`: a seq for each posted event, the entries that are new, how many were known."""

    seqs: list[int]
    new: list[Entry]

    @property
    def duplicates(self) -> int:
        """How many of the posted events were stored before."""
        return len(self.seqs) - len(self.new)


class Limit(msgspec.Struct, frozen=True):
    """The limits of one page; it always has at least one entry if there is one."""

    events: int = 512
    size: int = 128 * 1024
