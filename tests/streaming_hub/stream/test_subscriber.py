"""One reader's queue: bounded, in order, with superseded interims struck out and never a final."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from streaming_hub.events.interest import EVERYTHING
from streaming_hub.events.stored import Entry, encode, without_superseded
from streaming_hub.stream.subscriber import MAX_WAITING_BYTES, Batch, Subscriber
from tests.kit.sse import frames, seqs, unchunk
from tests.streaming_hub.making import NOW, interim, posted


def entry(seq: int, **fields: Any) -> Entry:
    """A stored event."""
    return encode("e", seq, posted(**fields), NOW)


def spoken(seq: int, segment: str = "s", **fields: Any) -> Entry:
    """A stored interim."""
    return encode("e", seq, interim(segment, **fields), NOW)


def final(seq: int) -> Entry:
    """A stored final transcript."""
    return encode("e", seq, posted("transcript", is_final=True, segment_id="s"), NOW)


def batch(*entries: Entry, upto: int | None = None) -> Batch:
    """Entries on their way."""
    return Batch(list(entries), entries[-1].seq if upto is None else upto)


def live(position: int = 0, size: int = 4, *, chunked: bool = False) -> Subscriber:
    """A reader that reads its queue."""
    subscriber = Subscriber(EVERYTHING, position, size, chunked=chunked)
    subscriber.live = True
    return subscriber


def test_what_waits_is_taken_as_one_piece_in_order() -> None:
    subscriber = live()
    assert subscriber.take() == b""
    assert subscriber.offer(batch(entry(1), entry(2)))
    assert subscriber.offer(batch(entry(3), upto=5))
    assert subscriber.waiting == 3
    assert seqs(subscriber.take()) == [1, 2, 3]
    assert (subscriber.position, subscriber.waiting, subscriber.waiting_bytes) == (5, 0, 0)
    assert subscriber.take() == b""


def test_a_queue_is_a_queue() -> None:
    assert isinstance(live().queue, queue.Queue)


def test_what_it_has_is_not_queued_again() -> None:
    subscriber = live(position=2)
    assert subscriber.offer(batch(entry(1), entry(2)))
    assert subscriber.waiting == 0
    assert subscriber.offer(batch(entry(2), entry(3)))
    assert seqs(subscriber.take()) == [3]


def test_all_readers_share_the_bytes() -> None:
    shared = batch(entry(1), entry(2))
    one, other = live(chunked=True), live(chunked=True)
    one.offer(shared)
    other.offer(shared)
    sent = one.take()
    assert sent is other.take()
    body, ended = unchunk(sent)
    assert seqs(body) == [1, 2]
    assert not ended


def test_a_full_queue_is_dropped_and_reading_continues_from_what_was_not_sent() -> None:
    subscriber = live(position=3, size=2)
    assert subscriber.offer(batch(entry(8)))
    assert subscriber.offer(batch(entry(9)))
    assert not subscriber.offer(batch(entry(10)))
    assert not subscriber.live
    assert (subscriber.waiting, subscriber.waiting_bytes) == (0, 0)
    # 4 to 7 did not match its filter: what it misses begins at 8.
    assert subscriber.position == 7
    assert subscriber.take() == b""


def test_one_batch_may_be_larger_than_the_queue() -> None:
    subscriber = live(size=2)
    big = batch(*(entry(seq) for seq in range(1, 11)))
    assert subscriber.offer(big)
    assert not subscriber.offer(batch(entry(11)))
    assert subscriber.position == 0


def test_bytes_are_bounded_too() -> None:
    subscriber = live(size=1000)
    text = "x" * 60_000
    seq = 1
    while subscriber.offer(batch(entry(seq, text=text))):
        seq += 1
        assert subscriber.waiting_bytes <= MAX_WAITING_BYTES
    assert seq * 60_000 > MAX_WAITING_BYTES - 60_000


def test_a_full_queue_strikes_out_superseded_interims_first() -> None:
    subscriber = live(size=3)
    for seq in range(1, 4):
        assert subscriber.offer(batch(spoken(seq)))
    assert subscriber.offer(batch(spoken(4)))
    assert subscriber.live
    assert seqs(subscriber.take()) == [4]


def test_what_is_taken_holds_no_superseded_interim() -> None:
    subscriber = live(size=10)
    for one in (spoken(1), entry(2), spoken(3), spoken(4, "t"), spoken(5), final(6), spoken(7)):
        subscriber.offer(batch(one))
    assert seqs(subscriber.take()) == [2, 4, 6, 7]


def test_finals_are_never_struck_out() -> None:
    subscriber = live(size=3)
    for seq in (1, 2, 3):
        assert subscriber.offer(batch(final(seq)))
    assert not subscriber.offer(batch(spoken(4)))


@pytest.mark.parametrize(
    "other",
    [
        {"room": "b"},
        {"session_id": "b"},
        {"participant": "b"},
        {"segment_id": "b"},
        {"audience": "operator"},
    ],
)
def test_only_the_same_segment_of_the_same_speaker_supersedes(other: dict[str, str]) -> None:
    same = {"room": "a", "session_id": "a", "participant": "a", "segment_id": "a"}
    one = encode("e", 1, posted("transcript", is_final=False, **same), NOW)
    two = encode("e", 2, posted("transcript", is_final=False, **{**same, **other}), NOW)
    three = encode("e", 3, posted("transcript", is_final=False, **same), NOW)
    assert list(without_superseded([one, two, three])) == [two, three]


def test_entries_without_interims_are_left_as_they_are() -> None:
    entries = [entry(1), final(2)]
    assert without_superseded(entries) is entries


def test_waiting_blocks_until_something_is_offered() -> None:
    subscriber = live()
    assert not subscriber.wait(0)
    subscriber.offer(batch(entry(1)))
    assert subscriber.wait(0)
    assert subscriber.wait(0)
    assert seqs(subscriber.take()) == [1]
    assert not subscriber.wait(0)
    subscriber.wake()
    subscriber.wake()
    assert subscriber.wait(0)


def test_a_batch_that_is_held_by_a_waiting_thread_counts_like_the_others() -> None:
    subscriber = live(size=2)
    subscriber.offer(batch(entry(1)))
    assert subscriber.wait(0)
    subscriber.offer(batch(entry(2)))
    assert seqs(subscriber.take()) == [1, 2]


@pytest.mark.parametrize("size", [1, 2])
def test_a_batch_taken_while_the_queue_was_dropped_is_read_again_and_not_sent_twice(
    size: int,
) -> None:
    subscriber = live(size=size)

    class Overtaken(queue.Queue[Batch | None]):
        def get(self, block: bool = True, timeout: float | None = None) -> Batch | None:
            got = super().get(block, timeout)
            if block:
                # Other threads publish before `wait` has stored what it got.
                while subscriber.offer(batch(entry(2 + subscriber.waiting - 1))):
                    continue
            return got

    subscriber.queue = Overtaken(9)
    subscriber.offer(batch(entry(1)))
    assert subscriber.wait(0)
    assert (subscriber.live, subscriber.position) == (False, 0)
    # It catches up with the history, and is live again.
    subscriber.position, subscriber.live = 9, True
    subscriber.offer(batch(entry(10)))
    assert seqs(subscriber.take()) == [10]


def test_what_a_thread_held_when_the_queue_was_dropped_does_not_wake_it_again_and_again() -> None:
    subscriber = live()

    class Overtaken(queue.Queue[Batch | None]):
        def get(self, block: bool = True, timeout: float | None = None) -> Batch | None:
            got = super().get(block, timeout)
            if block and got is not None:
                # In another thread, before `wait` has stored what it got.
                subscriber.forget()
            return got

    subscriber.queue = Overtaken(9)
    subscriber.offer(batch(entry(1)))
    assert subscriber.wait(0)
    # It catches up with the history, is live again, and finds nothing new.
    subscriber.position, subscriber.live = 1, True
    assert subscriber.take() == b""
    # Once for the call to the history that was in the queue, then no more.
    assert [subscriber.wait(0), subscriber.take(), subscriber.wait(0)] == [True, b"", False]


def test_what_a_thread_got_before_it_was_counted_is_not_lost() -> None:
    subscriber = live(position=4)
    early: list[bytes] = []

    class Quick(queue.Queue[Batch | None]):
        def put(self, item: Batch | None, block: bool = True, timeout: float | None = None) -> None:
            super().put(item, block, timeout)
            # In another thread, before `offer` has counted it in.
            assert subscriber.wait(0)
            early.append(subscriber.take())

    subscriber.queue = Quick(9)
    subscriber.offer(batch(entry(5)))
    assert early == [b""]
    assert subscriber.wait(0)
    assert seqs(subscriber.take()) == [5]


def test_forgetting_reads_again_what_was_not_sent() -> None:
    subscriber = live(position=1)
    subscriber.offer(batch(entry(5)))
    subscriber.forget()
    assert (subscriber.live, subscriber.waiting, subscriber.position) == (False, 0, 4)


def test_the_memory_of_a_queue_is_bounded_whatever_is_offered() -> None:
    subscriber = live(size=16)
    sent: list[int] = []
    for seq in range(1, 500):
        subscriber.live = True
        if not subscriber.offer(batch(spoken(seq, f"s{seq % 40}", text="y" * (seq % 50)))):
            subscriber.position = seq - 1
            continue
        assert subscriber.waiting <= 16
        assert subscriber.queue.qsize() <= 17
        assert subscriber.waiting_bytes <= MAX_WAITING_BYTES
        if seq % 97 == 0:
            sent += [int(frame["id"].split("-")[1]) for frame in frames(subscriber.take())]
    assert sent == sorted(set(sent))
