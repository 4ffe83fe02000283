"""What the writer must do, each a function that runs in a patched Python (see `child`).

Covers streaming_hub.stream.disk, streaming_hub.stream.frames and streaming_hub.stream.open_stream, too.
"""

from __future__ import annotations

import gc
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent import monkey

from streaming_hub.errors import Unavailable
from streaming_hub.events.interest import EVERYTHING, Interest
from streaming_hub.events.sse import LAST_CHUNK
from streaming_hub.history.sqlite import SqliteHistory
from streaming_hub.history.window import MOST_SCANNED
from streaming_hub.stream import disk, sockets, writer
from streaming_hub.stream.erasing import erase
from streaming_hub.stream.hub import Hub, Wait
from streaming_hub.stream.writer import Writer
from tests.kit import wait
from tests.kit.process import open_files
from tests.kit.sse import frames, seqs, unchunk
from tests.streaming_hub.making import NOW, memory, posted

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b"HEAD\r\n\r\n"
PATIENCE = 20.0


class House:
    """A hub with its writer, and clients on socket pairs."""

    def __init__(self, history: Any = None, *, heartbeat: float = 60.0, queue_size: int = 16) -> None:
        self.now = NOW
        self.hub = Hub(history or memory(100_000), queue_size=queue_size, clock=lambda: self.now)
        self.writer = Writer(self.hub, heartbeat=heartbeat)
        self.writer.start()

    def open(
        self,
        interest: Interest = EVERYTHING,
        position: int | None = None,
        *,
        chunked: bool = False,
        buffer: int | None = None,
        expires_at: float | None = None,
    ) -> socket.socket:
        """A client's end of a stream that the writer serves."""
        ours, theirs = socket.socketpair()
        if buffer is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        theirs.settimeout(PATIENCE)
        start = self.hub.history.bounds.head if position is None else position
        subscriber = self.hub.new_subscriber(interest, start, chunked=chunked, expires_at=expires_at)
        self.writer.adopt(sockets.bare(ours.detach()), subscriber, HEAD)
        return theirs

    def publish(self, count: int = 1, **fields: Any) -> None:
        """Publish events one by one."""
        for _ in range(count):
            self.hub.publish([posted(**fields)])


def until(condition: Callable[[], object]) -> None:
    """Let the loop run until a condition holds."""
    wait.until(condition, PATIENCE, sleep=gevent.sleep)


def read(sock: socket.socket, enough: Callable[[bytes], object], size: int = 65_536) -> bytes:
    """Read until the condition holds; return what follows the head."""
    data = b""
    while not (data.startswith(HEAD) and enough(data[len(HEAD) :])):
        more = sock.recv(size)
        assert more, f"closed after {data[-200:]!r}"
        data += more
    return data[len(HEAD) :]


def rest(sock: socket.socket) -> bytes:
    """Read to the end."""
    data = b""
    while more := sock.recv(65_536):
        data += more
    return data


def has(seq: int) -> Callable[[bytes], bool]:
    """Whether the last whole frame is that event's."""
    return lambda data: b"-%d\ndata" % seq in data[-200_000:] and data.endswith((b"\n\n", b"\n\n\r\n"))


def head_goes_out_at_once() -> None:
    """Before any event."""
    house = House()
    assert house.open().recv(100) == HEAD


def a_lone_event_is_sent_without_delay() -> None:
    """In the same turn of the loop: one sleep(0) after publishing the bytes are there."""
    house = House()
    sock = house.open()
    read(sock, lambda _: True)
    gevent.sleep(0.05)
    house.publish()
    gevent.sleep(0)
    gevent.sleep(0)
    sock.setblocking(False)
    assert seqs(sock.recv(1000)) == [1]


def with_one_stream() -> tuple[House, socket.socket]:
    """Return a house and its only stream, after the stream's greeting and first heartbeat."""
    house = House(heartbeat=1000.0)
    sock = house.open()
    read(sock, lambda _: True)
    assert seqs(sock.recv(1000)) == [], "the first stream's heart beats in the first half of a second"
    return house, sock


def what_is_urged_is_sent_without_a_turn_of_the_loop() -> None:
    """And only once: the turn that was planned is taken back."""
    house, sock = with_one_stream()
    house.publish()
    house.hub.urge()
    sock.setblocking(False)
    assert seqs(sock.recv(1000)) == [1]
    house.hub.urge()
    gevent.sleep(0.05)
    house.publish()
    gevent.sleep(0.05)
    assert seqs(sock.recv(1000)) == [2]


def urging_ends_no_rest() -> None:
    """Events that follow each other closely still go out as one piece."""
    writer.REST = 2.0
    house, sock = with_one_stream()
    house.publish()
    house.hub.urge()
    assert seqs(sock.recv(1000)) == [1]
    for _ in range(2):
        house.publish()
        house.hub.urge()
    sock.setblocking(False)
    try:
        early = sock.recv(1000)
    except BlockingIOError:
        early = b""
    assert early == b""
    sock.settimeout(PATIENCE)
    assert seqs(sock.recv(1000)) == [2, 3]


def events_after_a_delivery_are_collected() -> None:
    """Again and again: each rest is as long as the first one."""
    writer.REST = 0.4
    house, sock = with_one_stream()
    house.publish()
    assert seqs(sock.recv(1000)) == [1]
    for first in (2, 4, 6):
        house.publish()
        gevent.sleep(0.01)
        house.publish()
        assert seqs(sock.recv(1000)) == [first, first + 1]


def deliveries_that_follow_each_other_rest_in_between() -> None:
    """What comes in while one is under way is collected, too: the next one does not begin at once."""
    writer.REST = 0.4
    house = House(heartbeat=1000.0)
    socks = [house.open() for _ in range(300)]
    steps = 0
    step = house.hub.step

    def publish_meanwhile() -> Any:
        nonlocal steps
        steps += 1
        if steps == 2:
            house.publish()
        return step()

    house.hub.step = publish_meanwhile  # type: ignore[method-assign] # events that come during a delivery
    house.publish()
    until(lambda: house.hub.counters.deliveries == 300)
    assert house.hub.pending
    house.publish()
    for sock in socks:
        data = read(sock, has(3))
        assert seqs(data) == [1, 2, 3]
    assert house.hub.counters.deliveries == 900


def everything_arrives_through_tiny_buffers() -> None:
    """Partial writes: what the socket did not take is sent later, byte for byte."""
    house = House(queue_size=4)
    for chunked in (False, True):
        sock = house.open(chunked=chunked, buffer=2048)
        first = house.hub.history.bounds.head + 1
        for seq in range(20):
            house.publish(text="x" * (seq * 997 % 30_000))
            gevent.sleep(0)
        last = house.hub.history.bounds.head
        data = read(sock, has(last), size=1500)
        body = unchunk(data)[0] if chunked else data
        assert seqs(body) == list(range(first, last + 1))
        sock.close()


def a_stuck_reader_holds_up_nobody() -> None:
    """The others get everything at once; the stuck one gets it when it reads again."""
    house = House(queue_size=4)
    stuck, quick = house.open(buffer=2048), house.open()
    for _ in range(10):
        house.publish(10, text="x" * 3000)
        gevent.sleep(0)
    assert seqs(read(quick, has(100))) == list(range(1, 101))
    waiting = [one.waiting for one in house.hub.subscribers()]
    assert max(waiting) <= 4
    assert seqs(read(stuck, has(100), size=4096)) == list(range(1, 101))


def a_hang_up_is_noticed_without_an_event() -> None:
    """Also while bytes are pending, and after a half-close."""
    house = House(queue_size=4)
    plain, full, half = house.open(), house.open(buffer=2048), house.open()
    house.publish(20, text="x" * 3000)
    gevent.sleep(0.01)
    plain.close()
    full.close()
    half.shutdown(socket.SHUT_WR)
    until(lambda: len(house.writer) == 0)
    assert (len(house.hub), house.writer.stats.hung_up) == (0, 3)


def what_a_client_says_is_read_and_forgotten() -> None:
    """However much it is."""
    house = House()
    sock = house.open()
    for _ in range(50):
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1000)
    house.publish()
    assert seqs(read(sock, has(1))) == [1]


def a_stream_without_progress_is_closed() -> None:
    """And the others stay."""
    writer.STALL = 0.3  # type: ignore[misc] # shortened for this process
    house = House(heartbeat=0.2, queue_size=4)
    stuck, fine = house.open(buffer=2048), house.open()
    read(fine, lambda _: True)
    house.publish(50, text="x" * 3000)
    data = b""
    while len(house.writer) == 2:
        data += fine.recv(65_536)
    assert house.writer.stats.stalled == 1
    assert len(house.hub) == 1
    # It gets nothing beyond what it had read.
    assert len(rest(stuck)) < 50 * 3000
    data += read_more(fine, data, has_id(50))
    assert [frame["id"] for frame in frames(data) if frame["type"] == "note"][-1].endswith("-50")


def has_id(seq: int) -> bytes:
    """The end of an event's id line."""
    return b"-%d\ndata" % seq


def read_more(sock: socket.socket, data: bytes, wanted: bytes) -> bytes:
    """Read until some bytes have arrived and the frame is complete."""
    more = b""
    while wanted not in data + more or not (data + more).endswith(b"\n\n"):
        more += sock.recv(65_536)
    return more


def a_goodbye_to_a_stalled_reader_does_not_keep_it() -> None:
    """Neither when its credential ends nor when the server drains."""
    writer.STALL = 0.3  # type: ignore[misc] # shortened for this process
    house = House(heartbeat=0.2)
    stuck = house.open(buffer=2048, expires_at=NOW + 5)
    house.publish(20, text="x" * 3000)
    house.now = NOW + 10
    until(lambda: len(house.writer) == 0)
    assert house.writer.stats.stalled == 1
    house.open(buffer=2048)
    house.publish(20, text="x" * 3000)
    house.writer.drain(0.1)
    assert len(house.writer) == 0
    stuck.close()


def a_heartbeat_carries_its_readers_own_position() -> None:
    """For a filtered reader the head; for one that is behind no heartbeat ahead of its events."""
    house = House(heartbeat=0.2)
    quiet = house.open(Interest(rooms=frozenset("a")))
    house.publish(7, room="b")
    data = read(quiet, lambda data: b"-7\ndata" in data and data.endswith(b"\n\n"))
    assert [frame["type"] for frame in frames(data)] == ["heartbeat"] * data.count(b"\n\n")
    assert frames(data)[-1]["_id"].endswith("-7")
    busy = house.open(position=0)
    house.publish(5)
    found = frames(read(busy, lambda data: data.count(b'"heartbeat"') >= 2 and data.endswith(b"\n\n")))
    seen = 0
    for frame in found:
        place = int(frame["_id"].split("-")[1])
        assert place == (seen if frame["type"] == "heartbeat" else seen + 1)
        seen = place
    assert seen == 12


def everybody_gets_a_heartbeat() -> None:
    """Two hundred of them, within their time; chunked ones in chunks."""
    house = House(heartbeat=0.4)
    socks = [house.open(chunked=number % 2 == 0) for number in range(200)]
    for number, sock in enumerate(socks):
        data = read(sock, lambda data: b"heartbeat" in data and data.endswith((b"\n\n", b"\n\n\r\n")))
        body = unchunk(data)[0] if number % 2 == 0 else data
        assert frames(body)[0]["type"] == "heartbeat"


def a_stream_ends_when_its_credential_does() -> None:
    """After what was published before, with a goodbye and the body's end."""
    house = House(heartbeat=0.2)
    sock = house.open(chunked=True, expires_at=NOW + 60)
    house.publish(3)
    house.now = NOW + 61
    data = rest(sock)
    assert data.endswith(LAST_CHUNK)
    body, ended = unchunk(data[len(HEAD) :])
    found = [frame for frame in frames(body) if frame["type"] != "heartbeat"]
    assert ended
    assert [frame["type"] for frame in found] == ["note"] * 3 + ["goodbye"]
    assert found[-1]["reason"] == "credential_expired"


def a_goodbye_holds_nothing_that_was_erased() -> None:
    """What waits before the goodbye is given up with the stream: its reader resumes."""
    house = House(heartbeat=0.2)
    stuck = house.open(buffer=2048, expires_at=NOW + 60)
    house.publish(3, room="a", text="x" * 30_000)
    gevent.sleep(0.05)
    house.publish(room="a", text="the last words")
    (subscriber,) = house.hub.subscribers()
    house.now = NOW + 61
    until(lambda: subscriber.stream is None or subscriber.stream.closing)
    assert len(house.writer) == 1
    assert erase(house.hub, room="a") == 4
    until(lambda: len(house.writer) == 0)
    assert b"the last words" not in rest(stuck)


def a_drain_says_goodbye_to_all() -> None:
    """What waits first; nothing is left open; each gets a different time to reconnect."""
    house = House()
    socks = [house.open(chunked=number % 2 == 0) for number in range(60)]
    house.publish(2)
    house.writer.drain(0.3)
    retries = set()
    for number, sock in enumerate(socks):
        data = rest(sock)[len(HEAD) :]
        body = unchunk(data)[0] if number % 2 == 0 else data
        found = [frame for frame in frames(body) if frame["type"] != "heartbeat"]
        assert [frame["type"] for frame in found] == ["note", "note", "goodbye"]
        assert 1000 <= found[-1]["_retry"] <= 5000
        retries.add(found[-1]["_retry"])
    assert len(retries) > 20
    assert (len(house.writer), len(house.hub)) == (0, 0)
    house.writer.close()


def a_handful_is_let_go_without_a_wait() -> None:
    """A developer's one page does not keep the server for the whole drain time."""
    house = House()
    for count in (1, 3):
        for _ in range(count):
            house.open()
        begun = time.monotonic()
        house.writer.drain(PATIENCE)
        assert time.monotonic() - begun < PATIENCE / 2
        assert len(house.writer) == 0


def last_words_do_not_wait_for_the_goodbyes() -> None:
    """Events from just before a drain: all readers have them before most goodbyes are sent."""
    house = House()
    socks = [house.open() for _ in range(60)]

    def end() -> None:
        house.publish(2)
        house.writer.drain(PATIENCE)

    ending = gevent.spawn(end)
    for sock in socks:
        assert 2 in seqs(read(sock, has(2)))
    assert len(house.writer) > 30
    ending.kill()


def pages_from_the_disk_are_shared_and_tried_again() -> None:
    """The first read fails; then one read serves all readers of a position."""
    disk.RETRY = 0.05  # type: ignore[misc] # shortened for this process
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.db"
        history = SqliteHistory(path, max_events=10_000, max_age=1e6, sync="normal", now=NOW)
        history.append([posted() for _ in range(1000)], NOW)
        history.append([posted() for _ in range(1000)], NOW)
        history.close()
        history = SqliteHistory(path, max_events=10_000, max_age=1e6, sync="normal", now=NOW)
        asked: list[int] = []
        real = history.since

        def since(after: int, *arguments: Any) -> Any:
            asked.append(after)
            if len(asked) == 1:
                raise Unavailable("the disk is away")
            return real(after, *arguments)

        history.since = since  # type: ignore[method-assign] # fails once
        house = House(history)
        socks = [house.open(position=0) for _ in range(20)]
        house.publish(5)
        for sock in socks:
            assert seqs(read(sock, has(2005))) == list(range(1, 2006))
        assert len(asked) <= 8
        house.writer.close()
        history.close()


def pages_come_while_all_other_threads_are_busy() -> None:
    """Others have filled gevent's own pool, and the loop cannot wait until there is room."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.db"
        history = SqliteHistory(path, max_events=10_000, max_age=1e6, sync="normal", now=NOW)
        history.append([posted()] * 10, NOW)
        history.close()
        history = SqliteHistory(path, max_events=10_000, max_age=1e6, sync="normal", now=NOW)
        house = House(history)
        gate = monkey.get_original("_thread", "allocate_lock")()

        def wait() -> None:
            with gate:
                pass

        pool = gevent.get_hub().threadpool
        with gate:
            busy = [pool.spawn(wait) for _ in range(pool.maxsize)]
            assert seqs(read(house.open(position=0), has(10))) == list(range(1, 11))
        gevent.joinall(busy)
        house.writer.close()
        history.close()


def who_leaves_while_it_waits_for_its_turn_is_gone() -> None:
    """Its turn affects no stream: neither the one who left nor, as after an error, all others."""
    house = House()
    # The reader looks through the history in three turns, and nothing is for it.
    house.hub.publish([posted()] * (2 * MOST_SCANNED + 1))
    nothing = Interest(types=frozenset({"nothing"}))
    other, one = house.open(nothing), house.open(nothing, position=0)
    (stayed, left) = house.hub.subscribers()
    assert left.position == 2 * MOST_SCANNED
    one.close()
    house.writer._hang_up(left.stream)
    assert house.hub.subscribers() == [stayed]
    gevent.sleep(0.05)
    assert [list(group.live) for group in house.hub.audience.groups()] == [[stayed]]
    assert not left.live
    assert house.writer.stats.hung_up == 1
    other.close()


def a_crowd_gets_everything_in_order() -> None:
    """Three hundred readers, some of whom leave in between."""
    house = House()
    socks = [house.open(chunked=number % 2 == 0) for number in range(300)]
    for number in range(40):
        house.publish(3)
        if number % 4 == 0:
            socks.pop().close()
            gevent.sleep(0)
    for number, sock in enumerate(socks):
        data = read(sock, has(120))
        assert seqs(unchunk(data)[0] if number % 2 == 0 else data) == list(range(1, 121))


def nothing_is_left_of_readers_that_came_and_went() -> None:
    """No descriptor, record or greenlet remains."""

    def rounds() -> tuple[int, int]:
        for _ in range(3):
            socks = [house.open() for _ in range(50)]
            house.publish(2)
            for sock in socks:
                sock.close()
            until(lambda: len(house.writer) == 0)
        gc.collect()
        greenlets = sum(isinstance(one, gevent.Greenlet) for one in gc.get_objects())
        return open_files(), greenlets

    house = House()
    before = rounds()
    assert rounds() == before
    state = (house.writer._streams, house.writer._blocked, house.writer._expiring, house.writer._busy)
    assert [len(part) for part in state] == [0, 0, 0, 0]
    assert sum(len(bucket) for bucket in house.writer._buckets) == 0


def one_failing_stream_does_not_blind_the_others() -> None:
    """gevent stops a watcher whose callback raises: then no disconnect would be noticed any more."""
    house = House()
    first, second = house.open(), house.open()
    read(first, lambda _: True)
    read(second, lambda _: True)
    honest = house.writer._look_at
    failed = []

    def look_at(stream: Any, event: int) -> None:
        if not failed:
            failed.append(stream)
            raise RuntimeError("made to fail")
        honest(stream, event)

    house.writer._look_at = look_at  # type: ignore[method-assign]
    first.close()
    until(lambda: len(house.writer) == 1)
    second.close()
    until(lambda: len(house.writer) == 0)


def one_failing_tick_does_not_stop_the_hearts() -> None:
    """A heartbeat that fails is logged, and the next one comes."""
    house = House(heartbeat=0.2)
    sock = house.open()
    honest, failed = house.writer._beat, []

    def beat(streams: Any) -> None:
        if not failed:
            failed.append(True)
            raise RuntimeError("made to fail")
        honest(streams)

    house.writer._beat = beat  # type: ignore[method-assign]
    assert b"heartbeat" in read(sock, lambda data: b"heartbeat" in data)
    assert failed


def a_reader_for_whom_little_is_stored_leaves_turns_to_others() -> None:
    """What it wants comes after much that it does not: it looks on, and other readers are served in the meantime."""
    house = House()
    house.hub.publish([posted(room="b") for _ in range(30_000)])
    house.hub.publish([posted(room="a")])
    pulled = []
    pull = house.hub.pull
    house.hub.pull = lambda reader: pulled.append(pull(reader)) or pulled[-1]  # type: ignore[method-assign,func-returns-value]
    sock = house.open(Interest(rooms=frozenset("a")), position=0)
    assert seqs(read(sock, has(30_001))) == [30_001]
    assert pulled.count(Wait.TURN) == 6
    house.publish(room="a")
    data = b""
    while not has(30_002)(data):
        data += sock.recv(65_536)
    assert seqs(data) == [30_002]


def a_failed_delivery_loses_nothing() -> None:
    """All readers go back to the history, and get each event once."""
    house = House()
    socks = [house.open() for _ in range(3)]
    for sock in socks:
        read(sock, lambda _: True)
    honest, failed = house.hub._deliver, []

    def deliver(*arguments: Any) -> None:
        honest(*arguments)
        if not failed:
            failed.append(True)
            raise RuntimeError("made to fail")

    house.hub._deliver = deliver  # type: ignore[method-assign]
    house.publish(5)
    for sock in socks:
        data = b""
        while not has(5)(data):
            data += sock.recv(65_536)
        assert seqs(data) == [1, 2, 3, 4, 5]
    assert failed
