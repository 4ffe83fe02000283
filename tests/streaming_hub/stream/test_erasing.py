"""Erasing in steps: others get their turn, and the response is correct at the end."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub.errors import Unavailable
from streaming_hub.events.interest import EVERYTHING
from streaming_hub.history.page import Limit
from streaming_hub.history.sqlite import SqliteHistory
from streaming_hub.stream import erasing
from streaming_hub.stream.erasing import PIECE, erase
from streaming_hub.stream.hub import Hub
from tests.streaming_hub.making import (
    NOW,
    memory,
    posted,
    pull_all,
    reader,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 20.0
EVENTS = 2 * PIECE + 10


@pytest.fixture(params=["memory", "sqlite"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hub]:
    """A hub with `EVENTS` events, every other one in the room `a`."""
    history = (
        memory(EVENTS * 2)
        if request.param == "memory"
        else SqliteHistory(tmp_path / "e.db", max_events=EVENTS * 2, max_age=1e6, sync="normal", now=NOW)
    )
    hub = Hub(history, queue_size=16, clock=lambda: NOW)
    hub.publish([posted(room="ab"[n % 2], session_id="s") for n in range(EVENTS)])
    yield hub
    history.close()


def rooms(hub: Hub) -> list[str | None]:
    """The room of each stored event."""
    return [entry.room for entry in hub.history.since(0, EVERYTHING, Limit(10**6, 10**9)).entries]


def test_others_publish_between_two_pieces(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[bool] = []

    def turn_of_others(_seconds: float) -> None:
        other = threading.Thread(target=lambda: hub.publish([posted(room="a")]))
        other.start()
        other.join(PATIENCE)
        done.append(not other.is_alive())

    # Not `time.sleep` itself: other threads of this process sleep, too.
    monkeypatch.setattr(erasing, "time", SimpleNamespace(sleep=turn_of_others))
    assert erase(hub, room="a") == EVENTS // 2
    assert done == [True, True]
    assert rooms(hub) == ["b"] * (EVENTS // 2) + ["a", "a"], "what came meanwhile is not erased"


def test_nothing_above_a_position_is_erased(hub: Hub) -> None:
    assert erase(hub, session_id="s", upto=PIECE + 5) == PIECE + 5
    assert len(rooms(hub)) == EVENTS - PIECE - 5
    assert hub.history.bounds.oldest == PIECE + 6


def test_of_an_erasure_that_fails_halfway_the_first_half_is_nowhere(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = reader(hub, 0)
    real = hub.history.erase

    def fail_later(*, span: tuple[int, int], **what: Any) -> int:
        if span[0] > 1:
            raise Unavailable("The disk is full.")
        pull_all(hub, late)  # its pages are shared from now on
        assert len(hub._shared) > 0
        return real(span=span, **what)

    monkeypatch.setattr(hub.history, "erase", fail_later)
    with pytest.raises(Unavailable):
        erase(hub, room="a")
    assert rooms(hub).count("a") == EVENTS // 2 - PIECE // 2
    assert len(hub._shared) == 0


def test_expired_events_that_wait_to_be_removed_are_erased_too(tmp_path: Path) -> None:
    history = SqliteHistory(tmp_path / "e.db", max_events=5, max_age=1e6, sync="normal", now=NOW)
    hub = Hub(history, queue_size=16, clock=lambda: NOW)
    hub.publish([posted(room="a", text="hunter2") for _ in range(20)])
    assert (history.bounds.oldest, history.first_row) == (16, 1)
    assert erase(hub, room="a") == 5
    assert history._db.execute("SELECT count(*) FROM events").fetchone() == (0,)
    history.close()
