"""In which order deliveries are started, and what is read for that: a real store, and sends that are only noted."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from streaming_hub.outlets.webhooks import dispatcher as dispatchers
from streaming_hub.outlets.webhooks import log
from streaming_hub.outlets.webhooks.dispatcher import Dispatcher
from streaming_hub.outlets.webhooks.endpoints import Secret
from streaming_hub.outlets.webhooks.schedule import Standing
from streaming_hub.outlets.webhooks.sender import Outcome
from tests.streaming_hub.outlets.webhooks.test_store import Kept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    import pytest

    from streaming_hub.outlets.webhooks.messages import Line

SECONDS = 20.0
"""How long to wait for what must happen."""


class Noting:
    """Notes what is sent: endpoint and event."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        del body
        self.sent.append((url, headers["webhook-id"]))
        await self.go.wait()
        return Outcome(0.0, 200)

    async def close(self) -> None:
        """Nothing is open."""


class Bench:
    """A dispatcher over a store, in a running loop."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.kept = Kept(f"sqlite:///{path}")
        self.noting = Noting()
        self.reports: list[str] = []
        self.fails = False
        """Whether errors are reported on purpose."""
        self.writer = ThreadPoolExecutor(1)
        self.readers = ThreadPoolExecutor(1)
        self.dispatcher = Dispatcher(
            self.kept.store,
            self.kept.database,
            self.noting,  # type: ignore[arg-type]
            writer=self.writer,
            readers=self.readers,
            waits=[3600.0],
            total=100,
            report=lambda _level, text: self.reports.append(text),
        )

    def endpoint(self, name: str, **fields: Any) -> None:
        self.kept.endpoint(name, url=name, secrets=[Secret("whsec_" + "A" * 32)], **fields)

    def publish(self, *lines: Line) -> None:
        self.dispatcher.take(self.kept.take(*lines))

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not met():
                assert self.fails or not self.reports, self.reports
                await asyncio.sleep(0.01)

    async def settle(self) -> None:
        """Let everything happen that does not wait for a request."""
        for _ in range(3):
            for executor in (self.readers, self.writer):
                await asyncio.get_running_loop().run_in_executor(executor, lambda: None)
            await asyncio.sleep(0.01)

    async def prove(self, name: str) -> None:
        """Have an endpoint deliver something, and wait until that is recorded."""
        self.publish(self.kept.line("first"))
        await self.until(lambda: (name, f"e-{self.kept.seq}") in self.noting.sent)
        schedule = self.dispatcher._schedule
        await self.until(lambda: schedule.standing(name) is Standing.WORKING and not schedule.busy(name))
        await self.settle()

    def hold_reads(self) -> threading.Event:
        """Let no look at the database begin until the event is set."""
        over = threading.Event()
        self.readers.submit(over.wait, SECONDS)
        return over

    async def end(self) -> None:
        await self.dispatcher.stop(1.0)
        self.writer.shutdown()
        self.readers.shutdown()
        self.kept.database.close()


def in_a_loop(test: Callable[[Bench], Awaitable[None]]) -> Callable[[Path, pytest.MonkeyPatch], None]:
    """Run a test in an event loop, with a bench whose endpoint `one` has delivered an event."""

    async def whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = Bench(path, monkeypatch)
        try:
            bench.endpoint("one")
            await bench.prove("one")
            await test(bench)
        finally:
            await bench.end()

    def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asyncio.run(whole(tmp_path / "outlets.db", monkeypatch))

    return run


@in_a_loop
async def test_endpoints_that_work_come_before_new_ones(bench: Bench) -> None:
    for number in range(30):
        bench.endpoint(f"new-{number}")
    bench.publish(bench.kept.line("a"), bench.kept.line("b"))
    await bench.until(lambda: len(bench.noting.sent) == 1 + 31 * 2)
    assert [name for name, _ in bench.noting.sent[1:3]] == ["one"] * 2


@in_a_loop
async def test_an_endpoint_that_keeps_up_waits_for_no_look_at_the_database(bench: Bench) -> None:
    over = bench.hold_reads()
    bench.publish(bench.kept.line("a"), bench.kept.line("b"), bench.kept.line("a"))
    await bench.until(lambda: len(bench.noting.sent) == 4)
    assert sorted(bench.noting.sent[1:]) == [("one", f"e-{number}") for number in (2, 3, 4)]
    await bench.until(lambda: not bench.kept.store.held("one"))
    over.set()


@in_a_loop
async def test_nothing_is_sent_twice_where_a_look_has_found_what_a_page_brings(bench: Bench) -> None:
    taken = bench.kept.take(bench.kept.line("a"), bench.kept.line("a"))
    read, over, look = threading.Event(), threading.Event(), log.due

    def read_slowly(*arguments: Any) -> dict[str, log.Due]:
        found = look(*arguments)
        read.set()
        over.wait(SECONDS)
        return found

    bench.monkeypatch.setattr(log, "due", read_slowly)
    bench.dispatcher.due(["one"])
    await bench.until(read.is_set)
    bench.dispatcher.take(taken)
    for _ in range(100):  # turns in which a lane that was begun would be sent and recorded
        await asyncio.sleep(0.001)
    over.set()
    await bench.until(lambda: not bench.kept.store.held("one"))
    await bench.settle()
    assert bench.noting.sent == [("one", f"e-{number}") for number in (1, 2, 3)]


@in_a_loop
async def test_events_of_a_room_keep_their_order_whatever_is_in_flight(bench: Bench) -> None:
    for _ in range(5):
        bench.publish(bench.kept.line("a"))
        await asyncio.sleep(0)
    await bench.until(lambda: len(bench.noting.sent) == 6)
    assert bench.noting.sent == [("one", f"e-{number}") for number in range(1, 7)]


@in_a_loop
async def test_a_room_whose_erased_event_is_still_in_flight_waits_for_it(bench: Bench) -> None:
    bench.noting.go.clear()
    bench.publish(bench.kept.line("a"))
    await bench.until(lambda: bench.noting.sent[1:] == [("one", "e-2")])
    bench.kept.store.erase(room="a", session_id=None, rooms=None)
    bench.dispatcher.purge(room="a")
    bench.publish(bench.kept.line("a"))
    await bench.settle()
    assert bench.noting.sent[1:] == [("one", "e-2")]
    bench.noting.go.set()
    await bench.until(lambda: bench.noting.sent[1:] == [("one", "e-2"), ("one", "e-3")])


@in_a_loop
async def test_what_was_erased_before_it_began_is_not_sent(bench: Bench) -> None:
    taken = bench.kept.take(bench.kept.line("a"), bench.kept.line("b"))
    bench.kept.store.erase(room="a", session_id=None, rooms=None)
    bench.dispatcher.take(taken)
    await bench.until(lambda: not bench.kept.store.held("one"))
    assert bench.noting.sent == [("one", "e-1"), ("one", "e-3")]


@in_a_loop
async def test_outcomes_that_could_not_be_written_are_sent_again(bench: Bench) -> None:
    bench.monkeypatch.setattr("streaming_hub.outlets.webhooks.dispatcher.FAILED_SECONDS", 0.01)
    bench.fails = True
    record = bench.kept.store.record

    def fail(outcomes: Any) -> set[str]:
        bench.monkeypatch.setattr(bench.kept.store, "record", record)
        record(outcomes)
        with bench.kept.database.writing() as connection:
            connection.exec_driver_sql("UPDATE webhook_deliveries SET state = 'pending', done = NULL")
            connection.exec_driver_sql("DELETE FROM webhook_lanes")
            connection.exec_driver_sql("INSERT INTO webhook_lanes VALUES ('one', 'a', 0.0)")
        raise ValueError("the disk is strange")

    bench.monkeypatch.setattr(bench.kept.store, "record", fail)
    bench.publish(bench.kept.line("a"))
    await bench.until(lambda: bench.noting.sent.count(("one", "e-2")) == 2)
    assert ["the disk is strange" in text for text in bench.reports] == [True]


@in_a_loop
async def test_an_unexpected_error_is_reported_and_tried_again_after_a_pause(bench: Bench) -> None:
    send = bench.noting.send
    resting = asyncio.Event()

    async def fail(*_: Any) -> Outcome:
        bench.monkeypatch.setattr(bench.noting, "send", send)
        raise ValueError("strange")

    async def rest(seconds: float, *, sleep: Any = asyncio.sleep) -> None:
        if seconds == dispatchers.FAILED_SECONDS:
            await resting.wait()
        await sleep(0 if seconds == dispatchers.FAILED_SECONDS else seconds)

    bench.fails = True
    bench.monkeypatch.setattr(dispatchers.asyncio, "sleep", rest)
    bench.monkeypatch.setattr(bench.noting, "send", fail)
    bench.publish(bench.kept.line("a"), bench.kept.line("a"))
    await bench.until(lambda: bool(bench.reports))
    assert bench.noting.sent == [("one", "e-1")]
    assert ["strange" in text for text in bench.reports] == [True]
    resting.set()
    await bench.until(lambda: len(bench.noting.sent) == 3)
    assert bench.noting.sent[1:] == [("one", "e-2"), ("one", "e-3")]


class Clock:
    """The module `time` with another clock of the system."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


async def refuse_first(bench: Bench) -> None:
    """Have a delivery refused, to be tried again after an hour or so."""
    send = bench.noting.send

    async def refuse(*given: Any) -> Outcome:
        await send(*given)
        bench.monkeypatch.setattr(bench.noting, "send", send)
        return Outcome(0.0, 500)

    bench.monkeypatch.setattr(bench.noting, "send", refuse)
    bench.publish(bench.kept.line("a"))
    await bench.until(lambda: bool(log.next_tries(bench.kept.database).get("one")))
    await bench.until(lambda: "one" in bench.dispatcher._timers)


async def refuse_first_by_the_clock(bench: Bench) -> Clock:
    """Plan the first delivery's retry by a clock that the test may change, and return that clock."""
    clock = Clock()
    bench.fails = True
    bench.monkeypatch.setattr(dispatchers, "time", clock)
    bench.monkeypatch.setattr(dispatchers, "CLOCK_SECONDS", 0.01)
    await asyncio.sleep(0)
    await refuse_first(bench)
    return clock


@in_a_loop
async def test_a_clock_that_is_set_back_makes_no_retry_wait_longer(bench: Bench) -> None:
    clock = await refuse_first_by_the_clock(bench)
    planned = log.next_tries(bench.kept.database)["one"]
    clock.ahead = -86_400.0
    await bench.until(lambda: bool(bench.reports))
    assert abs(log.next_tries(bench.kept.database)["one"] - (planned - 86_400)) < 60
    assert "the system's clock was changed by -86400 s" in bench.reports[0]


@in_a_loop
async def test_a_clock_that_is_set_ahead_brings_what_is_due(bench: Bench) -> None:
    clock = await refuse_first_by_the_clock(bench)
    clock.ahead = 86_400.0
    await bench.until(lambda: len(bench.noting.sent) == 2)
