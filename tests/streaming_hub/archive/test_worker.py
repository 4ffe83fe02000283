"""The archive's process from within: events that cannot be written, and what the search index still holds.

Covers streaming_hub.sidecar.worker, too.
"""

from __future__ import annotations

import contextlib
import random
import socket
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from streaming_hub.archive import removal, stats, worker
from streaming_hub.archive.reduce import Reduction
from streaming_hub.archive.worker import Config, Worker
from streaming_hub.sidecar import wire
from streaming_hub.sidecar.database import Database
from streaming_hub.sidecar.wire import ANSWER, BEGUN, LOG, REFUSED
from tests.kit.wait import until
from tests.streaming_hub.archive.calls import EPOCH, START, some_calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.streaming_hub.archive import postgres


class Hub:
    """The other end of the line."""

    def __init__(self, url: str) -> None:
        self.sock, theirs = socket.socketpair()
        self.log: list[str] = []
        self.begun = 0
        config = Config(
            url=url, max_age=0, recordings=True, prompts=False, texts=True, watched=False, audio=None
        )
        self._thread = threading.Thread(target=Worker(theirs, config).serve)
        self._thread.start()
        self._number = 0

    def ask(self, what: str, arguments: Any) -> Any:
        self._number += 1
        wire.send(self.sock, [self._number, what, arguments])
        while True:
            message = wire.receive(self.sock)
            assert message is not None
            number, kind, value = message
            if kind == LOG:
                self.log.append(value[1])
            elif kind == BEGUN:
                self.begun += 1
            elif number == self._number and kind in (ANSWER, REFUSED):
                return value

    def close(self) -> None:
        self.sock.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(f"sqlite:///{tmp_path}/a.db")
    assert hub.ask("open", None) is None
    hub.ask("begin", [EPOCH, 0])
    yield hub
    hub.close()


def page(events: list[dict[str, Any]], after: int = 0) -> dict[str, Any]:
    lines = [msgspec.json.encode(one) for one in events]
    return {
        "epoch": EPOCH,
        "after": after,
        "upto": after + len(lines),
        "at": START,
        "lines": lines,
        "skipped": 0,
    }


def test_an_event_that_cannot_be_written_is_left_out_and_reported(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = some_calls(1, 4, live=0).events
    take = Reduction.take
    bad = events[10]["id"]

    def fails(self: Reduction, event: Any) -> None:
        if event["id"] == bad:
            raise RuntimeError("unexpected")
        take(self, event)

    monkeypatch.setattr(Reduction, "take", fails)
    assert hub.ask("page", page(events)) is True
    assert [line for line in hub.log if bad in line and "left out" in line]
    # The page counts as read, and the next one follows it.
    assert hub.ask("page", page([], len(events))) is False
    found, *_ = hub.ask("sessions", {})
    assert len(msgspec.json.decode(found)) == 4


def test_a_number_of_any_size_is_reported(hub: Hub) -> None:
    common = {"timestamp": START, "session_id": "s"}
    events = [
        {"type": "usage", "model_usage": [{"tokens": 10**30}], **common},
        {"type": "tool_call_started", "call_id": "c", "arguments": [-(2**80), 2**64, 7], **common},
        {"type": "session_ended", **common},
    ]
    assert hub.ask("page", page([{"id": f"{EPOCH}-{n}", **one} for n, one in enumerate(events, 1)])) is True
    (report,) = hub.ask("reports", 20)
    assert report["session"]["usage"] == [{"tokens": 1e30}]
    found = msgspec.json.decode(
        hub.ask("session", {"session_id": "s", "room": None, "allowed": None, "operator": True})
    )
    assert found["tools"][0]["arguments"] == [-(2**80), 2**64, 7]


def test_an_answer_that_cannot_be_sent_is_a_refusal(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_json", lambda _found: object())
    assert hub.ask("sessions", {})[0] == "failed"
    monkeypatch.undo()
    assert hub.ask("ping", None) is None


def test_a_session_of_many_events_is_read_again_with_signs_of_life(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PROGRESS_SECONDS", 0.0)
    events = some_calls(1, 1, live=1).events
    for place, event in enumerate(events):
        hub.ask("page", page([event], place))
    hub.ask("open", None)
    before = hub.begun
    hub.ask("page", page([{**events[0], "id": f"{EPOCH}-{len(events) + 1}"}], len(events)))
    # One when it began, and one for each part.
    assert hub.begun - before == 1 + len(events) > 10


def test_names_of_any_length_are_archived_and_found(postgres_server: postgres.Server) -> None:
    rng = random.Random(1)
    url = postgres_server.new_database("long_names")
    # Nothing that repeats: PostgreSQL compresses before it measures.
    long = "".join(chr(rng.randrange(0x10000, 0x1FFFF)) for _ in range(9000))
    events = [
        {"id": f"{EPOCH}-{place}", "timestamp": START, "type": "session_started", "session_id": "a"} | fields
        for place, fields in enumerate(
            ({"agent_name": long}, {"participant": long}, {"session_id": long}, {"room": long}, {}), 1
        )
    ]
    hub = Hub(url)
    try:
        hub.ask("open", None)
        hub.ask("begin", [EPOCH, 0])
        assert hub.ask("page", page(events)) is False
        assert hub.log == []
        for asked, wanted in (
            ({}, {("a", None), (long, None), ("a", long)}),
            ({"agent": [long]}, {("a", None)}),
            ({"participant": [long]}, {("a", None)}),
            ({"room": [long]}, {("a", long)}),
        ):
            found, *_ = hub.ask("sessions", asked)
            decoded = msgspec.json.decode(found)
            assert {(one["session_id"], one["room"]) for one in decoded} == wanted
        hub.ask("erase", {"session_id": long, "rooms": None, "room": None, "known": []})
        hub.ask("erase", {"session_id": None, "rooms": None, "room": long, "known": []})
        assert len(msgspec.json.decode(hub.ask("sessions", {})[0])) == 1
    finally:
        hub.close()
        postgres_server.drop_database("long_names")


def test_a_page_out_of_order_is_refused_by_name(hub: Hub) -> None:
    assert hub.ask("page", page([], 7))[0] == "behind"


def test_a_question_that_fails_is_answered(hub: Hub) -> None:
    assert hub.ask("sessions", {"sort": "nonsense"})[0] == "failed"
    assert hub.ask("sessions", {})[0] == b"[]"


def test_the_index_is_rid_of_what_was_erased_soon_and_not_all_the_time(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = some_calls(2, 4, live=0).events
    hub.ask("page", page(events))
    times: list[float] = []
    merge = removal.merge_words

    def counted(database: Any) -> bool:
        more = merge(database)
        if not more:
            times.append(time.monotonic())
        return more

    monkeypatch.setattr(removal, "merge_words", counted)
    assert worker.MERGE_SECONDS < 600
    hub.ask("erase", {"session_id": "s1", "rooms": None, "room": None, "known": []})
    bound = time.monotonic() + 20
    while not times and time.monotonic() < bound:
        hub.ask("ping", None)
    assert len(times) == 1
    hub.ask("erase", {"session_id": "s2", "rooms": None, "room": None, "known": []})
    for _ in range(50):
        hub.ask("ping", None)
    assert len(times) == 1
    # A new process does it again: the previous one may have been killed.
    hub.ask("open", None)


def test_statistics_that_take_long_hold_up_no_list(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.ask("page", page(some_calls(2, 4, live=0).events))
    let = threading.Event()
    begun: list[int] = []

    def slow(*_: object) -> list[dict[str, Any]]:
        begun.append(1)
        assert let.wait(60)
        return []

    monkeypatch.setattr(stats, "buckets", slow)
    for number in range(1000, 1000 + worker.READERS + 2):
        wire.send(hub.sock, [number, "stats", {"since": 0.0, "until": 1.0, "operator": True}])
    until(lambda: bool(begun), seconds=20, what="statistics are computed")
    # Without an answer this would wait until the test's own time is over.
    hub.sock.settimeout(20)
    try:
        listed, _, total = hub.ask("sessions", {"total": True})
    finally:
        let.set()
    assert total == len(msgspec.json.decode(listed)) == 4
    assert len(begun) == 1


def test_a_log_that_a_long_read_holds_open_is_emptied_after_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.ask("page", page(some_calls(2, 4, live=0).events))
    log = tmp_path / "a.db-wal"
    emptied: list[bool] = []
    empty = Database.empty_log

    def counted(database: Database) -> None:
        empty(database)
        emptied.append(not database.log_held)

    monkeypatch.setattr(Database, "empty_log", counted)
    # The first erasure also merges the index, which empties the log, and does not happen again for minutes.
    hub.ask("erase", {"session_id": "s2", "rooms": None, "room": None, "known": []})
    until(lambda: emptied == [True, True], seconds=20, what="the index is merged")
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sessions").fetchall()
        hub.ask("erase", {"session_id": "s1", "rooms": None, "room": None, "known": []})
        assert emptied[2:3] == [False]
        assert log.stat().st_size > 0
        reader.execute("ROLLBACK")
    # Idle: no question leads to it.
    until(lambda: log.stat().st_size == 0, seconds=20, what="the log is empty")


def test_it_ends_when_the_hub_hangs_up(tmp_path: Path) -> None:
    hub = Hub(f"sqlite:///{tmp_path}/b.db")
    hub.ask("open", None)
    hub.close()
