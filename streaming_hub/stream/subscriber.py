"""One reader of the stream: its filter, its position, and its bounded queue.

A subscriber is in one of two states:

    behind   reads the history from its position       (starts here; returns here when its queue is full)
    live     reads its queue, which the hub fills      (enters here at the head, without gap or duplicate)

Knows no sockets and no clock.
"""

from __future__ import annotations

import queue
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.events.sse import chunk
from streaming_hub.events.stored import without_superseded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.stored import Entry

MAX_WAITING_BYTES: Final = 1024 * 1024


class Batch:
    """Entries on their way to all subscribers of one interest, joined once.

    Args:
        entries: in order, at least one.
        upto: the position that a reader has reached after them.
    """

    __slots__ = ("_chunked", "_plain", "count", "entries", "first", "size", "upto")

    def __init__(self, entries: Sequence[Entry], upto: int) -> None:
        self.entries = entries
        self.count = len(entries)
        self.first = entries[0].seq
        self.upto = upto
        self._plain = entries[0].frame if self.count == 1 else b"".join([entry.frame for entry in entries])
        self._chunked: bytes | None = None
        self.size = len(self._plain)

    def wire(self, *, chunked: bool) -> bytes:
        """Return the frames as they go out; computed once for all readers."""
        if not chunked:
            return self._plain
        if self._chunked is None:
            self._chunked = chunk(self._plain)
        return self._chunked

    def after(self, position: int) -> Batch | None:
        """Return the part that a reader at `position` does not have yet."""
        rest = [entry for entry in self.entries if entry.seq > position]
        return Batch(rest, self.upto) if rest else None


class Subscriber:
    """See the module.

    Args:
        interest: filters and view.
        position: the sequence number after which the reader continues.
        queue_size: how many events may wait, at most; a single larger batch may wait alone.
        chunked: whether its bytes go out in chunks (HTTP/1.1).

    Attributes:
        live: its state.
        intro: pieces of control frames that go out before anything else.
        address: what its streams are counted by.
        in_page: whether a page in a browser reads it; see `frames.goodbye`.
        stream: the open socket's record in streaming_hub.stream, where there is one.
        owed_heartbeat: whether a heartbeat follows as soon as it has read up to the head, so that a client whose
            filters let nothing through knows, too, that it has caught up.
    """

    __slots__ = (
        "__weakref__",
        "_held",
        "_limit",
        "address",
        "chunked",
        "expires_at",
        "in_page",
        "interest",
        "intro",
        "live",
        "owed_heartbeat",
        "position",
        "queue",
        "stream",
        "waiting",
        "waiting_bytes",
    )

    def __init__(
        self,
        interest: Interest,
        position: int,
        queue_size: int,
        *,
        chunked: bool = False,
        expires_at: float | None = None,
    ) -> None:
        self.interest = interest
        self.position = position
        # Each batch has at least one event, and one place is reserved for `wake`, so this never finds a full queue.
        self.queue: queue.Queue[Batch | None] = queue.Queue(queue_size + 1)
        self.live = False
        self.intro: deque[bytes] = deque()
        self.stream: Any = None
        self.address = ""
        self.in_page = False
        self.owed_heartbeat = False
        self.chunked = chunked
        self.expires_at = expires_at
        self.waiting = 0
        self.waiting_bytes = 0
        self._limit = queue_size
        self._held: Batch | None = None

    def offer(self, batch: Batch) -> bool:
        """Enqueue a batch; its only responsibility.

        Returns:
            False when the queue was full: it is dropped then, and the subscriber must go back to the history.
        """
        if batch.first <= self.position:
            rest = batch.after(self.position)
            if rest is None:
                return True
            batch = rest
        if self.waiting and not self._has_room(batch):
            self._strike_out(batch)
            if self.waiting and not self._has_room(batch):
                self._drop()
                return False
        self.queue.put_nowait(batch)
        self.waiting += batch.count
        self.waiting_bytes += batch.size
        return True

    def take(self) -> bytes:
        """Return everything pending as one piece, and move the position past it; empty if nothing is pending."""
        if not self.waiting:
            if self._held is not None and self._held.first <= self.position:
                # It was dropped with the rest and read since. If kept, `wait` would return at once, again and again.
                self._held = None
            return b""
        if self._held is None and self.queue.qsize() == 1:
            # Fast path: a single batch. Something is pending, so it is not the `None` of a wake-up.
            batch: Any = self.queue.get_nowait()
        else:
            batch = _merge(self._drain())
        self.waiting = self.waiting_bytes = 0
        self.position = batch.upto
        wire: bytes = batch.wire(chunked=self.chunked)
        return wire

    def wait(self, timeout: float) -> bool:
        """Block until something is offered; for readers that have a thread or greenlet of their own.

        Args:
            timeout: seconds.

        Returns:
            Whether there is something to look at.
        """
        if self._held is None:
            try:
                self._held = self.queue.get(timeout=timeout)
            except queue.Empty:
                return False
        return True

    def wake(self) -> None:
        """Make `wait` return, without an event."""
        if self.queue.empty():
            self.queue.put_nowait(None)

    def forget(self) -> None:
        """Drop everything pending, to read it from the history instead."""
        self._drop()

    def _has_room(self, batch: Batch) -> bool:
        return (
            self.waiting + batch.count <= self._limit and self.waiting_bytes + batch.size <= MAX_WAITING_BYTES
        )

    def _strike_out(self, newer: Batch) -> None:
        if not any(entry.segment for entry in newer.entries):
            return
        batches = self._drain()
        entries = [entry for batch in batches for entry in batch.entries]
        # Examined together, so that what the newer batch supersedes is dropped, too.
        kept = [entry for entry in without_superseded([*entries, *newer.entries]) if entry.seq < newer.first]
        self.waiting = self.waiting_bytes = 0
        if kept:
            batch = Batch(kept, batches[-1].upto)
            self.queue.put_nowait(batch)
            self.waiting, self.waiting_bytes = batch.count, batch.size

    def _drop(self) -> None:
        batches = self._drain()
        # Fewer than were added: a thread in `wait` holds one, which must be read again, too.
        if batches and sum(batch.count for batch in batches) == self.waiting:
            # A filtered reader may have received nothing for long: what it misses begins here, not at its last read.
            self.position = max(self.position, batches[0].first - 1)
        self.waiting = self.waiting_bytes = 0
        self.live = False
        self.wake()

    def _drain(self) -> list[Batch]:
        held, self._held = self._held, None
        # In a thread of its own `wait` may have got it just before the queue was dropped: then it has been read since.
        batches = [held] if held is not None and held.first > self.position else []
        for _ in range(self.queue.qsize()):
            batch = self.queue.get_nowait()
            if batch is not None:
                batches.append(batch)
        return batches


def _merge(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    entries = [entry for batch in batches for entry in batch.entries]
    return Batch(without_superseded(entries), batches[-1].upto)
