"""Several nodes on one real redis-server while nodes and server fail: nothing is lost silently, nothing comes twice."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.crowd import Crowd
from tests.faults.nodes import (
    assert_nothing_was_missed,
    health,
    node,
    published,
    redis_at,
    two_nodes,
    until_all_at,
    until_away,
    until_more,
    until_ok,
)
from tests.faults.publishers import Publisher, assert_all_right, assert_all_stored
from tests.kit.tcp_proxy import Proxy
from tests.kit.wait import let_pass, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

AOF = {"appendonly": "yes", "appendfsync": "always"}


def test_nodes_are_killed_under_load_and_clients_continue_at_another(tmp_path: Path) -> None:
    chance = random.Random(5)
    with (
        redis_at(tmp_path) as redis,
        node(tmp_path, "a", redis.url) as a,
        node(tmp_path, "b", redis.url) as b,
        Proxy([a.port, b.port]) as balancer,
        Crowd("127.0.0.1", balancer.port) as crowd,
        contextlib.ExitStack() as stack,
    ):
        crowd.add(20, name="whole")
        crowd.add(5, "?room=b", name="filtered", whole=False)
        crowd.until_open()
        publishers = [
            stack.enter_context(Publisher(server, name, batch=batch, pause=0.004))
            for server, name, batch in ((a, "a", 1), (b, "b", 7), (a, "c", 3))
        ]
        for turn in range(6):
            victim = (a, b)[turn % 2]
            let_pass(chance.uniform(0.2, 0.8))
            victim.kill()
            let_pass(chance.uniform(0.1, 0.5))
            victim.start()
            until_more(publishers)
        for publisher in publishers:
            publisher.stop()
        crowd.until_at(max(publisher.head for publisher in publishers))
        assert_all_right(publishers, crowd.errors())
        assert not [client.checker.resets for client in crowd.clients if client.checker.resets]
        for server in (a, b):
            assert_all_stored(server, publishers)


def test_redis_is_killed_under_load_and_comes_back_with_everything(tmp_path: Path) -> None:
    with (
        redis_at(tmp_path, **AOF) as redis,
        two_nodes(tmp_path, redis.url, whole=10, pause=0.004, batch=5) as (a, b, crowds, publishers),
    ):
        for _ in range(3):
            let_pass(0.5)
            redis.kill()
            until_away(a, b)
            status, headers, body = a.request("POST", "/api/agent/data", {"type": "x"})
            assert (status, "retry-after" in headers) == (503, True), body
            assert a.request("GET", "/api/events")[0] == 503
            assert health(a)["reason"]
            redis.start()
            until_ok(a, b)
            until_more(publishers)
        assert_nothing_was_missed(publishers, crowds, a)


def test_a_server_that_hangs_is_noticed_without_traffic_and_new_streams_open(tmp_path: Path) -> None:
    with (
        redis_at(tmp_path) as redis,
        node(tmp_path, "a", redis.url) as a,
        Crowd(a.host, a.port) as crowd,
    ):
        a.json("POST", "/api/agent/data", {"type": "x"})
        crowd.add(3, name="early")
        crowd.until_open()
        begun = time.monotonic()
        redis.pause()
        until_away(a)
        # Three seconds for an answer, one for the read under way, and a busy machine.
        assert time.monotonic() - begun < 15
        asked = time.monotonic()
        assert a.request("POST", "/api/agent/data", {"type": "x"})[0] == 503
        assert time.monotonic() - asked < 5
        late = crowd.add(3, name="late")
        resumed = crowd.add(1, f"?last_event_id={crowd.clients[0].checker.last_id}", name="resumed")
        crowd.until_open()
        beats = [client.checker.heartbeats for client in crowd.clients]
        until(
            lambda: all(
                client.checker.heartbeats > count for client, count in zip(crowd.clients, beats, strict=False)
            ),
            20,
        )
        redis.resume()
        until_ok(a)
        seq = int(a.json("POST", "/api/agent/data", {"type": "y"})["id"].split("-")[1])
        crowd.until_at(seq)
        assert crowd.errors() == []
        assert {client.connections for client in (*late, *resumed)} == {1}


@pytest.mark.parametrize("way", ["flushed", "older"])
def test_redis_comes_back_with_less(tmp_path: Path, way: str) -> None:
    with (
        redis_at(tmp_path) as redis,
        two_nodes(tmp_path, redis.url, filtered="?room=none") as (a, b, crowds, _),
    ):
        first = a.json("POST", "/api/agent/data", {"type": "kept", "event_id": "kept"})["id"]
        redis.call("SAVE")
        last = b.json("POST", "/api/agent/data", {"type": "lost", "event_id": "lost"})["id"]
        for crowd in crowds:
            crowd.until_at(2, [client for client in crowd.clients if not client.name.startswith("f")])
        if way == "flushed":
            redis.call("FLUSHALL")
        else:
            redis.kill()
            redis.start()
        for crowd in crowds:
            until(
                lambda crowd=crowd: all(c.checker.resets == ["history_lost"] for c in crowd.clients),
                20,
                what=lambda crowd=crowd: [c.checker.resets for c in crowd.clients] + [a.log, b.log],
            )
        until_ok(a, b)
        again = b.json("POST", "/api/agent/data", {"type": "lost", "event_id": "lost"})
        assert again["id"].split("-")[0] != first.split("-")[0]
        assert "duplicate" not in again
        kept = a.json("POST", "/api/agent/data", {"type": "kept", "event_id": "kept"})
        assert kept.get("duplicate", False) is (way == "older")
        for crowd in crowds:
            crowd.until_at(2, [c for c in crowd.clients if not c.name.startswith("f")])
        assert [error for crowd in crowds for error in crowd.errors()] == []
        # Surviving events are not sent again.
        survived = 1 if way == "older" else 0
        whole = [c for crowd in crowds for c in crowd.clients if c.name.startswith("w")]
        assert {c.checker.received for c in whole} == {3 if survived else 4}
        stored = [event["type"] for event in a.stored()]
        assert stored == (["kept", "lost"] if survived else ["lost", "kept"])
        # A client of the old epoch that comes now learns of the loss, and continues where the survivors end.
        back = crowds[1].add(1, f"?last_event_id={last}", name="back")[0]
        until(lambda: back.checker.received >= 1, 20)
        assert back.checker.resets == ["history_lost" if survived else "foreign"]


def test_full_memory_is_reported_and_ends(tmp_path: Path) -> None:
    with redis_at(tmp_path) as redis, node(tmp_path, "a", redis.url) as a, Crowd(a.host, a.port) as crowd:
        crowd.add(2, name="whole")
        crowd.until_open()
        a.json("POST", "/api/agent/data", {"type": "x"})
        redis.call("CONFIG", "SET", "maxmemory", "1")
        status, _, body = a.request("POST", "/api/agent/data", [{"type": "x"}, {"type": "y"}])
        assert (status, b"out of memory" in body) == (503, True), body
        until_away(a)
        assert "out of memory" in health(a)["reason"]
        assert len(a.stored()) == 1
        redis.call("CONFIG", "SET", "maxmemory", "0")
        until_ok(a)
        a.json("POST", "/api/agent/data", {"type": "z"})
        crowd.until_at(2)
        assert crowd.errors() == []
        assert {client.connections for client in crowd.clients} == {1}


def test_a_slow_and_cut_network_loses_nothing(tmp_path: Path) -> None:
    with (
        redis_at(tmp_path) as redis,
        Proxy([redis.port]) as network,
        two_nodes(tmp_path, redis.url, a_url=f"redis://127.0.0.1:{network.port}/0", pause=0.004) as (
            a,
            b,
            crowds,
            publishers,
        ),
    ):
        network.delay = 0.05
        let_pass(1)
        for _ in range(4):
            network.cut()
            let_pass(0.3)
        network.delay = 0.0
        # A partition: nothing passes, and nothing says so.
        network.passing.clear()
        until_away(a)
        assert health(b)["history"] == "ok"
        until_more(publishers[1:], 10)
        network.passing.set()
        until_ok(a)
        assert_nothing_was_missed(publishers, crowds, b)


def test_a_node_that_lags_past_the_window_tells_exactly_what_it_missed(tmp_path: Path) -> None:
    small = {"STREAM_HISTORY_MAX_EVENTS": "50"}
    with (
        redis_at(tmp_path) as redis,
        Proxy([redis.port]) as network,
        node(tmp_path, "a", f"redis://127.0.0.1:{network.port}/0", **small) as a,
        node(tmp_path, "b", redis.url, **small) as b,
        Crowd(a.host, a.port) as crowd,
    ):
        crowd.add(5, name="whole")
        crowd.until_open()
        b.json("POST", "/api/agent/data", {"type": "x"})
        crowd.until_at(1)
        network.refusing = True
        network.cut()
        until_away(a)
        with Publisher(b, "b", count=200) as publisher:
            publisher.finish()
        network.refusing = False
        until_ok(a)
        crowd.until_at(201)
        # The judge holds `missed` against the numbers: those between 1 and the window's first.
        assert {client.checker.missed for client in crowd.clients} == {201 - 50 - 1}
        assert crowd.errors() == []


def test_a_lagging_replica_is_promoted(tmp_path: Path) -> None:
    with (
        redis_at(tmp_path) as redis,
        redis_at(tmp_path / "other") as replica,
        Proxy([redis.port]) as name,
        Proxy([redis.port]) as replication,
        two_nodes(tmp_path, f"redis://127.0.0.1:{name.port}/0") as (a, b, crowds, _),
    ):
        replica.call("REPLICAOF", "127.0.0.1", replication.port)
        # With its first replica the server has another identity, which the nodes compare first.
        published(a, [{"type": "x", "p": "p", "n": n, "event_id": str(n)} for n in range(5)])
        until(lambda: replica.call("HGET", "{hub}:meta", "head") == "5", 20)
        replication.passing.clear()
        published(b, [{"type": "x", "p": "p", "n": n, "event_id": str(n)} for n in range(5, 9)])
        until_all_at(crowds, 9)
        # The primary is gone, and the name leads to what the replica had.
        redis.kill()
        replica.call("REPLICAOF", "NO", "ONE")
        name.targets = [replica.port]
        name.cut()
        for crowd in crowds:
            until(
                lambda crowd=crowd: all(c.checker.resets == ["history_lost"] for c in crowd.clients),
                20,
                what=lambda: a.log,
            )
        until_ok(a, b)
        # One of them may still wait for the other to compare.
        assert published(a, {"type": "x", "p": "q", "n": 0, "event_id": "q"})["id"].endswith("-6")
        for crowd in crowds:
            until(lambda crowd=crowd: all("q" in c.checker.numbers for c in crowd.clients), 20)
            # 9 of the first epoch, and the new one: what survived is not sent again.
            assert {c.checker.received for c in crowd.clients} == {10}
        assert [error for crowd in crowds for error in crowd.errors()] == []
        assert len(a.stored()) == 6


@pytest.mark.parametrize("key", ["meta", "log", "ids", "notes"])
def test_a_key_of_another_type_is_reported_and_publishing_resumes_without_it(
    tmp_path: Path, key: str
) -> None:
    with redis_at(tmp_path) as redis, node(tmp_path, "a", redis.url) as a:
        first = a.json("POST", "/api/agent/data", {"type": "x", "event_id": "first"})["id"]
        name = f"{{hub}}:{key}"
        # At once, so that the node meets no server without the key.
        redis.call("EVAL", "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'foreign')", 1, name)
        answers: list[tuple[int, dict[str, str], bytes]] = []

        def refused() -> bool:
            answers.append(a.request("POST", "/api/agent/data", {"type": "x", "event_id": f"{len(answers)}"}))
            return answers[-1][0] != 200

        until(refused, 20, what=lambda: a.log)
        status, headers, body = answers[-1]
        assert (status, b"STREAM_REDIS_PREFIX" in body, "retry-after" in headers) == (503, True, True), body
        assert health(a)["history"] == "away"
        redis.call("DEL", name)
        second = published(a, {"type": "x", "event_id": "second"})["id"]
        until_ok(a)
        assert second != first
        assert "unexpected" not in a.log


def test_without_its_head_the_history_goes_on_above_what_it_has(tmp_path: Path) -> None:
    with (
        redis_at(tmp_path) as redis,
        node(tmp_path, "a", redis.url) as a,
        Crowd(a.host, a.port) as crowd,
    ):
        (client,) = crowd.add(1, name="whole")
        crowd.until_open()
        epoch, _, seq = a.json("POST", "/api/agent/data", [{"type": "x"}] * 3)["ids"][-1].rpartition("-")
        crowd.until_at(int(seq))
        redis.call("DEL", "{hub}:meta")
        until(lambda: client.checker.resets == ["history_lost"], 20, what=lambda: a.log)
        other, _, number = published(a, {"type": "y"})["id"].rpartition("-")
        assert other != epoch
        assert int(number) == int(seq) + 1
        assert [event["type"] for event in a.stored()] == ["x", "x", "x", "y"]


@pytest.mark.parametrize("way", [("DEL", "{hub}:log"), ("XTRIM", "{hub}:log", "MAXLEN", 2)])
def test_events_that_something_else_deleted_are_counted(tmp_path: Path, way: tuple[str, ...]) -> None:
    with redis_at(tmp_path) as redis, node(tmp_path, "a", redis.url) as a:
        ids = a.json("POST", "/api/agent/data", [{"type": "x"}] * 9)["ids"]
        redis.call(*way)
        left = redis.call("XLEN", "{hub}:log")
        # A node that has them in memory sends them; this one has to read them.
        with node(tmp_path, "b", redis.url) as b, Crowd(b.host, b.port) as crowd:
            published(a, {"type": "y"})
            assert [event["type"] for event in b.stored()] == ["x"] * left + ["y"]
            (client,) = crowd.add(1, f"?last_event_id={ids[1]}", name="back")
            crowd.until_at(10)
            assert client.checker.resets == ["expired"]
            assert client.checker.missed == 7 - left
            assert client.checker.received == left + 1
