"""A server killed under load: nothing acknowledged is lost, and no client gets an event twice."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.faults.crowd import Client, Crowd
from tests.faults.publishers import Line, Publisher, assert_all_right, assert_all_stored
from tests.kit.hub import Hub
from tests.kit.wait import let_pass, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CRASHES = 12
RACED, RACERS = 600, 8
STORM = 1000


def assert_whole(database: Path) -> None:
    """Check the file that a killed server left, as another program sees it."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def assert_batches_are_whole(database: Path, batches: dict[str, int]) -> None:
    """Check that no batch was stored in part, before the rest can be sent again."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        for room, size in batches.items():
            (count,) = db.execute("SELECT count(*) FROM events WHERE room = ?", (room,)).fetchone()
            assert count % size == 0, f"{count} events of batches of {size}"


def have_published(publishers: list[Publisher], counts: list[int]) -> bool:
    return all(len(publisher.ids) > count for publisher, count in zip(publishers, counts, strict=True))


def are_back(clients: list[Client], connections: list[int]) -> bool:
    return all(
        client.connections > count and client.is_open
        for client, count in zip(clients, connections, strict=True)
    )


def test_crash_loops_under_load(tmp_path: Path) -> None:
    chance = random.Random(11)  # a seed, so that a failure can be repeated
    with (
        Hub(tmp_path) as server,
        Crowd(server.host, server.port) as crowd,
        contextlib.ExitStack() as stack,
    ):
        crowd.add(20, name="whole")
        crowd.add(5, "?room=b", name="filtered", whole=False)
        crowd.until_open()
        publishers = [
            stack.enter_context(Publisher(server, name, batch=batch, pause=0.002))
            for name, batch in (("a", 1), ("b", 1), ("c", 7), ("d", 50))
        ]
        for crash in range(CRASHES):
            if crash % 2:
                # All have reconnected, so each has one more connection; the other crashes catch some in between.
                until(partial(are_back, crowd.clients, [crash // 2] * len(crowd.clients)), 60)
            let_pass(chance.uniform(0.02, 1.0))
            server.kill()
            assert_whole(server.database)
            assert_batches_are_whole(server.database, {"c": 7, "d": 50})
            server.start()
            until(partial(have_published, publishers, [len(publisher.ids) for publisher in publishers]), 30)
        for publisher in publishers:
            publisher.stop()
        crowd.until_at(max(publisher.head for publisher in publishers), crowd.clients[:20])
        crowd.until_at(publishers[1].head, crowd.clients[20:])

        assert_all_right(publishers, crowd.errors())
        assert_all_stored(server, publishers)
        assert sum(publisher.broken for publisher in publishers) >= CRASHES
        for client in crowd.clients:
            assert client.checker.resets == []
            assert client.connections > CRASHES // 2
        for client in crowd.clients[:20]:
            # There are no other publishers: what was lost on the way to the publisher was sent again under its old id.
            assert client.checker.numbers == {p.name: len(p.ids) - 1 for p in publishers}
            assert client.checker.received == sum(len(p.ids) for p in publishers)
        for client in crowd.clients[20:]:
            assert client.checker.numbers == {"b": len(publishers[1].ids) - 1}


class Racer:
    """A thread that publishes what others publish at the same time: singly, and in batches that mix new and known."""

    def __init__(self, server: Hub, seed: int, start: threading.Barrier) -> None:
        self.line = Line(server)
        self.ids: dict[int, set[str]] = {}
        self.new = 0
        self.reached = 0
        self._chance = random.Random(seed)
        self._start = start
        self.thread = threading.Thread(target=self._race, daemon=True)
        self.thread.start()

    def _race(self) -> None:
        self._start.wait()
        while self.reached < RACED:
            first = max(0, self.reached - self._chance.choice([0, 5]))
            last = min(RACED, self.reached + self._chance.choice([1, 1, 3, 20]))
            self.publish(list(range(first, last)))
            self.reached = last

    def publish(self, numbers: list[int]) -> None:
        events = [{"type": "test", "n": n, "p": "racer", "event_id": f"same-{n}"} for n in numbers]
        ids, known = self.line.publish(events, single=len(events) == 1)
        self.new += len(ids) - known
        for number, event_id in zip(numbers, ids, strict=True):
            self.ids.setdefault(number, set()).add(event_id)


def test_racing_duplicates_get_one_id_across_a_crash(tmp_path: Path) -> None:
    with Hub(tmp_path) as server, Crowd(server.host, server.port) as crowd:
        crowd.add(3)
        crowd.until_open()
        start = threading.Barrier(RACERS)
        racers = [Racer(server, seed, start) for seed in range(RACERS)]
        until(lambda: min(racer.reached for racer in racers) > RACED // 3)
        server.kill()
        server.start()
        for racer in racers:
            racer.thread.join(60)
        for racer in racers:
            racer.publish(list(range(RACED)))
        told = [set().union(*(racer.ids[number] for racer in racers)) for number in range(RACED)]
        crowd.until_at(RACED)
        stored = [event["id"] for event in server.stored()]

        assert [error for racer in racers for error in racer.line.errors] == []
        assert [ids for ids in told if len(ids) != 1] == []
        assert sorted(stored) == sorted(event_id for ids in told for event_id in ids)
        # What the crash cut off was stored without an answer: at most one batch per racer.
        assert RACED - RACERS * 25 <= sum(racer.new for racer in racers) <= RACED
        assert [client.checker.received for client in crowd.clients] == [RACED] * 3
        assert sum(racer.line.broken for racer in racers) > 0


@pytest.mark.parametrize("storm", range(2))
def test_a_thousand_clients_come_back_at_once_and_miss_nothing(tmp_path: Path, storm: int) -> None:
    """Those of the first round resume by id, with events published meanwhile; those of the second ask for a replay."""
    with Hub(tmp_path) as server, Crowd(server.host, server.port) as crowd:
        with Publisher(server, "before", batch=50, count=400) as before:
            before.finish()
        clients = crowd.add(STORM, "?replay=200" if storm else "", name="storm")
        crowd.until_open()
        for round_ in range(2):
            server.kill()
            server.start()
            with Publisher(server, f"during {round_}", batch=5, count=200) as during:
                during.finish()
                crowd.until_at(during.head, seconds=60)
            assert_all_right([during], crowd.errors())
        expected = 400 + (200 if storm else 0)
        assert {client.checker.received for client in clients} == {expected}
        assert all(client.connections >= 3 and not client.checker.resets for client in clients)


def test_a_thousand_clients_that_are_cut_off_resume_from_the_file(tmp_path: Path) -> None:
    """The server keeps running, and they missed more than its memory holds."""
    changes = {"streaming_hub.history.sqlite:RECENT_BYTES": 20_000}
    with (
        Hub(tmp_path, changes=changes) as server,
        Crowd(server.host, server.port) as crowd,
        Publisher(server, "always", batch=2, pause=0.05, size=200) as publisher,
    ):
        clients = crowd.add(STORM, name="storm")
        crowd.until_open()
        floods = []
        for round_ in range(2):
            connections = [client.connections for client in clients]
            crowd.cut(clients)
            with Publisher(server, f"flood {round_}", batch=100, size=200, count=300) as flood:
                flood.finish()
            floods.append(flood)
            until(partial(are_back, clients, connections), 60)
        publisher.stop()
        crowd.until_at(publisher.head)

        assert_all_right([publisher, *floods], crowd.errors())
        assert_all_stored(server, [publisher, *floods])
        assert all(client.checker.resets == [] for client in clients)
