"""Readers that are stuck, slow, or behind a tiny window: bounded memory, no cost for others, and no silent gap."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.faults.crowd import Client, Crowd
from tests.faults.publishers import Line, Publisher, assert_all_right
from tests.kit.hub import Hub
from tests.kit.wait import allowed, let_pass, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

SMALL_WINDOW = 4096
"""Bytes of a receive buffer, so that a reader is stuck soon."""
KEPT_FOR_THE_STUCK_KIB = 8 * 1024
"""How much more memory stuck clients may cost: their queues, and pages that they share with each other."""
STUCK = 10
EVENTS, EVENT_BYTES = 1250, 16_000
"""20 MB."""
LITTLE_MEMORY = {"streaming_hub.history.sqlite:RECENT_BYTES": 2_000_000}
NEVER_CLOSED = {"streaming_hub.stream.writer:STALL": 600}


def p99(clients: list[Client]) -> float:
    """Return the time under way that 99 of 100 events did not exceed, in seconds."""
    times = sorted(time for client in clients for time in client.latencies or ())
    assert times
    return times[int(len(times) * 0.99)]


def publish_20_megabytes(server: Hub, crowd: Crowd, name: str) -> tuple[float, int]:
    """Return how late five quick readers were (p99, seconds), and the peak of the server's memory (KiB)."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    quick = crowd.add(5, name=f"quick {name}", measures=True)
    crowd.until_open(quick)
    with Publisher(server, name, pause=0.002, size=EVENT_BYTES, count=EVENTS) as publisher:
        publisher.finish()
    crowd.until_at(publisher.head, quick)
    assert_all_right([publisher], crowd.errors())
    crowd.leave(quick)
    return p99(quick), server.peak_kib()


@pytest.mark.parametrize("window", [100_000, 300])
def test_stuck_readers_cost_the_others_nothing(tmp_path: Path, window: int) -> None:
    with (
        Hub(tmp_path, changes=LITTLE_MEMORY | NEVER_CLOSED, STREAM_HISTORY_MAX_EVENTS=str(window)) as server,
        Crowd(server.host, server.port) as crowd,
    ):
        publish_20_megabytes(server, crowd, "warm-up")
        alone, memory_alone = publish_20_megabytes(server, crowd, "alone")
        stuck = crowd.add(STUCK, name="stuck", speed=0, window=SMALL_WINDOW)
        until(lambda: server.clients() == STUCK)
        beside, memory_beside = publish_20_megabytes(server, crowd, "beside")
        again, _ = publish_20_megabytes(server, crowd, "beside again")
        assert server.metric("hub_clients_behind") == STUCK

        # What the stuck ones cost shows in every round; other load on the machine comes and goes.
        beside = min(beside, again)
        assert beside < 2 * alone + allowed(0.02), f"p99 {beside * 1000:.1f} ms, alone {alone * 1000:.1f} ms"
        assert memory_beside - memory_alone < KEPT_FOR_THE_STUCK_KIB

        for client in stuck:
            crowd.set_speed(client, None)
        crowd.until_at(4 * EVENTS, stuck)
        assert crowd.errors() == []
        for client in stuck:
            assert client.connections == 1
            if window > 4 * EVENTS:
                assert (client.checker.resets, client.checker.received) == ([], 2 * EVENTS)
            else:
                assert set(client.checker.resets) == {"expired"}
                assert client.checker.received + client.checker.missed == 2 * EVENTS
                assert client.checker.received >= window


def test_a_client_that_reads_nothing_is_disconnected_and_can_resume(tmp_path: Path) -> None:
    changes = LITTLE_MEMORY | {"streaming_hub.stream.writer:STALL": 1.5}
    with Hub(tmp_path, changes=changes) as server, Crowd(server.host, server.port) as crowd:
        (stuck,) = crowd.add(name="stuck", speed=0, window=SMALL_WINDOW)
        (quick,) = crowd.add(name="quick")
        # A trickle is progress: a client that reads a little is not disconnected, however little it is.
        (slow,) = crowd.add(name="slow", speed=200_000, window=SMALL_WINDOW)
        until(lambda: server.clients() == 3)
        with Publisher(server, "a", size=EVENT_BYTES, count=400) as publisher:
            publisher.finish()
            until(lambda: server.metric('hub_streams_ended_total{reason="stalled"}') == 1)
            crowd.until_at(publisher.head, [quick])
        assert (quick.connections, slow.connections, server.clients()) == (1, 1, 2)
        crowd.set_speed(slow, None)
        crowd.set_speed(stuck, None)
        crowd.until_at(publisher.head)
        assert stuck.connections == 2
        assert crowd.errors() == []
        assert {client.checker.received for client in crowd.clients} == {400}


def test_slow_readers_get_every_final_in_order(tmp_path: Path) -> None:
    """Interims that newer ones replaced may be left out, finals never; and slow readers ask the disk, too."""
    changes = {"streaming_hub.history.sqlite:RECENT_BYTES": 500_000} | NEVER_CLOSED
    with (
        Hub(tmp_path, changes=changes, STREAM_QUEUE_SIZE="16") as server,
        Crowd(server.host, server.port) as crowd,
    ):
        slow = [
            crowd.add(name=f"at {speed}", whole=False, speed=speed, window=SMALL_WINDOW)[0]
            for speed in (200_000, 400_000, 800_000)
        ]
        (quick,) = crowd.add(name="quick", whole=False)
        until(lambda: server.clients() == 4)
        line = Line(server)
        segments = 100
        for segment in range(segments):
            head = publish_segment(line, segment)
        line.close()
        crowd.until_at(head, [quick], 30)
        crowd.until_at(head, slow, 60)
        assert crowd.errors() == []
        assert server.metric("hub_queue_drops_total") >= len(slow)
        for client in crowd.clients:
            assert client.checker.resets == []
            assert client.checker.numbers == {"words": segments - 1}


def publish_segment(line: Line, segment: int) -> int:
    """Publish four interims and their final; return the final's sequence number."""
    shared = {"type": "transcript", "room": "r", "segment_id": f"s{segment}", "text": "x" * 5000}
    for _ in range(4):
        line.publish([shared | {"is_final": False}], single=True)
    ids, _ = line.publish([shared | {"is_final": True, "p": "words", "n": segment}], single=True)
    return int(ids[0].rpartition("-")[2])


def test_tiny_windows_report_every_gap_exactly(tmp_path: Path) -> None:
    with (
        Hub(
            tmp_path, changes=NEVER_CLOSED, STREAM_HISTORY_MAX_EVENTS="100", STREAM_QUEUE_SIZE="16"
        ) as server,
        Crowd(server.host, server.port) as crowd,
        contextlib.ExitStack() as stack,
    ):
        quick = crowd.add(8, name="quick")
        slow = crowd.add(3, name="slow", speed=20_000, window=SMALL_WINDOW)
        (stuck,) = crowd.add(name="stuck", speed=0, window=SMALL_WINDOW)
        until(lambda: server.clients() == 12)
        publishers = [
            stack.enter_context(Publisher(server, f"p{batch}", batch=batch, size=300))
            for batch in (1, 2, 10, 90, 250)
        ]
        for _ in range(8):
            let_pass(0.4)
            crowd.cut(quick[:3])
        for publisher in publishers:
            publisher.stop()
        for client in (*slow, stuck):
            crowd.set_speed(client, None)
        head = max(publisher.head for publisher in publishers)
        crowd.until_at(head)
        assert_all_right(publishers, crowd.errors())
        for client in crowd.clients:
            assert client.checker.received + client.checker.missed == head
        assert stuck.checker.missed > 0
        assert all(client.checker.missed > 0 for client in slow)
        assert len(server.stored()) == 100
