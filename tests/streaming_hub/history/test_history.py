"""One contract for every history, then the faults of files.

Covers streaming_hub.events.stored, and streaming_hub.history.bounds, streaming_hub.history.files and
streaming_hub.history.window, too.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streaming_hub.cluster.server import Server
from streaming_hub.errors import SettingsError, StorageError, Unavailable
from streaming_hub.events.interest import EVERYTHING, Interest
from streaming_hub.history import open_history, sqlite
from streaming_hub.history.memory import MemoryHistory
from streaming_hub.history.page import Limit
from streaming_hub.history.redis import RedisHistory
from streaming_hub.history.sqlite import SqliteHistory
from streaming_hub.settings import Settings
from tests.kit.redis_server import RedisServer
from tests.kit.wait import allowed, until
from tests.streaming_hub.making import (
    NOW,
    interim,
    posted,
    seqs_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streaming_hub.history import History

ROOT = Path(__file__).parents[3]
SECRET = "the-words-that-must-be-gone"
ALL = Limit(events=100_000, size=1 << 30)


def on_disk(path: Path, *, max_events: int = 1000, max_age: float = 1e6, now: float = NOW) -> SqliteHistory:
    """A history in a file."""
    return SqliteHistory(path, max_events=max_events, max_age=max_age, sync="normal", now=now)


def erase(history: History, **what: str) -> int:
    """Erase all of a room or a session in one piece."""
    return history.erase(span=(history.first_row, history.bounds.head), **what)


def in_redis(
    server: RedisServer,
    prefix: str = "hub",
    *,
    max_events: int = 1000,
    max_age: float = 1e6,
    node: str = "one",
) -> RedisHistory:
    """A history in Redis, of a node that serves no clients."""
    return RedisHistory(Server(server.url, prefix), max_events=max_events, max_age=max_age, node=node, wait=0)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests here; each history has a prefix of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., History]]:
    """Opens a history of each kind; add a store as a parameter."""
    made: list[History] = []

    def build(max_events: int = 1000, max_age: float = 1e6) -> History:
        if request.param == "redis":
            server = request.getfixturevalue("redis_server")
            made.append(
                in_redis(server, str(tmp_path) + str(len(made)), max_events=max_events, max_age=max_age)
            )
        elif request.param == "memory":
            made.append(MemoryHistory(max_events, max_age))
        else:
            path = tmp_path / str(len(made)) / "events.db"
            made.append(on_disk(path, max_events=max_events, max_age=max_age))
        return made[-1]

    yield build
    for history in made:
        history.close()


def everything(history: History) -> list[int]:
    """What is stored."""
    return seqs_of(history.since(history.bounds.oldest - 1, EVERYTHING, ALL).entries)


def fill(history: History, count: int, now: float = NOW, **fields: Any) -> None:
    """Append events one by one."""
    for _ in range(count):
        history.append([posted(**fields)], now)


class TestContract:
    """What every history promises."""

    def test_a_new_one_is_empty(self, opened: Callable[..., History]) -> None:
        history = opened()
        assert (history.bounds.oldest, history.bounds.head) == (1, 0)
        assert history.bounds.epoch.isalnum()
        assert everything(history) == []
        assert opened().bounds.epoch != history.bounds.epoch

    def test_numbers_rise_by_one(self, opened: Callable[..., History]) -> None:
        history = opened()
        assert history.append([posted(), posted()], NOW).seqs == [1, 2]
        assert history.append([], NOW).seqs == []
        assert history.append([posted()], NOW).seqs == [3]
        assert everything(history) == [1, 2, 3]

    def test_an_entry_reads_back_as_it_was_appended(self, opened: Callable[..., History]) -> None:
        history = opened()
        sent = history.append(
            [
                interim("s", "é\r\n😀", room="r", session_id="x", participant="p", timestamp=1.25),
                posted("usage", deep={"a": [1, None]}, audience="operator"),
            ],
            NOW,
        ).new
        read = history.since(0, EVERYTHING, ALL).entries
        assert read == sent
        assert read == history.before(3, EVERYTHING, Limit(10))
        assert json.loads(read[0].data)["text"] == "é\r\n😀"
        assert json.loads(read[1].data)["timestamp"] == NOW
        assert (read[0].segment, read[1].operator_only, read[1].room) == ("s", True, None)

    @pytest.mark.parametrize("count", [1, 60])
    def test_an_empty_name_a_zero_and_none_stay_apart(
        self, opened: Callable[..., History], count: int
    ) -> None:
        history = opened()
        names = ("", "0", None)
        for name in names:
            fields = {} if name is None else {"room": name, "session_id": name, "participant": name}
            history.append([posted(**fields) for _ in range(count)], NOW)
        read = history.since(0, EVERYTHING, ALL).entries
        assert [(entry.room, entry.session_id, entry.participant) for entry in read[::count]] == [
            (name, name, name) for name in names
        ]
        assert {entry.operator_only for entry in read} == {False}
        for name in ("", "0"):
            assert len(history.since(0, Interest(rooms=frozenset({name})), ALL).entries) == count

    def test_a_known_event_id_gets_its_number_again(self, opened: Callable[..., History]) -> None:
        history = opened()
        history.append([posted(event_id="a")], NOW)
        again = history.append(
            [posted(event_id="b"), posted(event_id="a"), posted(event_id="b"), posted()], NOW
        )
        assert again.seqs == [2, 1, 2, 3]
        assert seqs_of(again.new) == [2, 3]
        assert again.duplicates == 2
        assert everything(history) == [1, 2, 3]

    def test_an_event_id_is_known_as_long_as_its_event(self, opened: Callable[..., History]) -> None:
        history = opened(max_events=2)
        history.append([posted(event_id="a")], NOW)
        fill(history, 1)
        assert history.append([posted(event_id="a")], NOW).duplicates == 1
        fill(history, 1)
        assert history.append([posted(event_id="a")], NOW).seqs == [4]
        assert history.append([posted(event_id="a")], NOW).seqs == [4]

    def test_a_thousand_event_ids_at_once(self, opened: Callable[..., History]) -> None:
        history = opened()
        batch = [posted(event_id=f"{k}") for k in range(1000)]
        first = history.append(batch, NOW)
        assert history.append(batch, NOW).seqs == first.seqs == list(range(1, 1001))

    def test_count_retention_moves_the_oldest(self, opened: Callable[..., History]) -> None:
        history = opened(max_events=5)
        fill(history, 7)
        assert (history.bounds.oldest, history.bounds.head) == (3, 7)
        assert everything(history) == [3, 4, 5, 6, 7]
        assert seqs_of(history.since(0, EVERYTHING, ALL).entries) == [3, 4, 5, 6, 7]
        assert seqs_of(history.before(8, EVERYTHING, Limit(99))) == [3, 4, 5, 6, 7]

    def test_a_batch_larger_than_the_window_keeps_its_end(self, opened: Callable[..., History]) -> None:
        history = opened(max_events=5)
        assert history.append([posted() for _ in range(12)], NOW).seqs == list(range(1, 13))
        assert everything(history) == [8, 9, 10, 11, 12]

    def test_age_retention_happens_in_trim(self, opened: Callable[..., History]) -> None:
        history = opened(max_age=100)
        for at in (0, 50, 99, 150):
            fill(history, 1, NOW + at)
        history.trim(NOW + 100)
        assert everything(history) == [1, 2, 3, 4]
        history.trim(NOW + 151)
        assert everything(history) == [3, 4]
        history.trim(NOW + 1000)
        assert everything(history) == []
        assert (history.bounds.oldest, history.bounds.head) == (5, 4)
        assert history.append([posted()], NOW + 1000).seqs == [5]

    def test_trimming_ends(self, opened: Callable[..., History]) -> None:
        history = opened(max_events=10)
        history.append([posted() for _ in range(1000)], NOW)
        rounds = 1
        while history.trim(NOW):
            rounds += 1
            assert rounds < 100
        assert everything(history) == list(range(991, 1001))

    def test_pages_join_without_gap_or_repeat(self, opened: Callable[..., History]) -> None:
        history = opened()
        fill(history, 50, text="x" * 50)
        for limit in (Limit(1, 1), Limit(7, 1 << 20), Limit(1000, 400), Limit(1000, 1 << 20)):
            position, seen = 0, []
            while position < history.bounds.head:
                page = history.since(position, EVERYTHING, limit)
                assert page.upto > position
                assert len(page.entries) <= limit.events
                seen += seqs_of(page.entries)
                position = page.upto
            assert seen == list(range(1, 51))

    def test_a_page_of_nothing_reaches_the_head(self, opened: Callable[..., History]) -> None:
        history = opened()
        fill(history, 5)
        page = history.since(0, Interest(rooms=frozenset({"x"})), ALL)
        assert (page.entries, page.upto) == ([], 5)
        assert history.since(5, EVERYTHING, ALL).upto == 5

    def test_a_full_page_reaches_its_last_entry_only(self, opened: Callable[..., History]) -> None:
        history = opened()
        for room in "abababab":
            fill(history, 1, room=room)
        page = history.since(0, Interest(rooms=frozenset("a")), Limit(events=2))
        assert (seqs_of(page.entries), page.upto) == ([1, 3], 3)

    def test_before_answers_the_last_ones_in_order(self, opened: Callable[..., History]) -> None:
        history = opened()
        fill(history, 9)
        assert seqs_of(history.before(8, EVERYTHING, Limit(3))) == [5, 6, 7]
        assert seqs_of(history.before(3, EVERYTHING, Limit(3))) == [1, 2]
        assert history.before(1, EVERYTHING, Limit(3)) == []
        assert history.before(0, EVERYTHING, Limit(3)) == []

    def test_before_is_bounded_in_bytes_but_answers_at_least_one(
        self, opened: Callable[..., History]
    ) -> None:
        history = opened()
        fill(history, 9, text="x" * 1000)
        size = len(history.since(8, EVERYTHING, ALL).entries[0].frame)
        assert seqs_of(history.before(8, EVERYTHING, Limit(9, size * 3))) == [5, 6, 7]
        assert seqs_of(history.before(8, EVERYTHING, Limit(9, size * 3 - 1))) == [6, 7]
        assert seqs_of(history.before(8, EVERYTHING, Limit(9, 1))) == [7]

    @pytest.mark.parametrize("room", [None, "a"])
    def test_the_position_before_the_last_ones(
        self, opened: Callable[..., History], room: str | None
    ) -> None:
        history = opened(max_events=20)
        interest = EVERYTHING if room is None else Interest(rooms=frozenset({room}))
        for turn in range(25):
            fill(history, 1, room="ab"[turn % 2])
        for below in (26, 20, 7):
            for count in (1, 2, 5, 100):
                found = history.before(below, interest, Limit(count))
                expected = found[0].seq - 1 if found else None
                assert history.position_before(below, interest, count) == expected
        assert history.position_before(26, Interest(rooms=frozenset("c")), 3) is None
        assert opened().position_before(1, EVERYTHING, 3) is None

    def test_memory_and_store_agree_on_what_is_recent(self, opened: Callable[..., History]) -> None:
        history = opened()
        fill(history, 9)
        for after in range(10):
            recent = history.recent(after, EVERYTHING, ALL)
            assert recent is not None
            assert recent == history.since(after, EVERYTHING, ALL)

    def test_what_is_recent_is_looked_through_in_pieces(
        self, opened: Callable[..., History], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for store in ("memory", "sqlite", "redis.store"):
            monkeypatch.setattr(f"streaming_hub.history.{store}.MOST_SCANNED", 10)
        history = opened()
        for room in ("b" * 14) + "a" + ("b" * 10):
            fill(history, 1, room=room)
        found = []
        for after in (0, 10, 20, 24, 25):
            page = history.recent(after, Interest(rooms=frozenset("a")), ALL)
            assert page is not None
            found.append((seqs_of(page.entries), page.upto))
        assert found == [([], 10), ([15], 20), ([], 25), ([], 25), ([], 25)]
        assert history.since(0, Interest(rooms=frozenset("c")), ALL).upto == 25

    @pytest.mark.parametrize("what", [{"room": "a"}, {"session_id": "s"}])
    def test_erasing_removes_the_events_and_nothing_else(
        self, opened: Callable[..., History], what: dict[str, str]
    ) -> None:
        history = opened()
        for _ in range(3):
            fill(history, 1, **what)
            fill(history, 1, room="b", session_id="t")
        assert erase(history, **what) == 3
        assert everything(history) == [2, 4, 6]
        assert seqs_of(history.before(99, EVERYTHING, Limit(99))) == [2, 4, 6]
        recent = history.recent(1, EVERYTHING, ALL)
        assert recent is not None
        assert seqs_of(recent.entries) == [2, 4, 6]
        assert (history.bounds.oldest, history.bounds.head) == (2, 6)
        assert erase(history, **what) == 0
        assert erase(history, room="'; DROP TABLE events; --") == 0
        assert history.append([posted()], NOW).seqs == [7]

    @pytest.mark.parametrize("what", [{"room": "a"}, {"session_id": "s"}])
    def test_erasing_in_a_span_leaves_the_rest(
        self, opened: Callable[..., History], what: dict[str, str]
    ) -> None:
        history = opened()
        for _ in range(4):
            fill(history, 1, **what)
            fill(history, 1, room="b")
        assert history.erase(**what, span=(3, 6)) == 2
        assert everything(history) == [1, 2, 4, 6, 7, 8]
        assert history.erase(**what, span=(history.first_row, 1)) == 1
        assert (everything(history), history.bounds.oldest) == ([2, 4, 6, 7, 8], 2)
        recent = history.recent(1, EVERYTHING, ALL)
        assert recent is not None
        assert seqs_of(recent.entries) == [2, 4, 6, 7, 8]
        assert history.erase(**what, span=(3, 6)) == 0

    def test_erasing_all_does_not_move_the_head_back(self, opened: Callable[..., History]) -> None:
        history = opened()
        fill(history, 4, room="a")
        assert erase(history, room="a") == 4
        assert (history.bounds.oldest, history.bounds.head) == (5, 4)
        assert history.append([posted()], NOW).seqs == [5]
        assert everything(history) == [5]

    def test_an_erased_event_id_is_forgotten(self, opened: Callable[..., History]) -> None:
        history = opened()
        history.append([posted(room="a", event_id="1"), posted(room="b", event_id="2")], NOW)
        erase(history, room="a")
        again = history.append([posted(room="a", event_id="1"), posted(room="b", event_id="2")], NOW)
        assert again.seqs == [3, 2]

    def test_missed_is_exact_or_unknown(self, opened: Callable[..., History]) -> None:
        history = opened(max_events=5)
        fill(history, 20)
        assert history.bounds.missed(10) == 5
        assert history.bounds.missed(15) == 0
        fill(history, 1, room="a")
        fill(history, 4)
        assert erase(history, room="a") == 1
        assert history.bounds.missed(10) is None or history.bounds.oldest <= 21
        fill(history, 10)
        assert history.bounds.missed(10) is None
        assert history.bounds.missed(21) == history.bounds.oldest - 22

    def test_text_that_looks_like_sql_is_only_text(self, opened: Callable[..., History]) -> None:
        history = opened()
        nasty = "x'; DELETE FROM events; --"
        fill(history, 2, room=nasty, event_id=nasty + "1")
        assert len(everything(history)) == 1
        assert erase(history, room=nasty) == 1


@pytest.fixture(scope="module", autouse=True)
def machines_server(redis_server: RedisServer) -> None:
    """The state machine is no test function, and cannot ask for a fixture."""
    HistoriesAgree.server = redis_server


class HistoriesAgree(RuleBasedStateMachine):
    """All stores give the same answers to the same calls."""

    server: RedisServer
    prefixes = itertools.count()

    @initialize()
    def open_both(self) -> None:
        self.patched = pytest.MonkeyPatch()
        # Appends remove rows too, as they do once a file holds far too many.
        self.patched.setattr(sqlite, "MOST_ROWS_WAITING", 3)
        self.patched.setattr(sqlite, "TRIM_ROWS", 2)
        self.folder = tempfile.TemporaryDirectory()
        self.now = NOW
        self.path = Path(self.folder.name) / "events.db"
        self.ram = MemoryHistory(6, 50.0)
        self.disk = on_disk(self.path, max_events=6, max_age=50.0)
        self.prefix = f"machine-{next(self.prefixes)}"
        self.shared = [self.open_redis(node) for node in "xy"]

    def open_redis(self, node: str) -> RedisHistory:
        return in_redis(self.server, self.prefix, max_events=6, max_age=50.0, node=node)

    @property
    def redis(self) -> RedisHistory:
        """One node after the other, each as the first has left it."""
        self.shared.reverse()
        self.shared[0].catch_up()
        return self.shared[0]

    @rule(
        made=st.lists(
            st.tuples(
                st.sampled_from([None, "a", "b"]), st.sampled_from([None, None, None, None, "1", "2", "3"])
            ),
            max_size=5,
        )
    )
    def append(self, made: list[tuple[str | None, str | None]]) -> None:
        events = [
            posted(**{k: v for k, v in (("room", room), ("event_id", known)) if v is not None})
            for room, known in made
        ]
        seqs = self.ram.append(events, self.now).seqs
        assert seqs == self.disk.append(events, self.now).seqs
        assert seqs == self.redis.append(events, self.now).seqs

    @rule(seconds=st.sampled_from([0.0, 10.0, 60.0]))
    def trim(self, seconds: float) -> None:
        self.now += seconds
        self.ram.trim(self.now)
        self.redis.trim(self.now)
        while self.disk.trim(self.now):
            continue

    @rule(room=st.sampled_from("ab"))
    def erase(self, room: str) -> None:
        assert erase(self.ram, room=room) == erase(self.disk, room=room) == erase(self.redis, room=room)

    @rule(room=st.sampled_from("ab"), first=st.integers(0, 30), length=st.integers(0, 5))
    def erase_a_span(self, room: str, first: int, length: int) -> None:
        span = (first, first + length)
        count = self.ram.erase(room=room, span=span)
        assert count == self.disk.erase(room=room, span=span)
        assert count == self.redis.erase(room=room, span=span)

    @rule()
    def checkpoint(self) -> None:
        self.disk.checkpoint()

    @rule()
    def restart(self) -> None:
        epoch = self.disk.bounds.epoch
        self.disk.close()
        self.disk = on_disk(self.path, max_events=6, max_age=50.0, now=self.now)
        assert self.disk.bounds.epoch == epoch
        self.ram.trim(self.now)
        self.shared.pop().close()
        self.shared.append(self.open_redis("xy"[len(self.shared)]))
        self.redis.trim(self.now)

    @invariant()
    def both_are_equal(self) -> None:
        if not hasattr(self, "ram"):
            return
        for other in (self.disk, self.redis, self.redis):
            for name in ("oldest", "head", "erased"):
                assert getattr(self.ram.bounds, name) == getattr(other.bounds, name), name
            assert everything(self.ram) == everything(other)
            for position in range(self.ram.bounds.head + 1):
                assert self.ram.bounds.missed(position) == other.bounds.missed(position)

    def teardown(self) -> None:
        if hasattr(self, "disk"):
            for history in self.shared:
                history.close()
            self.disk.close()
            self.folder.cleanup()
            self.patched.undo()


TestHistoriesAgree = HistoriesAgree.TestCase
TestHistoriesAgree.settings = hypothesis_settings(stateful_step_count=25)


def test_memory_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming_hub.history.memory.MAX_BYTES", 10_000)
    history = MemoryHistory(1000, 1e6)
    for number in range(20):
        history.append([posted(room="ab"[number % 2], event_id=f"{number}", text="x" * 2000)], NOW)
    assert everything(history) == [17, 18, 19, 20]
    assert (history.bounds.oldest, history.bounds.missed(3)) == (17, 13)
    assert history.append([posted(event_id="15"), posted(event_id="19")], NOW).seqs == [21, 20]
    erase(history, room="a")
    history.append([posted(text="x" * 9000)], NOW)
    assert everything(history) == [21, 22]
    assert history.bounds.oldest == 21


def test_trimming_asks_redis_only_when_something_may_be_too_old(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    history = in_redis(redis_server, str(tmp_path), max_events=10, max_age=100)

    def asked(at: float) -> int:
        before = int(redis_server.call("INFO", "stats").split("total_commands_processed:")[1].split()[0])
        history.trim(at)
        after = int(redis_server.call("INFO", "stats").split("total_commands_processed:")[1].split()[0])
        return after - before - 1

    for at in (0, 50):
        fill(history, 1, NOW + at)
    assert asked(NOW) > 0
    assert [asked(NOW + at) for at in (0, 60, 100)] == [0, 0, 0]
    assert asked(NOW + 101) > 0
    assert everything(history) == [2]
    assert [asked(NOW + at) for at in (102, 150)] == [0, 0]
    # As many as are kept: more of them are removed as they are stored.
    fill(history, 12, NOW + 110)
    assert everything(history) == list(range(5, 15))
    history.trim(NOW + 300)
    assert everything(history) == []
    history.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a folder that does not exist yet."""
    return tmp_path / "data" / "events.db"


def test_folder_and_files_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        history = on_disk(path)
        fill(history, 3)
        names = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        history.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert set(names.values()) == {0o600}, names
    assert {"events.db", "events.db-wal"} <= set(names)


def test_a_restart_keeps_epoch_head_events_and_event_ids(path: Path) -> None:
    history = on_disk(path)
    history.append([posted(room="a", event_id="x"), posted(event_id="y")], NOW)
    epoch, entries = history.bounds.epoch, history.since(0, EVERYTHING, ALL).entries
    history.close()
    history = on_disk(path)
    assert (history.bounds.epoch, history.bounds.head, history.bounds.oldest) == (epoch, 2, 1)
    assert history.since(0, EVERYTHING, ALL).entries == entries
    assert history.append([posted(event_id="y"), posted()], NOW).seqs == [2, 3]
    history.close()


def test_after_a_restart_old_pages_come_from_the_file(path: Path) -> None:
    history = on_disk(path)
    fill(history, 3)
    history.close()
    history = on_disk(path)
    assert history.recent(1, EVERYTHING, ALL) is None
    fill(history, 1)
    recent = history.recent(3, EVERYTHING, ALL)
    assert recent is not None
    assert seqs_of(recent.entries) == [4]
    history.close()


@pytest.mark.parametrize("way", ["erase", "expiry"])
def test_the_head_survives_a_restart_when_nothing_is_stored(path: Path, way: str) -> None:
    history = on_disk(path, max_age=10)
    fill(history, 4, room="a")
    epoch = history.bounds.epoch
    if way == "erase":
        erase(history, room="a")
    else:
        while history.trim(NOW + 100):
            continue
    history.close()
    assert rows(path) == []
    history = on_disk(path, max_age=10, now=NOW + 100)
    assert (history.bounds.epoch, history.bounds.head, history.bounds.oldest) == (epoch, 4, 5)
    assert history.append([posted()], NOW + 100).seqs == [5]
    assert history.bounds.missed(2) is None if way == "erase" else history.bounds.missed(2) == 2
    history.close()


def test_what_expired_while_the_server_was_off_is_gone(path: Path) -> None:
    history = on_disk(path, max_age=10)
    fill(history, 4)
    history.close()
    history = on_disk(path, max_age=10, now=NOW + 100)
    assert everything(history) == []
    assert history.bounds.missed(0) == 4
    while history.trim(NOW + 100):
        continue
    history.close()
    assert rows(path) == []


def test_a_smaller_window_applies_at_once(path: Path) -> None:
    history = on_disk(path, max_events=100)
    fill(history, 50)
    history.close()
    history = on_disk(path, max_events=10)
    assert everything(history) == list(range(41, 51))
    history.close()


def rows(path: Path) -> list[Any]:
    """Sequence numbers of the rows in a file that no process has open."""
    with sqlite3.connect(path) as db:
        return [row[0] for row in db.execute("SELECT seq FROM events ORDER BY seq")]


def files_hold(path: Path, text: str) -> list[str]:
    """Names of the files of a history that hold a text."""
    return [file.name for file in path.parent.iterdir() if text.encode() in file.read_bytes()]


@pytest.mark.parametrize("checkpointed", [True, False])
@pytest.mark.parametrize("reading", [True, False])
def test_erased_text_is_in_no_file(path: Path, checkpointed: bool, reading: bool) -> None:
    history = on_disk(path)
    for number in range(30):
        history.append(
            [posted(room="a", event_id=f"{SECRET}-id-{number}", text=f"{SECRET}-{number}" * 20)], NOW
        )
        fill(history, 1, room="b", text="stays")
    if checkpointed:
        history.checkpoint()
    assert files_hold(path, SECRET)
    held = sqlite3.connect(path)
    if reading:
        # A long read keeps the old pages alive until it ends.
        held.execute("BEGIN").fetchall()
        held.execute("SELECT count(*) FROM events").fetchall()
    assert erase(history, room="a") == 30
    history.checkpoint()
    held.close()
    if reading:
        history.checkpoint()
    assert files_hold(path, SECRET) == []
    assert len(everything(history)) == 30
    history.close()
    assert files_hold(path, SECRET) == []


def test_a_checkpoint_that_a_long_read_holds_up_is_done_again(path: Path) -> None:
    history = on_disk(path)
    for number in range(30):
        history.append([posted(room="a", text=f"{SECRET}-{number}" * 20)], NOW)
    with contextlib.closing(sqlite3.connect(path)) as held:
        held.execute("BEGIN").fetchall()
        held.execute("SELECT count(*) FROM events").fetchall()
        assert erase(history, room="a") == 30
        history.checkpoint()
        assert files_hold(path, SECRET)
    history.checkpoint()
    assert files_hold(path, SECRET) == []
    history.close()


@contextlib.contextmanager
def long_read(path: Path) -> Iterator[None]:
    """Read the pages as they are now, until the block ends."""
    with contextlib.closing(sqlite3.connect(path)) as held:
        held.execute("BEGIN").fetchall()
        held.execute("SELECT count(*) FROM events").fetchall()
        yield


def test_a_checkpoint_does_not_wait_long_for_a_reader(path: Path) -> None:
    history = on_disk(path)
    fill(history, 3, room="a")
    with long_read(path):
        erase(history, room="a")
        began = time.monotonic()
        history.checkpoint()
        # Publishers have to wait for it.
        assert time.monotonic() - began < allowed(2)
    history.close()


def test_an_append_is_refused_soon_while_another_program_writes(path: Path) -> None:
    history = on_disk(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(Unavailable, match="locked"):
            history.append([posted()], NOW)
        assert time.monotonic() - began < allowed(2)
        other.execute("ROLLBACK")
    assert history.append([posted()], NOW).seqs == [1]
    history.close()


def test_an_erasure_while_the_log_is_emptied_does_not_count_as_done(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = on_disk(path)
    history.append([posted(room="a", text=f"{SECRET}-{number}" * 20) for number in range(30)], NOW)
    history.append([posted(room="b", text=f"{SECRET}-{number}" * 20) for number in range(30)], NOW)
    erase(history, room="a")

    class Interrupted(sqlite3.Connection):
        """Right after it has emptied the log, something else is erased."""

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            found = super().execute(sql, *values)
            if "TRUNCATE" not in sql:
                return found
            row = found.fetchone()
            assert erase(history, room="b") == 30
            return super().execute("SELECT ?, ?, ?", row)

    with monkeypatch.context() as patched:
        patched.setattr(
            "streaming_hub.history.wal.connect",
            lambda path: sqlite3.connect(path, isolation_level=None, factory=Interrupted),
        )
        history.checkpoint()
    assert files_hold(path, SECRET)
    history.checkpoint()
    assert files_hold(path, SECRET) == []
    history.close()


def test_erased_text_that_a_killed_server_left_in_the_log_is_removed(path: Path, tmp_path: Path) -> None:
    history = on_disk(path)
    history.append([posted(room="a", text=f"{SECRET}-{number}" * 20) for number in range(30)], NOW)
    with long_read(path):
        erase(history, room="a")
        left = tmp_path / "left" / path.name
        left.parent.mkdir()
        for name in (path.name, f"{path.name}-wal"):
            (left.parent / name).write_bytes((path.parent / name).read_bytes())
    history.close()
    assert files_hold(left, SECRET)
    again = on_disk(left)
    again.checkpoint()
    assert files_hold(left, SECRET) == []
    again.close()


def test_what_was_committed_is_answered_and_handed_on_whatever_happens_next(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    history = on_disk(path)
    fill(history, 3)

    def fail(_floor: int) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(history, "_advance", fail)
        appended = history.append([posted(event_id="x"), posted()], NOW)
        assert (appended.seqs, seqs_of(appended.new)) == ([4, 5], [4, 5])
        assert history.trim(NOW) is False
    assert "disk I/O error" in caplog.text
    assert history.append([posted(event_id="x")], NOW).seqs == [4]
    assert everything(history) == [1, 2, 3, 4, 5]
    assert history.recent(2, EVERYTHING, ALL) is None
    fill(history, 1)
    recent = history.recent(5, EVERYTHING, ALL)
    assert recent is not None
    assert seqs_of(recent.entries) == [6]
    history.close()


def test_expired_text_is_overwritten(path: Path) -> None:
    history = on_disk(path, max_age=10)
    fill(history, 50, text=SECRET * 5)
    fill(history, 1, NOW + 50, text="stays")
    while history.trim(NOW + 55):
        continue
    history.close()
    assert files_hold(path, SECRET) == []
    assert rows(path) == [51]


def test_the_file_does_not_grow_forever(path: Path) -> None:
    history = on_disk(path, max_events=200)
    sizes = []
    for _ in range(6):
        for _ in range(10):
            history.append([posted(text="x" * 500) for _ in range(100)], NOW)
            while history.trim(NOW):
                continue
            history.checkpoint()
        sizes.append(sum(file.stat().st_size for file in path.parent.iterdir()))
    history.close()
    assert sizes[-1] <= sizes[1] * 1.1, sizes
    assert len(rows(path)) <= 200


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_without_any_trim_the_file_holds_no_more_than_its_bound(
    path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MOST_ROWS_WAITING", 2000)
    history = on_disk(path, max_events=200)
    most = 0
    while history.bounds.head < 6000:
        history.append([posted() for _ in range(batch)], NOW)
        most = max(most, history._db.execute("SELECT count(*) FROM events").fetchone()[0])
    assert most == 200 + 2000
    assert history.bounds.oldest == history.bounds.head - 199
    assert len(history.since(0, EVERYTHING, Limit(10_000)).entries) == 200
    history.close()


def test_a_window_that_was_made_smaller_is_reached_in_small_steps(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MOST_ROWS_WAITING", 1000)
    history = on_disk(path, max_events=20_000)
    for _ in range(20):
        history.append([posted() for _ in range(1000)], NOW)
    history.close()
    history = on_disk(path, max_events=100)
    held = 20_000
    for batch in itertools.cycle([1, 200]):
        history.append([posted() for _ in range(batch)], NOW)
        now_held = history._db.execute("SELECT count(*) FROM events").fetchone()[0]
        assert 0 < held + batch - now_held <= max(300, 2 * batch)
        held = now_held
        if held <= 100 + 1000:
            break
    history.close()


def test_one_trim_is_a_small_step(path: Path) -> None:
    history = on_disk(path, max_events=10)
    history.append([posted() for _ in range(1000)], NOW)
    history.append([posted() for _ in range(1000)], NOW)
    counts = [2000]
    more = True
    while more:
        more = history.trim(NOW)
        counts.append(history._db.execute("SELECT count(*) FROM events").fetchone()[0])
    history.close()
    assert counts[-1] == 10
    assert max(a - b for a, b in itertools.pairwise(counts)) <= 300


@pytest.mark.parametrize("harm", ["text", "header", "page"])
def test_a_corrupt_file_is_set_aside(path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    history = on_disk(path)
    fill(history, 200, text="x" * 300)
    epoch = history.bounds.epoch
    history.checkpoint()
    history.close()
    raw = bytearray(path.read_bytes())
    if harm == "text":
        raw = bytearray(b"this is no database at all\n" * 100)
    elif harm == "header":
        raw[:100] = b"\xff" * 100
    else:
        raw[4096:] = os.urandom(len(raw) - 4096)
    path.write_bytes(raw)
    history = on_disk(path, now=NOW)
    assert history.bounds.epoch != epoch
    assert history.append([posted()], NOW).seqs == [1]
    (aside,) = [file for file in path.parent.iterdir() if ".corrupt-" in file.name]
    assert aside.read_bytes() == raw
    assert "set aside" in caplog.text
    assert aside.name in caplog.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    history.close()
    history = on_disk(path)
    assert history.bounds.head == 1
    history.close()


def test_an_empty_file_is_a_new_history(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    history = on_disk(path)
    assert history.append([posted()], NOW).seqs == [1]
    history.close()
    assert [file.name for file in path.parent.iterdir() if "corrupt" in file.name] == []


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE events (id INTEGER, what TEXT)")
        db.execute("INSERT INTO events VALUES (1, 'precious')")
    db.close()
    before = path.read_bytes()
    with pytest.raises(
        StorageError, match=r"events\.db is an SQLite database of another program.*STREAM_HISTORY"
    ):
        on_disk(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["events.db"]


def test_tables_of_another_program_that_lie_in_its_log_are_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL").fetchall()
        db.execute("CREATE TABLE orders (id)")
        with pytest.raises(StorageError, match="another program, with the table orders"):
            on_disk(path)
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("orders",)]


def test_a_second_server_on_the_same_file_is_refused(path: Path) -> None:
    history = on_disk(path)
    with pytest.raises(StorageError, match="another server"):
        on_disk(path)
    history.append([posted()], NOW)
    history.close()
    on_disk(path).close()


def test_a_failed_start_lets_the_file_go(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE events (id INTEGER)")
    for _ in range(2):
        with pytest.raises(StorageError, match="another program"):
            on_disk(path)


@pytest.mark.parametrize("folder", ["missing", "there"])
def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(folder: str) -> None:
    # tmp_path lies below a folder that only its owner may enter.
    base = Path(tempfile.mkdtemp())
    target = base / "data" if folder == "missing" else base
    base.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        with pytest.raises(StorageError, match="Permission denied") as caught:
            on_disk(target / "events.db")
    finally:
        if root:
            os.seteuid(0)
        base.chmod(0o700)
        base.rmdir()
    assert str(target) in str(caught.value)
    assert "STREAM_HISTORY" in str(caught.value)


@pytest.mark.parametrize("place", ["file/events.db", "folder"])
def test_a_path_that_cannot_be_a_file_is_an_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"cannot be written|is a directory"):
        on_disk(tmp_path / place)


def test_a_full_disk_refuses_and_continues(path: Path) -> None:
    history = on_disk(path)
    fill(history, 3, event_id="kept")
    history._db.execute("PRAGMA max_page_count=1")
    limit = history._db.execute("PRAGMA page_count").fetchone()[0]
    history._db.execute(f"PRAGMA max_page_count={limit + 2}")
    batch = [posted(text="x" * 4000, event_id=f"b{k}") for k in range(20)]
    with pytest.raises(Unavailable, match="full"):
        history.append(batch, NOW)
    assert (history.bounds.head, everything(history)) == (1, [1])
    history._db.execute("PRAGMA max_page_count=1000000")
    assert history.append(batch, NOW).seqs == list(range(2, 22))
    assert history.append(batch, NOW).duplicates == 20
    history.close()
    assert rows(path) == list(range(1, 22))


def test_pages_are_read_while_events_are_written(path: Path) -> None:
    history = on_disk(path, max_events=300)
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            page = history.since(history.bounds.oldest - 1, EVERYTHING, Limit(events=50))
            found = seqs_of(page.entries)
            if found and found != list(range(found[0], found[-1] + 1)):
                wrong.append(f"a gap in {found}")
            history.checkpoint()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        history.append([posted() for _ in range(3)], NOW)
        history.trim(NOW)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert everything(history) == list(range(601, 901))
    history.close()


def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(path: Path) -> None:
    """The quick variant: a few rounds; tests/faults has the long one."""
    epoch, told = None, 0
    for lines in (1, 40, 90, 160):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.streaming_hub.history.appending_process", str(path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        for _ in range(lines):
            words = child.stdout.readline().split()
            assert epoch in (None, words[0]), "the epoch changed"
            epoch, told = words[0], int(words[1])
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        child.stdout.close()
        for line in rest.splitlines():
            if len(line.split()) == 3:
                told = int(line.split()[1])
        history = on_disk(path, max_events=500, max_age=1e9, now=1.0)
        assert history.bounds.epoch.encode() == epoch
        assert history.bounds.head >= told
        kept = history.since(history.bounds.oldest - 1, EVERYTHING, ALL).entries
        assert seqs_of(kept) == list(range(history.bounds.oldest, history.bounds.head + 1))
        assert [json.loads(entry.data)["n"] for entry in kept] == seqs_of(kept)
        assert history.append([posted(event_id=f"id-{told}")], 1.0).seqs == [told]
        assert history._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        history.close()


def test_settings_choose_the_store(tmp_path: Path, redis_server: RedisServer) -> None:
    assert isinstance(open_history(Settings(history="memory://"), NOW, "n"), MemoryHistory)
    history = open_history(Settings(history=f"sqlite:///{tmp_path}/x.db"), NOW, "n")
    assert isinstance(history, SqliteHistory)
    assert (tmp_path / "x.db").exists()
    history.close()
    shared = open_history(Settings(history=redis_server.url, redis_prefix="chosen"), NOW, "n")
    assert isinstance(shared, RedisHistory)
    assert redis_server.call("EXISTS", "{chosen}:meta") == 1
    shared.close()


def test_full_sync_waits_for_a_replica_and_needs_one(tmp_path: Path) -> None:
    primary = RedisServer(tmp_path / "primary", tcp=True)
    replica = RedisServer(tmp_path / "replica")
    try:
        with pytest.raises(StorageError, match="STREAM_HISTORY_SYNC=full needs a replica"):
            RedisHistory(Server(primary.url, "p"), max_events=9, max_age=9, node="n", sync=True, wait=0)
        replica.call("REPLICAOF", "127.0.0.1", primary.port)
        until(lambda: "master_link_status:up" in replica.call("INFO"), 20)
        history = RedisHistory(Server(primary.url, "p"), max_events=9, max_age=9, node="n", sync=True, wait=0)
        assert history.append([posted(event_id="a")], NOW).seqs == [1]
        replica.pause()
        for _ in range(2):
            # Stored, and not confirmed: a retry finds it, and waits again.
            with pytest.raises(Unavailable, match="No replica"):
                history.append([posted(event_id="b")], NOW)
        replica.resume()
        assert history.append([posted(event_id="b")], NOW).duplicates == 1
        history.close()
    finally:
        replica.resume()
        primary.stop()
        replica.stop()


def test_redis_without_its_package_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("redis", "streaming_hub.cluster.server"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SettingsError, match="extra `redis`"):
        open_history(Settings(history="redis://localhost"), NOW, "n")


@pytest.mark.parametrize(("sync", "level"), [("normal", 1), ("full", 2)])
def test_the_promise_about_power_cuts_is_a_setting(tmp_path: Path, sync: str, level: int) -> None:
    history = SqliteHistory(tmp_path / "x.db", max_events=10, max_age=10, sync=sync, now=NOW)
    assert history._db.execute("PRAGMA synchronous").fetchone()[0] == level
    assert history._db.execute("PRAGMA fullfsync").fetchone()[0] == (sync == "full")
    assert history._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    history.close()
