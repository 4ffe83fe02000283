"""Clocks that are set while nodes run: a node's, and the server's. Nothing but the time of day changes."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.nodes import assert_nothing_was_missed, health, published, redis_at, two_nodes, until_more
from tests.kit.fake_time import FakeTime
from tests.kit.process import ROOT
from tests.kit.wait import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

HOUR = 3600.0
AGENT = [sys.executable, str(ROOT / "tests/streaming_hub/agents/fake_agent.py"), "ready", "drain"]


def test_a_nodes_clock_is_set_back_and_forth(tmp_path: Path) -> None:
    fake = FakeTime(tmp_path / "clock")
    aged = {"STREAM_HISTORY_MAX_AGE": "600"}
    with (
        redis_at(tmp_path) as redis,
        two_nodes(tmp_path, redis.url, of_a=fake.environment, pause=0.01, batch=3, **aged) as (
            a,
            b,
            crowds,
            publishers,
        ),
    ):
        at_b = crowds[1]
        for step in (2 * HOUR, -2 * HOUR, 24 * HOUR, 0.0):
            fake.step(step)
            until_more(publishers, 50)
            stamped = published(a, {"type": "stamped"})["id"]
            found = next(event for event in b.stored() if event["id"] == stamped)
            assert abs(found["timestamp"] - time.time()) < 60, "the hub's clock is the server's"
            ticket = a.json("POST", "/api/stream/ticket")["ticket"]
            opened = at_b.add(1, f"?ticket={ticket}", name="ticket", whole=False, resumes=False)
            at_b.until_open(opened)
            at_b.leave(opened)
        # By the clock of `a`, all of it was too old at times.
        assert_nothing_was_missed(publishers, crowds, b)
        stored = [event for event in b.stored() if event["type"] == "test"]
        assert len(stored) == sum(len(publisher.ids) for publisher in publishers)


def test_the_servers_clock_is_set_back_and_forth(tmp_path: Path) -> None:
    """What its leases and signs of life look like then: they end at a time of day."""
    with (
        redis_at(tmp_path) as redis,
        two_nodes(tmp_path, redis.url, pause=0.01, batch=3, agent=AGENT) as (a, b, crowds, publishers),
    ):
        a.json("POST", "/api/agent/start", {"mode": "rehearsal", "wait": 20})
        published(a, {"type": "session_started", "session_id": "kept", "room": "r", "lease": 60})
        until(lambda: redis.call("ZCARD", "{hub}:nodes") == 2, 20)
        for ahead in (HOUR, -HOUR) * 2:
            now = int(redis.call("TIME")[0]) * 1000
            for name in ("a", "b"):
                redis.call("ZADD", "{hub}:nodes", int(now - ahead * 1000), name)
            for key in redis.call("KEYS", "{hub}:lease:*"):
                redis.call("PEXPIRE", key, int(max(1, 8000 - ahead * 1000)))
            until_more(publishers, 50)
            until(lambda: redis.call("ZCARD", "{hub}:nodes") == 2, 20)
            assert a.json("DELETE", "/api/rooms/none/events")["erased"] == 0
            for server in (a, b):
                until(lambda server=server: health(server)["history"] == "ok", 20)
        assert_nothing_was_missed(publishers, crowds, b)
        # No session of a node ends for it. The agent may have changed hands, and one node runs it.
        ends = [event for event in b.stored() if event["type"] == "session_ended"]
        assert ends == []

        def one_agent() -> bool:
            told = [server.json("GET", "/api/agent/status") for server in (a, b)]
            return {one["state"] for one in told} == {"ready"} and told[0]["pid"] == told[1]["pid"]

        until(one_agent, 30, what=lambda: a.log + b.log)
        # No node waits an hour for one that died with such a lease.
        owner = b.json("GET", "/api/agent/status")["node"]
        dead, alive = (a, b) if owner == "a" else (b, a)
        dead.kill()
        redis.call("PEXPIRE", "{hub}:lease:agent", 3_600_000)
        redis.call("ZADD", "{hub}:nodes", (int(redis.call("TIME")[0]) + 3600) * 1000, dead.folder.name)
        until(
            lambda: alive.json("GET", "/api/agent/status")["node"] == alive.folder.name,
            60,
            what=lambda: alive.log,
        )
        until(lambda: redis.call("ZRANGE", "{hub}:nodes", 0, -1) == [alive.folder.name], 30)
        assert alive.json("POST", "/api/agent/stop")["state"] == "stopped"
