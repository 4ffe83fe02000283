"""The poster in processes of its own: killed, left without a hub, and behind a hub that comes and goes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from streaming_hub_client.poster import Poster
from streaming_hub_client.retry import Pace

from tests.kit.fake_hub import FakeHub, Reply
from tests.kit.wait import until
from tests.packages.python.spooled import spooled_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]


class PostingProcess:
    """A child that posts; remembers what it said."""

    def __init__(
        self, hub: FakeHub, folder: Path, first: int, count: int, *, pause: float = 0.001, **options: Any
    ) -> None:
        arguments = [hub.url, str(folder), str(first), str(count), str(pause), json.dumps(options)]
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.posting_process", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.last = first - 1
        self.closed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()
        self._reader.join()

    def has_posted(self, number: int) -> bool:
        return self.last >= number

    def memory_kib(self) -> int:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def _read(self) -> None:
        assert self.child.stdout
        for line in self.child.stdout:
            if line.startswith("closed"):
                self.closed = line.split()[1]
            else:
                self.last = int(line)
        self.child.stdout.close()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    fake = FakeHub()
    yield fake
    fake.stop()


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def is_spooled_beyond(folder: Path, number: int) -> bool:
    return max(spooled_numbers(folder), default=-1) > number


def is_asked_or_done(hub: FakeHub, requests: int, poster: Poster) -> bool:
    return len(hub.requests) > requests or poster.flush(0)


def deliver_the_rest(hub: FakeHub, folder: Path) -> None:
    poster = Poster(hub.url, spool_dir=folder)
    assert poster.close(30)
    assert list(folder.iterdir()) == []


def test_the_next_process_delivers_what_a_killed_one_left(hub: FakeHub, spool_dir: Path) -> None:
    with PostingProcess(hub, spool_dir, 0, 3000) as first:
        until(lambda: first.last == 2999, what="3000 events posted")
        until(lambda: len(spooled_numbers(spool_dir)) == 3000, what="3000 events in the spool")
    hub.start()
    with PostingProcess(hub, spool_dir, 3000, 100) as second:
        until(lambda: second.closed == "True", what="the second process at its end")

    assert hub.numbers() == list(range(3100))
    assert list(spool_dir.iterdir()) == []


def test_a_kill_while_a_request_hangs_loses_only_the_last_moment(hub: FakeHub, spool_dir: Path) -> None:
    hub.default = Reply(hold=threading.Event(), stores=False)
    hub.start()
    with PostingProcess(hub, spool_dir, 0, 1_000_000) as process:
        until(lambda: process.last > 1000, what="1000 events posted")
        posted = process.last
        until(
            lambda: len(spooled_numbers(spool_dir)) > posted, what="in the spool what was posted", seconds=2
        )
    assert len(hub.requests) == 1
    hub.default = Reply()
    deliver_the_rest(hub, spool_dir)

    numbers = hub.numbers()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > posted


def test_kills_at_random_moments_never_disturb_the_order(hub: FakeHub, spool_dir: Path) -> None:
    """Ten processes die while the hub comes and goes; the events of each arrive in order, without a hole."""
    chance = random.Random(5)  # a seed, so that a failure can be repeated
    hub.start()
    posted: list[tuple[int, int]] = []
    for index in range(10):
        first = index * 1_000_000
        with PostingProcess(hub, spool_dir, first, 1_000_000) as process:
            target = first + chance.randrange(50, 600)
            until(partial(process.has_posted, target), what="some events")
            if chance.random() < 0.5:
                hub.stop()
                until(partial(is_spooled_beyond, spool_dir, process.last), what="later events in the spool")
        posted.append((first, process.last))
        if not hub.listening:
            hub.start()
    deliver_the_rest(hub, spool_dir)

    numbers = hub.numbers()
    assert numbers == sorted(set(numbers))
    for first, last in posted:
        own = [number for number in numbers if first <= number < first + 1_000_000]
        assert own == list(range(first, first + len(own)))
        # What the process had in memory for less than 0.2 s may die with it: at most some 200 events of 1 ms.
        assert len(own) >= last - first - 400


def test_a_kill_with_a_full_spool_is_reported_by_number(hub: FakeHub, spool_dir: Path) -> None:
    options = {"max_spool_bytes": 20_000, "max_queue": 50}
    with PostingProcess(hub, spool_dir, 0, 2000, pause=0, **options) as process:
        until(lambda: process.last == 1999, what="2000 events posted")
        until(lambda: spooled_and_told(spool_dir) == 2000, what="a header that counts the rest")
    hub.start()
    deliver_the_rest(hub, spool_dir)

    numbers = hub.numbers()
    assert numbers == sorted(set(numbers))
    assert len(numbers) + hub.dropped() == 2000
    assert hub.dropped() > 1000


def spooled_and_told(folder: Path) -> int:
    """How many events the files hold or say are missing."""
    total = 0
    for path in folder.glob("*.jsonl"):
        header, *rows = [json.loads(row) for row in path.read_bytes().split(b"\n")[:-1]]
        total += header["unsaved"] + sum(row.get("count", 1) for row in rows)
    return total


def test_half_a_minute_without_hub_costs_bounded_memory_and_no_event(hub: FakeHub, spool_dir: Path) -> None:
    with PostingProcess(hub, spool_dir, 0, 30_000, pause=0.0005, max_queue=500) as process:
        until(lambda: process.last > 1000, what="the first events")
        before = process.memory_kib()
        end = time.monotonic() + 30
        until(lambda: time.monotonic() > end, what="half a minute", seconds=40)
        grown = process.memory_kib() - before
        hub.start()
        until(lambda: process.closed == "True", what="everything delivered", seconds=60)

    assert hub.numbers() == list(range(30_000))
    assert hub.dropped() == 0
    assert grown < 8 * 1024


def test_a_hub_that_fails_in_every_way_in_turn_gets_all_in_order(hub: FakeHub, spool_dir: Path) -> None:
    chance = random.Random(7)  # a seed, so that a failure can be repeated
    hub.start()
    pace = Pace(first_delay=0.01, longest_delay=0.1, answer_timeout=0.3, spill_after=0.02)
    poster = Poster(hub.url, spool_dir=spool_dir, pace=pace)
    never = threading.Event()
    faults = [
        Reply(500),
        Reply(503, headers={"Retry-After": "0"}),
        Reply(429, headers={"Retry-After": "1"}),
        Reply(cut=True),
        Reply(cut=True, stores=False),
        Reply(hold=never, stores=False),
        Reply(500, stores=True),
        Reply(401),
    ]
    posted = 0
    for _ in range(40):
        hub.script.extend(chance.choices(faults[:-1], k=chance.randrange(3)))
        for _ in range(chance.randrange(200)):
            poster.post({"type": "test", "n": posted})
            posted += 1
        if chance.random() < 0.3:
            hub.stop()
            hub.start()
        until(partial(is_asked_or_done, hub, len(hub.requests), poster), what="an attempt")

    assert poster.close(60)
    assert hub.numbers() == list(range(posted))
    assert hub.dropped() == 0
