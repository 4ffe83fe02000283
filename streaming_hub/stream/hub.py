"""The hub: from a published event to every subscriber's queue.

    publish -> history.append -> (the answer) -> sweep: choose subscribers, join once, enqueue

A sweep takes what is pending and offers it to every subscriber that may see it, a slice at a time, so that its driver
(`writer`) can run other work in between. Knows no sockets; the clock is an argument.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import nullcontext
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from streaming_hub.events import cursor, sse
from streaming_hub.events.stored import Entry, without_superseded
from streaming_hub.history.page import Limit
from streaming_hub.stream.audience import Audience
from streaming_hub.stream.counters import Counters
from streaming_hub.stream.frames import heartbeat
from streaming_hub.stream.latency import Latency
from streaming_hub.stream.pages import (
    Fetched,
    Reached,
    SharedPages,
    reached_by,
)
from streaming_hub.stream.subscriber import Batch, Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.posted import Event
    from streaming_hub.history import History
    from streaming_hub.stream.audience import Group

SLICE: Final = 64
"""How many subscribers a sweep serves before other work runs."""
PAGE: Final = Limit()


class Wait(Enum):
    """The reason why a subscriber has nothing to send yet."""

    EVENT = "an event"
    DISK = "a page of history from the disk"
    TURN = "its next turn: much was looked at, and nothing was for it"


class Receipt(msgspec.Struct, frozen=True):
    """The result returned to the publisher."""

    ids: list[str]
    duplicates: int
    clients_notified: int


class Hub:
    """Subscribers, and the delivery of events to them.

    Args:
        history: where events are kept.
        queue_size: how many events may wait for one subscriber.
        clock: seconds since 1970.

    Attributes:
        schedule: called when something is pending; by default it is delivered at once, by the publisher.
        urge: called by a thread that would otherwise go on working: delivers now what is scheduled for the loop's next
            turn.
        take_back: called at an erasure, takes back what a socket was not given yet; returns the position before it.
        delivery: from storing an event to the end of its sweep, when the last socket had it or was full.
        audience: all subscribers.
        lock: guards everything here where several threads publish or read.
        resume: called for a subscriber that has to read on from the history though nothing was offered to it.
        storing: held while the history writes; nothing where that waits for the network.
    """

    def __init__(self, history: History, *, queue_size: int, clock: Callable[[], float]) -> None:
        self.history = history
        self.clock = clock
        self.lock = threading.RLock()
        self.schedule: Callable[[], None] = self.deliver_pending
        self.urge: Callable[[], None] = lambda: None
        self.take_back: Callable[[Subscriber], int | None] = lambda _subscriber: None
        self.counters = Counters({})
        self.delivery = Latency()
        self.audience = Audience()
        self.resume: Callable[[Subscriber], None] = lambda _subscriber: None
        self.storing: AbstractContextManager[object] = nullcontext() if history.shared else self.lock
        self._queue_size = queue_size
        self._pending: deque[Entry] = deque()
        self._swept = history.bounds.head
        self._turn = 0
        self._sweep: Iterator[list[Subscriber]] | None = None
        self._owed: list[list[Subscriber]] = []
        self._shared = SharedPages()
        self._erasures = 0

    def publish(self, events: Sequence[Event]) -> Receipt:
        """Store events, and pass on the new ones.

        Raises:
            Unavailable: they could not be stored; nothing was sent.
        """
        if self.history.shared:
            return self._store(events)
        with self.lock:
            appended = self.history.append(events, self.clock())
            for entry in appended.new:
                self.counters.count(entry.type)
            self.counters.duplicates += appended.duplicates
            notified = self.audience.count_readers(appended.new) if appended.new else 0
            if appended.new:
                self._pending.extend(appended.new)
                self.schedule()
        epoch = self.history.bounds.epoch
        return Receipt([f"{epoch}-{seq}" for seq in appended.seqs], appended.duplicates, notified)

    def _store(self, events: Sequence[Event]) -> Receipt:
        """Store events that several nodes share: they come back through `arrived`, in the common order."""
        epoch = self.history.bounds.epoch
        appended = self.history.append(events, self.clock())
        with self.lock:
            for entry in appended.new:
                self.counters.count(entry.type)
            self.counters.duplicates += appended.duplicates
            notified = self.audience.count_readers(appended.new) if appended.new else 0
        return Receipt([f"{epoch}-{seq}" for seq in appended.seqs], appended.duplicates, notified)

    def hand_on(self, entries: Sequence[Entry]) -> None:
        """Pass on what any node has stored, once the history has it; with `lock` held."""
        if entries:
            self._pending.extend(entries)
            self.schedule()

    def overtaken(self) -> None:
        """Send all subscribers back to the history, which has dropped events unread; with `lock` held."""
        self._pending.clear()
        for subscriber in self.send_all_back():
            self.resume(subscriber)
        self._swept = self.history.bounds.head

    def begin_epoch(self, lost_epoch: str, survived: int) -> None:
        """Report the loss of events on every stream, and continue with what survived; with `lock` held.

        Args:
            lost_epoch: the one that was followed until now.
            survived: up to this number its events are in the new epoch as well.
        """
        self._pending.clear()
        # Each keeps its position: after what it was sent, and before what is pending for it.
        self.send_all_back()
        self._shared.forget()
        self._erasures += 1
        self._swept = self.history.bounds.head
        for subscriber in self.subscribers():
            reset = cursor.Reset("history_lost", cursor.show(lost_epoch, subscriber.position))
            subscriber.intro.append(sse.control_frame(self.reset_fields(reset, subscriber.interest)))
            subscriber.position = min(subscriber.position, survived)
            self.resume(subscriber)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber; it starts behind, and becomes live when it has read up to the head."""
        with self.lock:
            self.audience.add(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        with self.lock:
            self.audience.remove(subscriber)

    def new_subscriber(
        self, interest: Interest, position: int, *, chunked: bool, expires_at: float | None
    ) -> Subscriber:
        """Make a subscriber with this hub's queue size; `subscribe` counts it in."""
        return Subscriber(interest, position, self._queue_size, chunked=chunked, expires_at=expires_at)

    def __len__(self) -> int:
        return len(self.audience)

    def subscribers(self) -> list[Subscriber]:
        """Return all subscribers, in no particular order."""
        with self.lock:
            return list(self.audience)

    def deliver_pending(self) -> None:
        """Sweep until nothing is pending."""
        with self.lock:
            while self.pending:
                self.step()

    @property
    def pending(self) -> bool:
        """Whether `step` has something left to do."""
        return bool(self._pending or self._sweep or self._owed)

    def step(self) -> list[Subscriber] | None:
        """Deliver one slice; return the subscribers served, none at a sweep's end, None when nothing is pending."""
        if self._owed:
            return self._owed.pop()
        if self._sweep is None:
            if not self._pending:
                return None
            self._sweep = self._begin_sweep()
        served = next(self._sweep, [])
        if not served:
            self._sweep = None
        return served

    def _begin_sweep(self) -> Iterator[list[Subscriber]]:
        entries = self._take_pending()
        upto = entries[-1].seq
        reached = False
        for group, batch in self._choose(entries, upto):
            members = self._rotated(group)
            for start in range(0, len(members), SLICE):
                served = members[start : start + SLICE]
                self._deliver(batch, served, group)
                yield served
                # By the time the writer asks for more, it has sent to them.
                reached = True
        if reached:
            # Another node's clock may be ahead of this one's.
            self.delivery.observe(max(0.0, self.clock() - entries[0].at))
        self._swept = upto

    def _deliver(self, batch: Batch, subscribers: list[Subscriber], group: Group) -> None:
        """Enqueue for each; sending is the writer's."""
        offered = 0
        for subscriber in subscribers:
            # It may have left or fallen behind since the list was made.
            if not subscriber.live:
                continue
            if subscriber.offer(batch):
                offered += 1
            else:
                self.counters.drops += 1
                group.live.pop(subscriber, None)
        self.counters.deliveries += offered * batch.count

    def send_all_back(self) -> list[Subscriber]:
        """Make every live subscriber read from the history again, after a sweep failed half-way."""
        self._sweep = None
        self._owed = []
        sent_back = []
        for group in self.audience.groups():
            for subscriber in group.live:
                if not subscriber.waiting:
                    # It has been given everything it may see up to there, even if that was nothing for a long time.
                    subscriber.position = max(subscriber.position, self._swept)
                subscriber.forget()
                sent_back.append(subscriber)
            group.live.clear()
        return sent_back

    def pull(self, subscriber: Subscriber) -> bytes | Wait:
        """Return the next bytes for a subscriber, or what it has to wait for.

        One path for replay, for catching up after its queue was dropped, and for live events.
        """
        if subscriber.intro:
            intro = subscriber.intro.popleft()
            return sse.chunk(intro) if subscriber.chunked else intro
        if subscriber.live:
            if subscriber.owed_heartbeat:
                return self._owed_heartbeat(subscriber)
            return subscriber.take() or Wait.EVENT
        if subscriber.position < self.history.bounds.oldest - 1:
            return self._skip(subscriber)
        with self.lock:
            return self._catch_up(subscriber)

    def fetch(self, interest: Interest, position: int) -> Fetched:
        """Read a page from the disk; may take long, and may run in any thread."""
        erasures = self._erasures
        return Fetched(self.history.since(position, interest, PAGE), erasures)

    def keep(self, interest: Interest, position: int, fetched: Fetched) -> None:
        """Give a fetched page to the subscribers waiting for it; if an erasure came first, it must be read again."""
        with self.lock:
            if fetched.erasures != self._erasures:
                return
            reached = reached_by(fetched.page)
            self._shared.put(interest, position, reached)
            group = self.audience.group(interest)
            if reached.batch is None and group is not None:
                # Nothing to send: they only advance.
                for subscriber in group.members:
                    if subscriber.position == position and not subscriber.live:
                        subscriber.position = reached.upto

    def place(self, subscriber: Subscriber) -> str:
        """Return the subscriber's own position as an id: it has been given all that it may see up to there."""
        return cursor.show(self.history.bounds.epoch, self._place(subscriber))

    def _place(self, subscriber: Subscriber) -> int:
        if subscriber.live and not subscriber.waiting:
            return max(subscriber.position, self._swept)
        return subscriber.position

    def forget_erased(self) -> None:
        """Remove from all queues what the history no longer has: subscribers that might get it read again."""
        with self.lock:
            owed: list[list[Subscriber]] = []
            try:
                while self.pending:
                    served = self.step()
                    if served:
                        owed.append(served)
                # Not before the history has erased it: a page that is read meanwhile must not be cached.
                self._erasures += 1
                self._shared.forget()
                self._read_anew()
            finally:
                # Even if it failed: the selected events are in queues that only the writer empties.
                self._owed = owed
                self.schedule()

    def _read_anew(self) -> None:
        """Send subscribers back to the history if erased events may wait for them."""
        for subscriber in self.subscribers():
            position = self.take_back(subscriber)
            group = self.audience.group(subscriber.interest)
            # `take_back` may close the stream, and the group of an interest ends with its last reader.
            if group is None or subscriber not in group.members:
                continue
            if subscriber.waiting or position is not None:
                subscriber.forget()
                subscriber.position = subscriber.position if position is None else position
                group.live.pop(subscriber, None)

    def _take_pending(self) -> list[Entry]:
        taken: list[Entry] = []
        size = 0
        while self._pending and (not taken or (len(taken) < PAGE.events and size < PAGE.size)):
            entry = self._pending.popleft()
            taken.append(entry)
            size += len(entry.frame)
        return taken

    def _choose(self, entries: list[Entry], upto: int) -> Iterator[tuple[Group, Batch]]:
        whole: Batch | None = None
        for group in self.audience.candidates(entries):
            interest = group.interest
            chosen = entries if interest.everything else [one for one in entries if interest.matches(one)]
            if len(chosen) == len(entries):
                whole = whole or Batch(without_superseded(entries), upto)
                yield group, whole
            elif chosen:
                yield group, Batch(without_superseded(chosen), upto)

    def _rotated(self, group: Group) -> list[Subscriber]:
        members = list(group.live)
        if len(members) > SLICE:
            # Rotate the order, so that no subscriber is always last.
            self._turn += SLICE
            start = self._turn % len(members)
            members = members[start:] + members[:start]
        return members

    def _skip(self, subscriber: Subscriber) -> bytes:
        bounds = self.history.bounds
        reset = cursor.Reset("expired", cursor.show(bounds.epoch, subscriber.position), subscriber.position)
        frame = sse.control_frame(self.reset_fields(reset, subscriber.interest))
        subscriber.position = bounds.oldest - 1
        subscriber.owed_heartbeat = True
        return sse.chunk(frame) if subscriber.chunked else frame

    def _owed_heartbeat(self, subscriber: Subscriber) -> bytes:
        subscriber.owed_heartbeat = False
        return heartbeat(self.clock(), self.place(subscriber), chunked=subscriber.chunked)

    def reset_fields(self, reset: cursor.Reset, interest: Interest) -> dict[str, object]:
        """Return the `stream_reset` event for a position that cannot be honoured."""
        self.counters.resets += 1
        bounds = self.history.bounds
        countable = reset.seq is not None and interest.everything
        stored = bounds.oldest <= bounds.head
        return {
            "type": "stream_reset",
            "reason": reset.reason,
            "requested": reset.requested,
            "oldest": cursor.show(bounds.epoch, bounds.oldest) if stored else None,
            "missed": bounds.missed(reset.seq) if countable and reset.seq is not None else None,
        }

    def _catch_up(self, subscriber: Subscriber) -> bytes | Wait:
        if subscriber.position >= self.history.bounds.head:
            self.audience.go_live(subscriber)
            return self._owed_heartbeat(subscriber) if subscriber.owed_heartbeat else Wait.EVENT
        reached = self._shared.get(subscriber.interest, subscriber.position) or self._recent(subscriber)
        if reached is None:
            return Wait.DISK
        subscriber.position = reached.upto
        if reached.upto >= self.history.bounds.head:
            self.audience.go_live(subscriber)
        if reached.batch is not None:
            self.counters.deliveries += reached.batch.count
            return reached.batch.wire(chunked=subscriber.chunked)
        if not subscriber.live:
            return Wait.TURN
        return self._owed_heartbeat(subscriber) if subscriber.owed_heartbeat else Wait.EVENT

    def _recent(self, subscriber: Subscriber) -> Reached | None:
        page = self.history.recent(subscriber.position, subscriber.interest, PAGE)
        if page is None:
            return None
        reached = reached_by(page)
        self._shared.put(subscriber.interest, subscriber.position, reached)
        return reached
