"""Sends pending deliveries, lane by lane and in order, from one event loop.

    a page -> Store.take --+
    due lanes -> log.due --+-> a coroutine per lane -> Sender -> outcomes -> Store.record -> the lane is free again

What a page brings to endpoints that keep up is sent as it was stored, without reading it again. A lane stays busy until
its outcomes are written, so nothing that was sent is loaded again. Only deliveries that are about to be sent are in
memory. Nothing else combines the state of the database with the requests in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
import uuid
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.outlets.webhooks import log, retries, signing
from streaming_hub.outlets.webhooks.endpoints import DELIVERED, FAILED, PENDING, body_of, key_of
from streaming_hub.outlets.webhooks.messages import Ended, Tried
from streaming_hub.outlets.webhooks.schedule import PER_ENDPOINT, Schedule, Standing
from streaming_hub.outlets.webhooks.sender import HEADERS
from streaming_hub.sidecar.database import Away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from streaming_hub.outlets.webhooks.endpoints import Endpoint
    from streaming_hub.outlets.webhooks.messages import Queued, Taken
    from streaming_hub.outlets.webhooks.sender import Outcome, Sender
    from streaming_hub.outlets.webhooks.store import Store
    from streaming_hub.sidecar.database import Database

TEST_TYPE: Final = "webhook.test"
AWAY_SECONDS: Final = 1.0
"""Seconds until the database is tried again."""
FAILED_SECONDS: Final = 5.0
"""Seconds to wait after outcomes could not be written; then their deliveries are sent again."""
BATCH: Final = 50
"""Maximum number of endpoints per look at the database."""
DOUBTFUL_BATCH: Final = 20
DOUBTFUL_LANES: Final = 2
"""Maximum number of endpoints that are not known to work, and of the lanes of each, that are started per look: working
ones wait for few of them."""
FAILING_PER_SECOND: Final = 200
"""Maximum number of lanes per second that are started of all failing endpoints. Thousands of requests that lead nowhere
would take the processor from those that arrive."""
MOST_OUTCOMES: Final = 500
"""Maximum number of outcomes per transaction."""
CLOCK_SECONDS: Final = 5.0
"""How often the system's clock is compared with the monotonic one."""
CLOCK_CHANGE: Final = 1.0
"""Seconds by which they may differ in that time: a clock that is only corrected (NTP slews it) differs by less."""
MOST_ATTEMPTS: Final = 50
"""How many attempts of a delivery the log shows, the newest."""


class Dispatcher:
    """See the module. All methods run in the event loop.

    Args:
        store: writes; used only in `writer`.
        database: read only in `readers`.
        sender: sends.
        writer: one thread.
        readers: some threads.
        waits: STREAM_WEBHOOK_RETRIES, seconds.
        total: maximum number of requests at a time, for all endpoints.
        report: writes a line to the log: level and text.

    Attributes:
        counts: attempts and deliveries since the start, by outcome.
    """

    def __init__(
        self,
        store: Store,
        database: Database,
        sender: Sender,
        *,
        writer: Executor,
        readers: Executor,
        waits: Sequence[float],
        total: int,
        report: Callable[[str, str], None],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._store = store
        self._database = database
        self._sender = sender
        self._writer = writer
        self._readers = readers
        self._waits = waits
        self._report = report
        self._schedule = Schedule(total)
        self._loop = asyncio.get_running_loop()
        self._runs: dict[tuple[str, str], deque[Queued]] = {}
        self._due: dict[Standing, dict[str, None]] = {standing: {} for standing in Standing}
        """Endpoints to check: those that work come first."""
        self._looked_at: frozenset[str] = frozenset()
        """Endpoints whose due lanes are being loaded: what a page brings them may be among them."""
        self._became_due = asyncio.Event()
        self._gone: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._outcomes: deque[Tried | Ended] = deque()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._recorder = asyncio.create_task(self._record_all())
        self._starter = asyncio.create_task(self._start_all())
        self._clock = asyncio.create_task(self._follow_clock())

    def due(self, endpoints: Iterable[str]) -> None:
        """Check these endpoints for deliveries that are due."""
        for name in endpoints:
            self._due[self._schedule.standing(name)][name] = None
        self._became_due.set()

    def take(self, taken: Taken) -> None:
        """Send what a page has brought: at once where an endpoint works and keeps up, else when it is due."""
        due = set(taken.endpoints)
        if taken.erasures == self._store.erasures:
            for name, lanes in taken.fresh.items():
                ready = self._schedule.standing(name) is Standing.WORKING and name not in self._looked_at
                if ready and self._active(name) is not None and self._begin(name, lanes) == len(lanes):
                    due.discard(name)
        self.due(due)

    async def wake_all(self) -> None:
        """Schedule every endpoint's next delivery.

        Raises:
            Away: the database cannot be read.
        """
        tries = await self._loop.run_in_executor(self._readers, log.next_tries, self._database)
        for endpoint, at in tries.items():
            self._wait(endpoint, at)

    def purge(
        self, *, room: str | None = None, session_id: str | None = None, rooms: list[str] | None = None
    ) -> None:
        """Drop a room's or a session's deliveries from memory; requests in flight may finish."""
        lanes = None if rooms is None else {key_of(one) for one in rooms}
        for (_, lane), queued in self._runs.items():
            if room is not None:
                kept = [] if lane == key_of(room) else list(queued)
            elif lanes is not None and lane not in lanes:
                continue
            else:
                kept = [one for one in queued if one.session != key_of(session_id)]
            if len(kept) != len(queued):
                queued.clear()
                queued.extend(kept)

    async def test(self, endpoint: Endpoint) -> Outcome:
        """Send a test to an endpoint, now and once."""
        body = body_of(TEST_TYPE, time.time(), 0.0, b"{}")
        headers = self._headers(endpoint, f"test_{uuid.uuid4()}", body)
        return await self._sender.send(endpoint.url, body, headers)

    async def stop(self, seconds: float) -> None:
        """Start no more requests, wait for those in flight, and write their outcomes."""
        self._stopping = True
        self._starter.cancel()
        self._clock.cancel()
        for timer in self._timers.values():
            timer.cancel()
        for queued in self._runs.values():
            queued.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, self._starter, self._clock, return_exceptions=True)
        self._news.set()
        await self._recorder
        await self._sender.close()

    async def _start_all(self) -> None:
        """Start the lanes of endpoints that are due, a batch of endpoints at a time."""
        rests_until = 0.0
        while True:
            if names := self._next_due(BATCH, Standing.WORKING):
                await self._start_safely(names, PER_ENDPOINT)
                continue
            if names := self._next_due(DOUBTFUL_BATCH, Standing.UNPROVEN):
                await self._start_safely(names, DOUBTFUL_LANES)
                continue
            rested = self._loop.time() >= rests_until
            if rested and (names := self._next_due(DOUBTFUL_BATCH, Standing.FAILING)):
                started = await self._start_safely(names, DOUBTFUL_LANES)
                rests_until = self._loop.time() + started / FAILING_PER_SECOND
                continue
            self._became_due.clear()
            until = rests_until if self._due[Standing.FAILING] else None
            with contextlib.suppress(TimeoutError):  # the pause of failing endpoints is over
                async with asyncio.timeout_at(until):
                    await self._became_due.wait()

    def _next_due(self, most: int, standing: Standing) -> list[str]:
        some = self._due[standing]
        names = list(itertools.islice(some, most))
        for name in names:
            del some[name]
        return names

    async def _start_safely(self, names: Sequence[str], most: int) -> int:
        """Start lanes as `_start_lanes` does; if that fails, try again later."""
        try:
            return await self._start_lanes(names, most)
        except Away:
            pause = AWAY_SECONDS
        except Exception as error:  # noqa: BLE001 - reported; tried again
            self._report("error", f"unexpected error: deliveries could not be started; retrying: {error!r}")
            pause = FAILED_SECONDS
        for name in names:
            self._wait(name, time.time() + pause)
        return 0

    async def _start_lanes(self, names: Sequence[str], most: int) -> int:
        """Start the lanes of these endpoints that are due, as far as they may run; return how many were started.

        Args:
            names: the endpoints.
            most: maximum number of lanes for each of them.
        """
        slots: dict[str, log.Slots] = {}
        for name in names:
            endpoint = self._active(name)
            if endpoint is None:
                continue
            if endpoint.failing_since is not None:
                self._schedule.note(name, Standing.FAILING)
            elif self._schedule.standing(name) is Standing.FAILING:
                # It was enabled again.
                self._schedule.note(name, Standing.UNPROVEN)
            free = self._schedule.free(name)
            if free:
                slots[name] = log.Slots(self._schedule.busy(name), min(free, most))
        if not slots:
            return 0
        erasures = self._store.erasures
        ask = partial(log.due, self._database, slots, time.time())
        self._looked_at = frozenset(slots)
        try:
            found = await self._loop.run_in_executor(self._readers, ask)
        finally:
            self._looked_at = frozenset()
        if erasures != self._store.erasures:
            # It may contain deliveries that have been erased in the meantime.
            self.due(slots)
            return 0
        self.due(name for name, due in found.items() if len(due.lanes) == most < PER_ENDPOINT)
        for name, due in found.items():
            if due.next_try is not None:
                self._wait(name, due.next_try)
        return sum(self._begin(name, due.lanes) for name, due in found.items())

    def _begin(self, name: str, lanes: Mapping[str, Sequence[Queued]]) -> int:
        """Start an endpoint's lanes; return how many."""
        begun = 0
        busy = self._schedule.busy(name)
        for lane, queued in lanes.items():
            # Others may have used up the requests; the schedule wakes it when a lane ends.
            if not self._schedule.free(name):
                break
            if lane in busy:
                continue
            self._schedule.begin(name, lane)
            self._runs[name, lane] = deque(queued)
            task = asyncio.create_task(self._run(name, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            begun += 1
        return begun

    def _wait(self, name: str, at: float) -> None:
        """Check an endpoint at a time (seconds since 1970), unless it is due earlier."""
        when = self._loop.time() + max(0.0, at - time.time())
        timer = self._timers.get(name)
        if timer is not None:
            if timer.when() <= when and not timer.cancelled():
                return
            timer.cancel()
        self._timers[name] = self._loop.call_at(when, self._ring, name)

    async def _follow_clock(self) -> None:
        """Keep the waits as long as they were planned when the system's clock is changed.

        The database has times of the system's clock, as only these survive a restart. Set back, it would make every
        retry wait for as much longer. Set ahead, or after the machine has slept, retries are due that timers of the
        monotonic clock do not know of.
        """
        ahead = time.time() - self._loop.time()
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            now_ahead = time.time() - self._loop.time()
            change = now_ahead - ahead
            if abs(change) < CLOCK_CHANGE:
                continue
            try:
                if change < 0:
                    shift = partial(self._store.shift_tries, change)
                    await self._loop.run_in_executor(self._writer, shift)
                    ahead = now_ahead
                await self.wake_all()
            except Away:
                # The change is found again next time.
                continue
            except Exception as error:  # noqa: BLE001 - reported; tried again
                self._report("error", f"unexpected error: retries could not be moved; retrying: {error!r}")
                continue
            ahead = now_ahead
            self._report("warning", f"webhooks: the system's clock was changed by {change:+.0f} s")

    def _ring(self, name: str) -> None:
        self._timers.pop(name, None)
        self.due([name])

    async def _run(self, name: str, lane: str) -> None:
        """Send a lane's deliveries one by one until one has to wait."""
        queued = self._runs[name, lane]
        try:
            while queued and (endpoint := self._active(name)) is not None:
                one = queued.popleft()
                headers = self._headers(endpoint, one.event_id, one.body)
                outcome = await self._sender.send(endpoint.url, one.body, headers)
                request = {"url": endpoint.url, "headers": HEADERS | headers}
                tried = self._judge(name, lane, one, outcome, request)
                self._outcomes.append(tried)
                self._news.set()
                if tried.state == PENDING:
                    return
        except Exception as error:  # noqa: BLE001 - reported; tried again
            self._report("error", f"unexpected error: a delivery failed; retrying: {error!r}")
            await asyncio.sleep(FAILED_SECONDS)
        finally:
            self._runs.pop((name, lane), None)
            self._outcomes.append(Ended(name, lane))
            self._news.set()

    def _active(self, name: str) -> Endpoint | None:
        endpoint = self._store.endpoints.get(name)
        if endpoint is None or not endpoint.enabled or name in self._gone:
            return None
        return endpoint

    @staticmethod
    def _headers(endpoint: Endpoint, message_id: str, body: bytes) -> dict[str, str]:
        now = time.time()
        return signing.headers(message_id, body, endpoint.keys(now), now)

    def _judge(self, name: str, lane: str, one: Queued, outcome: Outcome, request: dict[str, Any]) -> Tried:
        now = time.time()
        attempt = {
            "at": now - outcome.duration,
            "status": outcome.status,
            "duration": outcome.duration,
            "answer": outcome.answer,
            "error": outcome.error,
            "request": request,
        }
        attempts = [*one.attempts, attempt]
        gone = outcome.status == retries.GONE
        state, wait = DELIVERED, None
        # A response that broke off after a 2xx status is not a success: the receiver may have failed.
        if outcome.error is not None or not retries.delivered(outcome.status):
            wait = retries.wait(
                len(attempts),
                outcome.status,
                outcome.retry_after,
                waits=self._waits,
                now=now,
                chance=random.random(),
            )
            if gone and wait is None:
                wait = 0.0
            state = FAILED if wait is None else PENDING
        if gone:
            self._gone.add(name)
        self.counts["attempts"] += 1
        if state != PENDING:
            self.counts[state] += 1
        return Tried(
            endpoint=name,
            lane=lane,
            delivery=one.id,
            size=one.size,
            state=state,
            attempts=attempts[-MOST_ATTEMPTS:],
            next_try=None if wait is None else now + wait,
            gone=gone,
        )

    async def _record_all(self) -> None:
        """Write outcomes in batches."""
        while not (self._stopping and not self._tasks and not self._outcomes):
            if not self._outcomes:
                self._news.clear()
                await self._news.wait()
                continue
            some = [self._outcomes.popleft() for _ in range(min(MOST_OUTCOMES, len(self._outcomes)))]
            while True:
                try:
                    disabled = await self._loop.run_in_executor(self._writer, self._store.record, some)
                except Away:
                    if self._stopping:
                        return
                    await asyncio.sleep(AWAY_SECONDS)
                except Exception as error:  # noqa: BLE001 - reported; the deliveries are sent again
                    self._report(
                        "error", f"unexpected error: outcomes could not be written; retrying: {error!r}"
                    )
                    await asyncio.sleep(FAILED_SECONDS)
                    self._recorded(some, set(), written=False)
                    break
                else:
                    self._recorded(some, disabled, written=True)
                    break

    def _recorded(self, outcomes: list[Tried | Ended], disabled: set[str], *, written: bool) -> None:
        for name in disabled:
            self._report("warning", f"webhooks: the endpoint {name} is disabled; its `reason` says why")
        for one in outcomes:
            if isinstance(one, Tried):
                if one.gone:
                    self._gone.discard(one.endpoint)
                if one.next_try is not None:
                    self._wait(one.endpoint, one.next_try)
                self._schedule.note(
                    one.endpoint, Standing.WORKING if one.state == DELIVERED else Standing.FAILING
                )
            else:
                self.due(self._schedule.end(one.endpoint, one.lane))
                # What is stored after this is announced by itself.
                if not written or self._store.held(one.endpoint):
                    self.due([one.endpoint])
