"""Events reach their readers completely, in order and once, or a reset counts exactly what is missing."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import streaming_hub.history.sqlite as sqlite_module
import streaming_hub.stream.hub as module
import streaming_hub.stream.pages as fetching
from streaming_hub.errors import Unavailable
from streaming_hub.events import cursor
from streaming_hub.events.interest import EVERYTHING, Interest
from streaming_hub.events.stored import Entry, encode
from streaming_hub.history.page import Limit
from streaming_hub.history.sqlite import SqliteHistory
from streaming_hub.stream.erasing import erase
from streaming_hub.stream.hub import Hub, Wait
from tests.kit.sse import frames, seqs, unchunk
from tests.streaming_hub.making import NOW, hub_over, interim, memory, posted, pull_all, reader

if TYPE_CHECKING:
    from streaming_hub.events.posted import Event
    from streaming_hub.stream.subscriber import Subscriber

ROOM_A = Interest(rooms=frozenset("a"))
KINDS = ["note", "usage", "interim", "interim", "final"]
ROOMS = [None, "a", "b"]
MANY = 6
some = st.integers(0, 59)
INTERESTS = [EVERYTHING, EVERYTHING, ROOM_A, Interest(types=frozenset({"note"})), Interest(operator=False)]


def deliver(hub: Hub, *events: Event) -> None:
    """Publish and sweep."""
    hub.publish(list(events))
    hub.deliver_pending()


class TestPublish:
    """What the publisher gets."""

    def test_clients_notified_counts_the_clients_that_may_see_it(self) -> None:
        hub = hub_over()
        for interest in (
            EVERYTHING,
            EVERYTHING,
            ROOM_A,
            Interest(operator=False),
            Interest(allowed_rooms=frozenset("ab")),
        ):
            reader(hub, interest=interest)
        assert hub.publish([posted()]).clients_notified == 3
        assert hub.publish([posted(room="a")]).clients_notified == 5
        assert hub.publish([posted("usage", room="a")]).clients_notified == 4
        assert hub.publish([posted(room="b"), posted("usage")]).clients_notified == 4

    def test_a_duplicate_notifies_no_client_and_is_not_sent_again(self) -> None:
        hub = hub_over()
        one = reader(hub)
        first = hub.publish([posted(event_id="x")])
        again = hub.publish([posted(event_id="x")])
        assert (again.ids, again.duplicates, again.clients_notified) == (first.ids, 1, 0)
        mixed = hub.publish([posted(event_id="x"), posted(event_id="y")])
        assert (mixed.ids[0], mixed.duplicates, mixed.clients_notified) == (first.ids[0], 1, 1)
        hub.deliver_pending()
        assert seqs(pull_all(hub, one)) == [1, 2]

    def test_what_cannot_be_stored_is_not_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hub = hub_over()
        one = reader(hub)

        def refuse(*_: Any) -> None:
            raise Unavailable("full")

        monkeypatch.setattr(hub.history, "append", refuse)
        with pytest.raises(Unavailable):
            hub.publish([posted()])
        hub.deliver_pending()
        assert pull_all(hub, one) == b""

    def test_publishing_sends_nothing_by_itself(self) -> None:
        hub = hub_over()
        one = reader(hub)
        pull_all(hub, one)
        called: list[int] = []
        hub.schedule = lambda: called.append(one.waiting)
        hub.publish([posted()])
        assert called == [0]
        assert one.waiting == 0


class TestReplay:
    """The transition from stored to live events."""

    def test_a_reader_starts_after_its_position(self) -> None:
        hub = hub_over()
        deliver(hub, *(posted() for _ in range(5)))
        one = reader(hub, 2)
        assert seqs(pull_all(hub, one)) == [3, 4, 5]
        assert one.live
        deliver(hub, posted())
        assert seqs(pull_all(hub, one)) == [6]

    def test_what_is_published_during_a_replay_comes_once_and_after_it(self) -> None:
        hub = hub_over(memory(10_000), queue_size=2)
        deliver(hub, *(posted() for _ in range(1300)))
        one = reader(hub, 0)
        received: list[int] = []
        while len(received) < 1500:
            deliver(hub, *(posted() for _ in range(20)))
            pulled = hub.pull(one)
            assert isinstance(pulled, bytes)
            received += seqs(pulled)
        assert received == list(range(1, len(received) + 1))

    def test_readers_with_the_same_interest_share_a_page(self) -> None:
        hub = hub_over()
        deliver(hub, *(posted() for _ in range(5)))
        one, other = reader(hub, 0, chunked=True), reader(hub, 0, chunked=True)
        assert hub.pull(one) is hub.pull(other)

    def test_a_disk_page_is_asked_for_once_and_shared(self, tmp_path: Path) -> None:
        history = SqliteHistory(tmp_path / "e.db", max_events=99, max_age=1e6, sync="normal", now=NOW)
        history.append([posted() for _ in range(5)], NOW)
        history.close()
        history = SqliteHistory(tmp_path / "e.db", max_events=99, max_age=1e6, sync="normal", now=NOW)
        hub = hub_over(history)
        one, other = reader(hub, 0), reader(hub, 0)
        assert hub.pull(one) is Wait.DISK
        hub.keep(EVERYTHING, 0, hub.fetch(EVERYTHING, 0))
        assert hub.pull(one) is hub.pull(other)
        history.close()

    def test_what_is_kept_for_sharing_is_bounded(self) -> None:
        hub = hub_over(memory(100_000))
        deliver(hub, *(posted(text="x" * 60_000) for _ in range(200)))
        for position in range(200):
            hub.pull(reader(hub, position))
        assert hub._shared.size <= fetching.SHARED_BYTES

    def test_what_is_kept_for_sharing_is_bounded_by_the_filters_size_too(self) -> None:
        hub = hub_over()
        deliver(hub, *(posted(room=f"{n}") for n in range(10)))
        for number in range(2000):
            rooms = frozenset({"1", *(f"{number}-{k}" for k in range(100))})
            pull_all(hub, reader(hub, 0, Interest(rooms=rooms)))
        # At 15 kB a filter, not 200 bytes.
        assert len(hub._shared) < 600

    def test_an_empty_page_is_not_cached(self) -> None:
        hub = hub_over()
        deliver(hub, *(posted(room="b") for _ in range(5)))
        for number in range(50):
            assert pull_all(hub, reader(hub, 0, Interest(rooms=frozenset({f"{number}"})))) == b""
        assert len(hub._shared) == 0

    def test_a_page_of_nothing_from_the_disk_moves_its_readers_on(self, tmp_path: Path) -> None:
        for _ in range(2):
            history = SqliteHistory(tmp_path / "e.db", max_events=99, max_age=1e6, sync="normal", now=NOW)
            history.append([posted(room="b") for _ in range(5)], NOW)
            if history.bounds.head == 5:
                history.close()
        hub = hub_over(history)
        one, other = reader(hub, 0, ROOM_A), reader(hub, 2, ROOM_A)
        assert hub.pull(one) is Wait.DISK
        hub.keep(ROOM_A, 0, hub.fetch(ROOM_A, 0))
        assert hub.pull(one) is Wait.EVENT
        assert (one.live, one.position, other.position) == (True, 10, 2)
        assert len(hub._shared) == 0
        history.close()

    def test_erased_text_leaves_queues_and_shared_pages(self) -> None:
        hub = hub_over()
        deliver(hub, posted(room="a"), posted(room="b"))
        slow, late = reader(hub), reader(hub, 0)
        pull_all(hub, slow)
        pull_all(hub, reader(hub, 0))
        hub.publish([posted(room="a"), posted(room="b")])
        assert erase(hub, room="a") == 2
        assert seqs(pull_all(hub, slow)) == [4]
        assert seqs(pull_all(hub, late)) == [2, 4]

    def test_an_erasure_that_closes_the_last_reader_of_an_interest_continues(self) -> None:
        hub = hub_over()
        closed, stays = reader(hub, interest=ROOM_A), reader(hub)
        pull_all(hub, closed)
        pull_all(hub, stays)
        hub.publish([posted(room="a"), posted(room="b")])

        def close(subscriber: Subscriber) -> None:
            # As the writer does with frames that it cannot cut.
            if subscriber is closed:
                hub.unsubscribe(subscriber)

        hub.take_back = close
        assert erase(hub, room="a") == 1
        assert hub.subscribers() == [stays]
        assert seqs(pull_all(hub, stays)) == [2]

    def test_an_erasure_that_fails_leaves_no_reader_unserved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hub = hub_over()
        one = reader(hub)
        pull_all(hub, one)
        hub.publish([posted(room="a")])

        def fail(**_what: Any) -> int:
            raise Unavailable("The disk is full.")

        monkeypatch.setattr(hub.history, "erase", fail)
        scheduled: list[bool] = []
        hub.schedule = lambda: scheduled.append(True)
        with pytest.raises(Unavailable):
            erase(hub, room="a")
        assert scheduled
        assert hub.step() == [one]
        assert seqs(pull_all(hub, one)) == [1]

    def test_a_page_read_before_an_erasure_is_not_cached(self) -> None:
        hub = hub_over()
        deliver(hub, posted(room="a"), posted(room="b"))
        late = reader(hub, 0)
        fetched = hub.fetch(EVERYTHING, 0)
        erase(hub, room="a")
        hub.keep(EVERYTHING, 0, fetched)
        late.position = 0
        assert seqs(pull_all(hub, late))[-1:] == [2]
        assert 1 not in seqs(pull_all(hub, reader(hub, 1)))
        assert hub._shared.get(EVERYTHING, 0) is None or seqs(pull_all(hub, reader(hub, 0))) == [2]


class TestReset:
    """A reader behind the history is notified."""

    def test_an_overflow_that_history_still_has_is_not_a_loss(self) -> None:
        hub = hub_over(queue_size=3)
        one = reader(hub)
        pull_all(hub, one)
        for _ in range(50):
            deliver(hub, posted())
        assert not one.live
        assert seqs(pull_all(hub, one)) == list(range(1, 51))
        assert one.live

    def test_an_overflow_that_history_has_forgotten_is_counted(self) -> None:
        hub = hub_over(memory(10), queue_size=3)
        one = reader(hub)
        deliver(hub, posted())
        assert seqs(pull_all(hub, one)) == [1]
        for _ in range(50):
            deliver(hub, posted())
        got = frames(pull_all(hub, one))
        assert (got[0]["type"], got[0]["reason"], got[0]["missed"]) == ("stream_reset", "expired", 40)
        epoch = hub.history.bounds.epoch
        assert (got[0]["requested"], got[0]["oldest"], got[0]["_id"]) == (f"{epoch}-1", f"{epoch}-42", None)
        assert [int(frame["id"].split("-")[1]) for frame in got[1:-1]] == list(range(42, 52))
        assert (got[-1]["type"], got[-1]["_id"]) == ("heartbeat", f"{epoch}-51")

    def test_a_quiet_filtered_reader_gets_no_report_of_a_loss_that_was_none(self) -> None:
        hub = hub_over(memory(20), queue_size=3)
        one = reader(hub, interest=ROOM_A)
        pull_all(hub, one)
        for _ in range(100):
            deliver(hub, posted(room="b"))
        assert hub.place(one).endswith("-100")
        for _ in range(5):
            deliver(hub, posted(room="a"))
        assert not one.live
        assert [frame.get("type") for frame in frames(pull_all(hub, one))] == ["note"] * 5

    def test_a_quiet_filtered_reader_keeps_its_place_when_something_is_erased(self) -> None:
        hub = hub_over(memory(20))
        one = reader(hub, interest=ROOM_A)
        pull_all(hub, one)
        for _ in range(100):
            deliver(hub, posted(room="b"))
        hub.publish([posted(room="a"), posted(room="c")])
        erase(hub, room="c")
        assert seqs(pull_all(hub, one)) == [101]

    def test_a_quiet_filtered_reader_keeps_its_place_when_a_sweep_fails(self) -> None:
        hub = hub_over(memory(20))
        one, busy = reader(hub, interest=ROOM_A), reader(hub)
        pull_all(hub, one)
        for _ in range(100):
            deliver(hub, posted(room="b"))
            pull_all(hub, busy)
        hub.publish([posted(room="a")])
        # The sweep ends half-way: the entry was taken from what is pending, and not offered to any subscriber.
        hub._take_pending()
        assert set(hub.send_all_back()) == {one, busy}
        assert [seqs(pull_all(hub, each)) for each in (one, busy)] == [[101], [101]]
        assert hub.counters.resets == 0

    def test_missed_is_unknown_for_a_filtered_reader(self) -> None:
        hub = hub_over(memory(5))
        one = reader(hub, 0, ROOM_A)
        deliver(hub, *(posted(room="a") for _ in range(9)))
        assert frames(pull_all(hub, one))[0]["missed"] is None

    def test_a_chunked_reader_gets_its_reset_in_a_chunk(self) -> None:
        hub = hub_over(memory(2))
        one = reader(hub, 0, chunked=True)
        deliver(hub, *(posted() for _ in range(5)))
        body, _ = unchunk(pull_all(hub, one))
        assert [frame["type"] for frame in frames(body)] == ["stream_reset", "note", "note", "heartbeat"]


class TestReachingTheHead:
    """A reader that is due a heartbeat gets it once, at the head."""

    def test_it_comes_after_what_was_stored(self) -> None:
        hub = hub_over()
        deliver(hub, posted(), posted())
        one = reader(hub, 0)
        one.owed_heartbeat = True
        got = frames(pull_all(hub, one))
        assert [(frame["type"], frame["_id"].split("-")[1]) for frame in got] == [
            ("note", "1"),
            ("note", "2"),
            ("heartbeat", "2"),
        ]
        deliver(hub, posted())
        assert [frame["type"] for frame in frames(pull_all(hub, one))] == ["note"]

    @pytest.mark.parametrize("fetched", [False, True])
    def test_it_comes_where_nothing_stored_is_for_the_reader(self, fetched: bool) -> None:
        hub = hub_over()
        deliver(hub, posted(room="b"), posted(room="b"))
        one = reader(hub, 0, ROOM_A)
        one.owed_heartbeat = True
        if fetched:
            hub.keep(ROOM_A, 0, hub.fetch(ROOM_A, 0))
        (heart,) = frames(pull_all(hub, one))
        assert (heart["type"], heart["_id"].split("-")[1]) == ("heartbeat", "2")
        assert one.live

    def test_nothing_is_owed_to_a_reader_that_begins_at_the_head(self) -> None:
        hub = hub_over()
        deliver(hub, posted())
        assert pull_all(hub, reader(hub)) == b""


class TestPlace:
    """The position that a heartbeat carries."""

    def test_it_moves_with_the_head_for_a_reader_that_has_seen_all(self) -> None:
        hub = hub_over()
        quiet, slow = reader(hub, interest=ROOM_A), reader(hub)
        pull_all(hub, quiet)
        pull_all(hub, slow)
        deliver(hub, posted(room="b"), posted(room="b"))
        assert hub.place(quiet).endswith("-2")
        assert hub.place(slow).endswith("-0")
        pull_all(hub, slow)
        assert hub.place(slow).endswith("-2")

    def test_it_never_runs_ahead_of_a_sweep_that_is_under_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "SLICE", 1)
        hub = hub_over()
        readers = [reader(hub) for _ in range(3)]
        for one in readers:
            pull_all(hub, one)
        hub.publish([posted()])
        assert [hub.place(one)[-2:] for one in readers] == ["-0"] * 3
        hub.step()
        assert sorted(one.waiting for one in readers) == [0, 0, 1]
        assert [hub.place(one)[-2:] for one in readers] == ["-0"] * 3


def test_readers_come_and_go_without_a_trace() -> None:
    hub = hub_over()
    for interest in (EVERYTHING, ROOM_A, Interest(rooms=frozenset("ab"), allowed_rooms=frozenset("bc"))):
        ones = [reader(hub, interest=interest) for _ in range(3)]
        assert len(hub) == 3
        assert set(hub.subscribers()) == set(ones)
        for one in ones:
            hub.unsubscribe(one)
            hub.unsubscribe(one)
    assert len(hub) == 0
    assert hub.publish([posted(room="b")]).clients_notified == 0


def test_a_reader_that_leaves_during_a_sweep_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 1)
    hub = hub_over()
    readers = [reader(hub) for _ in range(4)]
    for one in readers:
        pull_all(hub, one)
    hub.publish([posted()])
    hub.step()
    for one in readers:
        hub.unsubscribe(one)
    hub.deliver_pending()
    assert len(hub) == 0


def test_readers_are_counted_while_others_come_and_go() -> None:
    hub = hub_over()
    for number in range(200):
        reader(hub, interest=Interest(rooms=frozenset({f"{number}"})))
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            one = reader(hub, interest=ROOM_A)
            hub.unsubscribe(one)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(1000):
            assert len(hub) in (200, 201)
            assert len(hub.subscribers()) in (200, 201)
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_threads_publish_and_read_at_once() -> None:
    """The hub behind a threaded WSGI server: publishers deliver, readers pull under the lock."""
    hub = Hub(memory(100_000), queue_size=8, clock=lambda: NOW)
    total = 4 * 150
    received: list[list[int]] = [[] for _ in range(4)]
    ready = threading.Barrier(8)

    def publish() -> None:
        ready.wait()
        for _ in range(150):
            hub.publish([posted()])

    def read(index: int) -> None:
        one = reader(hub, 0)
        ready.wait()
        while len(received[index]) < total:
            with hub.lock:
                pulled = hub.pull(one)
            if isinstance(pulled, bytes):
                received[index] += seqs(pulled)
            elif not one.wait(20):
                return

    threads = [threading.Thread(target=publish) for _ in range(4)]
    threads += [threading.Thread(target=read, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert received == [list(range(1, total + 1))] * 4


class Client:
    """What a reader was sent, and what it should have been."""

    def __init__(self, subscriber: Subscriber, last: int, head: int) -> None:
        self.subscriber = subscriber
        self.last = last
        self.head = head
        self.fetching: Any = None


class Delivery(RuleBasedStateMachine):
    """Random interleavings, with tiny queues, windows, pages, slices and caches."""

    @initialize(
        queue_size=st.integers(1, 4),
        window=st.integers(3, 15),
        disk=st.booleans(),
        page=st.integers(1, 4),
        cached=st.sampled_from([2000, 20_000]),
        scanned=st.sampled_from([1, 3, 5000]),
    )
    def begin(self, queue_size: int, window: int, disk: bool, page: int, cached: int, scanned: int) -> None:
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(module, "SLICE", 1)
        self.patched.setattr(module, "PAGE", Limit(events=page, size=1000))
        self.patched.setattr(fetching, "SHARED_BYTES", cached)
        self.patched.setattr(sqlite_module, "RECENT_BYTES", 400)
        for store in ("memory", "sqlite"):
            self.patched.setattr(f"streaming_hub.history.{store}.MOST_SCANNED", scanned)
        self.folder = tempfile.TemporaryDirectory()
        self.now = NOW
        path = Path(self.folder.name) / "e.db"
        self.history: Any = (
            SqliteHistory(path, max_events=window, max_age=100.0, sync="normal", now=NOW)
            if disk
            else memory(window, 100.0)
        )
        self.hub = Hub(self.history, queue_size=queue_size, clock=lambda: self.now)
        self.hub.schedule = lambda: None
        self.queue_size = queue_size
        self.stored: dict[int, Entry] = {}
        self.erased: set[int] = set()
        self.everyone: list[Client] = []
        for interest in INTERESTS[1:4]:
            self.subscribe(interest, 0, chunked=False)

    @rule(actions=st.lists(st.tuples(st.sampled_from("psrr"), some), min_size=1, max_size=12))
    def bustle(self, actions: list[tuple[str, int]]) -> None:
        """Publish, sweep and read in small pieces."""
        for action, number in actions:
            if action == "p":
                self.publish([(KINDS[number % len(KINDS)], ROOMS[number % len(ROOMS)])], sweep=False)
            elif action == "s":
                self.hub.step()
            else:
                self._pull(self._one(number))

    @rule(
        made=st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(ROOMS)), min_size=1, max_size=6),
        sweep=st.booleans(),
    )
    def publish(self, made: list[tuple[str, str | None]], sweep: bool) -> None:
        events = []
        for kind, room in made:
            fields = {} if room is None else {"room": room}
            if kind == "interim":
                events.append(interim("s", **fields))
            elif kind == "final":
                events.append(posted("transcript", is_final=True, segment_id="s", **fields))
            else:
                events.append(posted(kind, **fields))
        head = self.history.bounds.head
        receipt = self.hub.publish(events)
        fresh = [
            encode(self.history.bounds.epoch, seq, one, self.now) for seq, one in enumerate(events, head + 1)
        ]
        self.stored.update({entry.seq: entry for entry in fresh})
        wanted = [c for c in self.everyone if any(c.subscriber.interest.matches(entry) for entry in fresh)]
        assert receipt.clients_notified == len(wanted)
        if sweep:
            self.hub.deliver_pending()

    @rule(interest=st.sampled_from(INTERESTS), back=st.integers(0, 20), chunked=st.booleans())
    def subscribe(self, interest: Interest, back: int, chunked: bool) -> None:
        if len(self.everyone) < MANY:
            last = max(0, self.history.bounds.head - back)
            self._connect(interest, last, cursor.show(self.history.bounds.epoch, last), chunked)

    @rule(number=some)
    def reconnect(self, number: int) -> None:
        """Reconnect with the position of the last heartbeat, or the last event."""
        client = self._one(number)
        subscriber = client.subscriber
        self.hub.unsubscribe(subscriber)
        self.everyone.remove(client)
        self._connect(subscriber.interest, client.last, self.hub.place(subscriber), subscriber.chunked)

    @rule(number=some)
    def hang_up(self, number: int) -> None:
        if len(self.everyone) > 1:
            client = self._one(number)
            self.hub.unsubscribe(client.subscriber)
            self.everyone.remove(client)

    @rule(number=some)
    def drain(self, number: int) -> None:
        self._drain(self._one(number))

    @rule(number=some)
    def page_arrives(self, number: int) -> None:
        client = self._one(number)
        if client.fetching is not None:
            self.hub.keep(*client.fetching)
            client.fetching = None

    def _one(self, number: int) -> Client:
        return self.everyone[number % len(self.everyone)]

    def _drain(self, client: Client) -> None:
        self.hub.deliver_pending()
        while self._pull(client):
            continue
        self._check_gap(client, self.history.bounds.head)
        assert not client.subscriber.owed_heartbeat

    def _connect(self, interest: Interest, last: int, asked: str, chunked: bool) -> None:
        found = cursor.resolve(asked, self.history.bounds.range())
        position = self.history.bounds.oldest - 1 if isinstance(found, cursor.Reset) else found
        subscriber = self.hub.new_subscriber(interest, position, chunked=chunked, expires_at=None)
        client = Client(subscriber, last, self.history.bounds.head)
        subscriber.owed_heartbeat = True
        if isinstance(found, cursor.Reset):
            assert found.reason == "expired"
            self._check_reset(client, self.hub.reset_fields(found, interest))
        self.hub.subscribe(subscriber)
        self.everyone.append(client)

    @rule(room=st.sampled_from("ab"))
    def erase(self, room: str) -> None:
        gone = {s for s, e in self.stored.items() if e.room == room and s >= self.history.bounds.oldest}
        assert erase(self.hub, room=room) == len(gone - self.erased)
        self.erased |= gone

    @rule(seconds=st.sampled_from([0.0, 30.0, 90.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.history.trim(self.now)

    @invariant()
    def queues_are_bounded_and_places_are_honest(self) -> None:
        for client in getattr(self, "everyone", ()):
            subscriber = client.subscriber
            assert subscriber.waiting <= max(self.queue_size, 6 * 4)
            assert subscriber.queue.qsize() <= self.queue_size + 1
            place = int(self.hub.place(subscriber).split("-")[1])
            assert client.last <= place <= self.history.bounds.head
            self._check_gap(client, place)

    def _pull(self, client: Client) -> bool:
        """Pull once; return whether there may be more."""
        subscriber = client.subscriber
        pulled = self.hub.pull(subscriber)
        if pulled is Wait.EVENT:
            return False
        if pulled is Wait.DISK:
            if client.fetching is None or client.fetching[1] != subscriber.position:
                key = (subscriber.interest, subscriber.position)
                client.fetching = (*key, self.hub.fetch(*key))
            else:
                self.hub.keep(*client.fetching)
                client.fetching = None
            return True
        if pulled is Wait.TURN:
            return True
        body, _ = unchunk(pulled) if subscriber.chunked else (pulled, False)
        for frame in frames(body):
            if frame["type"] == "stream_reset":
                self._check_reset(client, frame)
            elif frame["type"] == "heartbeat":
                self._check_heartbeat(client, int(frame["_id"].split("-")[1]))
            else:
                self._check_event(client, frame)
        return True

    def _check_event(self, client: Client, frame: dict[str, Any]) -> None:
        seq = int(frame["id"].split("-")[1])
        assert frame["id"] == frame["_id"]
        assert seq > client.last, "out of order, or twice"
        assert client.subscriber.interest.matches(self.stored[seq]), "not for this reader"
        assert seq not in self.erased, "erased"
        self._check_gap(client, seq - 1)
        client.last = seq

    def _check_heartbeat(self, client: Client, place: int) -> None:
        assert place >= client.head, "told before it was reached"
        assert place >= client.last
        self._check_gap(client, place)

    def _check_reset(self, client: Client, frame: dict[str, Any]) -> None:
        asked = int(frame["requested"].split("-")[1])
        oldest = self.history.bounds.oldest
        self._check_gap(client, asked)
        assert asked < oldest - 1, "nothing was missed"
        if frame["missed"] is None:
            assert self.erased or not client.subscriber.interest.everything
        else:
            assert client.subscriber.interest.everything
            assert frame["missed"] == oldest - 1 - asked
            assert not self.erased & set(range(asked + 1, oldest))
        stored = oldest <= self.history.bounds.head
        assert frame["oldest"] == (cursor.show(self.history.bounds.epoch, oldest) if stored else None)
        client.last = oldest - 1

    def _check_gap(self, client: Client, upto: int) -> None:
        """Nothing between the last event and a position was for this reader."""
        interest = client.subscriber.interest
        for seq in range(client.last + 1, upto + 1):
            entry = self.stored[seq]
            skipped = seq in self.erased or not interest.matches(entry) or self._superseded(entry)
            assert skipped, f"{seq} is missing"

    def _superseded(self, entry: Entry) -> bool:
        return entry.segment is not None and any(
            later.segment is not None and later.segment_key == entry.segment_key
            for seq, later in self.stored.items()
            if seq > entry.seq
        )

    def teardown(self) -> None:
        if hasattr(self, "history"):
            for client in list(self.everyone):
                self._drain(client)
                self.hub.unsubscribe(client.subscriber)
            assert len(self.hub) == 0
            self.history.close()
            self.patched.undo()
            self.folder.cleanup()


TestDelivery = Delivery.TestCase
TestDelivery.settings = hypothesis_settings(stateful_step_count=40)
