"""The line of waiting events, held against a plain list through every mix of steps, restarts included."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from streaming_hub_client.backlog import Backlog

MEMORY = 8
SPOOL_BYTES = 600


def new_backlog(folder: Path | None, max_events: int = MEMORY, max_spool_bytes: int = SPOOL_BYTES) -> Backlog:
    return Backlog(
        max_events=max_events, max_bytes=1 << 20, spool_dir=folder, max_spool_bytes=max_spool_bytes
    )


def put(backlog: Backlog, number: int) -> None:
    event = {"n": number}
    backlog.append(json.dumps(event).encode(), event)


def take_all(backlog: Backlog) -> list[dict[str, object]]:
    taken: list[dict[str, object]] = []
    while batch := backlog.peek(100, 1 << 20):
        backlog.drop(batch)
        taken += map(json.loads, batch)
    return taken


class Line(RuleBasedStateMachine):
    """Every event that went in comes out in its place, or is within the count that stands there."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.backlog = new_backlog(self.folder)
        self.posted = 0
        self.next = 0
        self.in_flight: list[bytes] = []

    @rule(count=st.integers(1, 12))
    def post(self, count: int) -> None:
        for _ in range(count):
            put(self.backlog, self.posted)
            self.posted += 1

    @rule()
    def post_something_unsendable(self) -> None:
        self.backlog.lose(1, "it is too large", {"n": self.posted})
        self.posted += 1

    @rule(part=st.floats(0, 1))
    def spill(self, part: float) -> None:
        self.backlog.spill(int(self.backlog.arrived * part))

    @rule()
    def spill_everything(self) -> None:
        self.backlog.spill(self.backlog.arrived)

    @precondition(lambda self: not self.in_flight)
    @rule(count=st.integers(1, 10))
    def send(self, count: int) -> None:
        self.in_flight = self.backlog.peek(count, 300)
        assert len(self.in_flight) <= count

    @precondition(lambda self: self.in_flight)
    @rule()
    def acknowledge(self) -> None:
        self.backlog.drop(self.in_flight)
        self.check(self.in_flight)
        self.in_flight = []

    @precondition(lambda self: self.in_flight)
    @rule()
    def fail(self) -> None:
        self.in_flight = []

    @rule()
    def restart(self) -> None:
        assert self.backlog.close() == 0
        self.in_flight = []
        self.backlog = new_backlog(self.folder)

    @invariant()
    def disk_is_bounded(self) -> None:
        # A count of lost events is written over the bound: it is one line for each process.
        sizes = [path.stat().st_size for path in self.folder.iterdir()]
        assert sum(sizes) <= SPOOL_BYTES + 400 * len(sizes)

    def check(self, lines: list[bytes]) -> None:
        for line in lines:
            event = json.loads(line)
            if event.get("type") == "events_dropped":
                self.next += event["count"]
            else:
                assert event["n"] == self.next
                self.next += 1

    def teardown(self) -> None:
        while batch := self.backlog.peek(100, 1 << 20):
            self.backlog.drop(batch)
            self.check(batch)
        assert self.next == self.posted
        assert self.backlog.empty
        self.backlog.close()
        assert list(self.folder.iterdir()) == []
        shutil.rmtree(self.folder)


Line.TestCase.settings = settings(max_examples=2 * settings.default.max_examples, stateful_step_count=40)
TestLine = Line.TestCase


def test_losses_next_to_each_other_are_one_count(tmp_path: Path) -> None:
    backlog = new_backlog(tmp_path, max_events=2, max_spool_bytes=0)
    for number in range(10):
        put(backlog, number)
        backlog.spill(backlog.arrived)

    told = take_all(backlog)
    assert [event.get("n", event.get("count")) for event in told] == [0, 1, 8]


@pytest.mark.parametrize(
    ("events", "room"),
    [
        ([{"room": "a"}, {"room": "a"}], "a"),
        ([{"room": "a"}, {"room": "b"}, {"room": "b"}], None),
        ([{"room": "a"}, {}], None),
        ([{"room": 5}, {"room": 5}], None),
        (["no event at all"], None),
        ([{"room": "half a character \ud800"}], None),
        ([{"room": "two\nlines"}], None),
        ([{"room": "x" * 70_000}], None),
    ],
)
def test_a_count_names_the_room_that_all_its_events_share(events: list[object], room: str | None) -> None:
    backlog = new_backlog(None)
    for event in events:
        backlog.lose(1, "why \ud800", event)

    (told,) = take_all(backlog)
    assert told.get("room") == room
    assert told["count"] == len(events)
    assert told["reason"] == "why ?"


def test_what_is_lost_at_the_end_is_reported_by_number() -> None:
    backlog = new_backlog(None, max_events=3)
    for number in range(5):
        put(backlog, number)

    assert backlog.close() == 5
    assert backlog.close() == 0


def test_only_what_had_arrived_at_the_mark_is_spilled(tmp_path: Path) -> None:
    backlog = new_backlog(tmp_path)
    for number in range(3):
        put(backlog, number)
    take_all(backlog)
    put(backlog, 3)
    mark = backlog.arrived
    put(backlog, 4)
    put(backlog, 5)
    backlog.spill(mark)

    (path,) = tmp_path.iterdir()
    assert path.read_bytes().splitlines()[1:] == [b'{"n": 3}']
    assert [event["n"] for event in take_all(backlog)] == [3, 4, 5]


def test_files_of_earlier_processes_count_towards_the_bound(tmp_path: Path) -> None:
    earlier = new_backlog(tmp_path, max_events=100)
    for number in range(30):
        put(earlier, number)
    earlier.close()
    used = sum(path.stat().st_size for path in tmp_path.iterdir())
    backlog = new_backlog(tmp_path, max_events=100, max_spool_bytes=used + 100)
    for number in range(30, 60):
        put(backlog, number)
    backlog.spill(backlog.arrived)

    assert used < sum(path.stat().st_size for path in tmp_path.iterdir()) <= used + 100
    assert [event["n"] for event in take_all(backlog)] == list(range(60))


def test_a_folder_in_trouble_is_reported_once_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "spool"
    backlog = new_backlog(folder)
    folder.write_text("a file in the way")
    put(backlog, 0)
    for _ in range(3):
        backlog.spill(backlog.arrived)
    assert caplog.text.count("cannot write events to the spool directory") == 1

    folder.unlink()
    backlog.spill(backlog.arrived)
    assert len(list(folder.iterdir())) == 1
    assert [event["n"] for event in take_all(backlog)] == [0]
