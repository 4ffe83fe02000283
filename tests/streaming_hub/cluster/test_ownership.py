"""One contract for leases in memory and in Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from streaming_hub.cluster.ownership import Ownership, RedisLeases
from streaming_hub.cluster.server import Server
from tests.kit.leases import MemoryLeases
from tests.kit.redis_server import RedisServer
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming_hub.cluster.ownership import Leases


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(params=["memory", "redis"])
def leases(request: pytest.FixtureRequest) -> Leases:
    if request.param == "memory":
        return MemoryLeases()
    redis_server: RedisServer = request.getfixturevalue("redis_server")
    return RedisLeases(Server(redis_server.url, request.node.name))


def now() -> float:
    return time.monotonic()


def test_one_node_has_it_and_renews_it(leases: Leases) -> None:
    assert leases.owner("x", now()) is None
    assert leases.acquire("x", "a", 60, now())
    assert not leases.acquire("x", "b", 60, now())
    assert leases.acquire("x", "a", 60, now())
    assert leases.owner("x", now()) == "a"
    assert leases.acquire("y", "b", 60, now())


def test_another_one_has_it_once_it_is_given_back(leases: Leases) -> None:
    assert leases.acquire("x", "a", 60, now())
    leases.release("x", "b")
    assert leases.owner("x", now()) == "a"
    leases.release("x", "a")
    assert leases.owner("x", now()) is None
    assert leases.acquire("x", "b", 60, now())
    leases.release("x", "a")
    assert leases.owner("x", now()) == "b"


def test_another_one_has_it_once_it_has_run_out(leases: Leases) -> None:
    assert leases.acquire("x", "a", 0.3, now())
    until(lambda: leases.acquire("x", "b", 60, now()), 20)
    assert leases.owner("x", now()) == "b"
    assert not leases.acquire("x", "a", 60, now())


def test_an_owner_stops_before_another_one_can_begin(leases: Leases) -> None:
    mine = Ownership(leases, "x", "a", 10.0, margin=2.0)
    other = Ownership(leases, "x", "b", 10.0, margin=2.0)
    begun = now()
    assert mine.hold(begun)
    assert mine.held(begun + 7.9)
    assert not mine.held(begun + 8.1)
    assert not other.hold(begun)
    assert not other.held(begun)
    mine.yield_to_others(begun)
    assert not mine.held(begun)
    mine.look(begun + 1)
    assert not mine.held(begun + 1)
    other.look(begun + 1)
    assert other.held(begun + 1)
    other.wanted = False
    other.release()
    other.look(begun + 2)
    assert not other.held(begun + 2)


def test_an_owner_that_cannot_renew_keeps_what_it_has_until_it_runs_out(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = RedisServer(tmp_path_factory.mktemp("gone"))
    mine = Ownership(RedisLeases(Server(server.url, "p")), "x", "a", 10.0, margin=2.0)
    begun = now()
    assert mine.hold(begun)
    server.stop()
    assert mine.hold(begun + 5)
    assert not mine.hold(begun + 9)
    mine.release()
    assert not mine.held(begun + 1)
