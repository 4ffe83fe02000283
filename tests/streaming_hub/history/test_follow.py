"""A follower reads everything once, in order, and reports what the history no longer had."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub.events import posted
from streaming_hub.events.interest import Interest
from streaming_hub.history import follow
from streaming_hub.history.follow import Follower, pages
from streaming_hub.history.memory import MemoryHistory
from streaming_hub.history.page import Limit
from streaming_hub.history.sqlite import SqliteHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=["memory", "sqlite"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryHistory(100, 1e9)
        return
    made = SqliteHistory(tmp_path / "e.db", max_events=100, max_age=1e9, sync="normal", now=0)
    yield made
    made.close()


def add(history: Any, count: int, session_id: str = "s") -> None:
    history.append([posted.make({"type": "x", "session_id": session_id}) for _ in range(count)], 1.0)


def follower(
    history: Any, position: int = 0, read: Callable[..., Any] | None = None, events: int = 7
) -> Follower:
    def directly(function: Callable[[], Any]) -> Any:
        return function()

    return Follower(
        history, position, read=read or directly, lock=contextlib.nullcontext(), limit=Limit(events=events)
    )


def seqs(reader: Follower) -> list[int]:
    found = []
    while (page := reader.next()) is not None:
        assert (page.upto, len(page.entries) <= 7) == (reader.position, True)
        found += [entry.seq for entry in page.entries]
    return found


def test_pages_between_two_positions(history: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PAGE", Limit(events=7))
    add(history, 10)
    add(history, 10, "other")
    mine = Interest(sessions=frozenset({"s"}))

    def found(after: int, upto: int) -> list[int]:
        read = pages(history, after, upto, mine, lambda function: function())
        return [entry.seq for page in read for entry in page.entries]

    assert found(0, 20) == list(range(1, 11))
    assert found(3, 4) == list(range(4, 11))
    assert found(5, 5) == []
    # Beyond the head, as after a loss: it ends.
    assert found(8, 99) == [9, 10]


def test_every_event_once_in_order_and_nothing_at_the_head(history: Any) -> None:
    reader = follower(history)
    assert reader.next() is None
    add(history, 20)
    assert reader.behind == 20
    assert seqs(reader) == list(range(1, 21))
    assert (reader.behind, reader.next()) == (0, None)
    add(history, 3)
    assert seqs(reader) == [21, 22, 23]


def test_from_any_position(history: Any) -> None:
    add(history, 20)
    assert seqs(follower(history, 13)) == list(range(14, 21))


def test_what_the_history_forgot_is_counted(history: Any) -> None:
    reader = follower(history)
    add(history, 10)
    assert seqs(reader) == list(range(1, 11))
    for _ in range(5):
        add(history, 50)
    page = reader.next()
    assert (page.after, page.upto, page.entries, page.skipped) == (10, 160, [], 150)
    assert seqs(reader) == list(range(161, 261))


def test_erased_numbers_do_not_count_as_forgotten(history: Any) -> None:
    add(history, 10)
    add(history, 5, "erased")
    add(history, 5)
    reader = follower(history)
    assert history.erase(span=(1, 20), session_id="erased") == 5
    for _ in range(4):
        add(history, 50)
    page = reader.next()
    assert (page.upto, page.skipped) == (120, 115)


def test_nor_do_those_that_were_erased_before_a_restart(tmp_path: Path) -> None:
    def opened() -> SqliteHistory:
        return SqliteHistory(tmp_path / "e.db", max_events=100, max_age=1e9, sync="normal", now=0)

    history = opened()
    for _ in range(5):
        add(history, 1, "erased")
        add(history, 3)
    assert history.erase(span=(1, 20), session_id="erased") == 5
    history.close()
    history = opened()
    for _ in range(4):
        add(history, 50)
    page = follower(history).next()
    assert (page.upto, page.skipped) == (120, 115)
    history.close()


def test_a_page_overtaken_by_an_erasure_is_read_again(tmp_path: Path) -> None:
    history = SqliteHistory(tmp_path / "e.db", max_events=100, max_age=1e9, sync="normal", now=0)
    add(history, 3)
    add(history, 3, "erased")
    history.close()
    # Opened again, nothing is in memory: the page comes from the disk.
    history = SqliteHistory(tmp_path / "e.db", max_events=100, max_age=1e9, sync="normal", now=0)
    reads = []

    def read(function: Callable[[], Any]) -> Any:
        page = function()
        reads.append(len(page.entries))
        if len(reads) == 1:
            history.erase(span=(1, 6), session_id="erased")
        return page

    page = follower(history, read=read).next()
    assert [entry.session_id for entry in page.entries] == ["s"] * 3
    assert reads == [6, 3]
    history.close()
