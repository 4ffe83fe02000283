"""Which sequence numbers a history still has, and which it may forget. Pure: no I/O, time is an argument."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from streaming_hub.events.cursor import Range

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_GAPS: Final = 10_000
"""How many ranges of erased numbers to remember, so readers of the history do not count them as missed."""


class Bounds:
    """Epoch, head and oldest of one history, and the range in which events were erased.

    Args:
        epoch: the history's name, `[A-Za-z0-9]`.
        head: the last sequence number that was given out; 0 in a new history.
        oldest: the first stored one; head + 1 when nothing is stored.
        max_events: how many sequence numbers back from the head are kept.
        erased: lowest and highest sequence number that was ever erased, or None.
        gone: the newest ranges of erased numbers that are known.

    Attributes:
        erasures: how often something was erased since the start.
        carried: earlier epochs, and the number up to which their events survived a loss.
    """

    def __init__(
        self,
        epoch: str,
        *,
        head: int,
        oldest: int,
        max_events: int,
        erased: tuple[int, int] | None = None,
        gone: Iterable[tuple[int, int]] = (),
    ) -> None:
        self.epoch = epoch
        self.head = head
        self.oldest = oldest
        self.erased = erased
        self.erasures = 0
        self.carried: dict[str, int] = {}
        self._gone: deque[tuple[int, int]] = deque(gone, maxlen=MOST_GAPS)
        self.max_events = max_events

    def range(self) -> Range:
        """Return what cursors are checked against."""
        return Range(self.epoch, self.oldest, self.head, self.carried)

    def floor(self) -> int:
        """Return the lowest sequence number that the count allows to keep."""
        return self.head - self.max_events + 1

    def note_erased(self, seqs: list[int]) -> None:
        """Widen the erased range by these sequence numbers."""
        if seqs:
            self.erasures += 1
            self._gone.extend(ranges_of(seqs))
            low, high = self.erased or (seqs[0], seqs[0])
            self.erased = (min(low, *seqs), max(high, *seqs))

    def erased_between(self, first: int, last: int) -> int:
        """Return how many numbers from `first` to `last` were erased, of the last `MOST_GAPS` ranges."""
        return sum(max(0, min(high, last) - max(low, first) + 1) for low, high in self._gone)

    def gaps_from(self, seq: int) -> bool:
        """Return whether there may be erased events at or above this sequence number."""
        return self.erased is not None and self.erased[1] >= seq

    def missed(self, position: int) -> int | None:
        """Return how many events a reader at `position` can no longer get; None when some were erased."""
        if self.erased is not None and self.erased[0] < self.oldest and self.erased[1] > position:
            return None
        return max(0, self.oldest - 1 - position)


def ranges_of(seqs: list[int]) -> list[tuple[int, int]]:
    """Return sequence numbers as ranges, ascending, first and last included."""
    ranges: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges
