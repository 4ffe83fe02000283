"""The generator that serves a stream without access to its socket: the same frames, and nothing left behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from streaming_hub.events.interest import EVERYTHING, Interest
from streaming_hub.history.sqlite import SqliteHistory
from streaming_hub.stream.body import StreamBody
from streaming_hub.stream.hub import Hub
from tests.kit.sse import frames, seqs
from tests.streaming_hub.making import NOW, memory, posted

if TYPE_CHECKING:
    from pathlib import Path


def body_over(
    hub: Hub, position: int = 0, *, heartbeat: float = 30.0, expires_at: float | None = None
) -> StreamBody:
    """A stream's body."""
    subscriber = hub.new_subscriber(EVERYTHING, position, chunked=False, expires_at=expires_at)
    return StreamBody(hub, subscriber, heartbeat=heartbeat)


def hub_of(history: Any = None, **clock: Any) -> Hub:
    """A hub that delivers at once, as behind a threaded server."""
    return Hub(history or memory(), queue_size=4, clock=clock.get("clock", lambda: NOW))


def test_stored_then_live_then_gone() -> None:
    hub = hub_of()
    hub.publish([posted(), posted()])
    iterator = iter(body_over(hub))
    assert seqs(next(iterator)) == [1, 2]
    assert len(hub) == 1
    for _ in range(9):
        hub.publish([posted()])
    got = seqs(next(iterator))
    while got[-1] < 11:
        got += seqs(next(iterator))
    assert got == list(range(3, 12))
    iterator.close()  # type: ignore[attr-defined] # a generator
    assert len(hub) == 0


def test_much_that_is_not_for_it_is_passed_over() -> None:
    hub = hub_of(memory(100_000))
    hub.publish([posted(room="b") for _ in range(12_000)])
    hub.publish([posted(room="a")])
    subscriber = hub.new_subscriber(Interest(rooms=frozenset("a")), 0, chunked=False, expires_at=None)
    iterator = iter(StreamBody(hub, subscriber, heartbeat=30.0))
    assert seqs(next(iterator)) == [12_001]
    iterator.close()  # type: ignore[attr-defined] # a generator


def test_it_wakes_for_an_event_long_before_its_heartbeat() -> None:
    hub = hub_of()
    iterator = iter(body_over(hub))
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.extend(seqs(next(iterator))))
    thread.start()
    while len(hub) == 0:
        continue
    hub.publish([posted()])
    thread.join(20)
    assert got == [1]


def test_a_quiet_stream_beats() -> None:
    hub = hub_of()
    hub.publish([posted()])
    iterator = iter(body_over(hub, 1, heartbeat=0.01))
    (heart,) = frames(next(iterator))
    assert heart["type"] == "heartbeat"
    assert heart["_id"].endswith("-1")


def test_it_ends_with_its_credential() -> None:
    now = [NOW]
    hub = hub_of(clock=lambda: now[0])
    iterator = iter(body_over(hub, heartbeat=0.01, expires_at=NOW + 5))
    assert frames(next(iterator))[0]["type"] == "heartbeat"
    now[0] = NOW + 6
    (goodbye,) = [frame for part in iterator for frame in frames(part) if frame["type"] == "goodbye"]
    assert goodbye["reason"] == "credential_expired"
    assert len(hub) == 0


def test_old_pages_are_read_from_disk(tmp_path: Path) -> None:
    history = SqliteHistory(tmp_path / "e.db", max_events=9999, max_age=1e6, sync="normal", now=NOW)
    history.append([posted() for _ in range(1000)], NOW)
    history.append([posted() for _ in range(500)], NOW)
    history.close()
    history = SqliteHistory(tmp_path / "e.db", max_events=9999, max_age=1e6, sync="normal", now=NOW)
    iterator = iter(body_over(hub_of(history)))
    got: list[int] = []
    while len(got) < 1500:
        got += seqs(next(iterator))
    assert got == list(range(1, 1501))
    history.close()
