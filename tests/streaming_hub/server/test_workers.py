"""`--workers N`: children on one port are started, replaced and ended. Real processes on a real redis-server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import pytest
import requests

from tests.kit.hub import Hub
from tests.kit.process import is_running
from tests.kit.redis_server import RedisServer
from tests.kit.wait import allowed, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


class Parent(Hub):
    """`flask_server.py --workers N`."""

    def __init__(self, folder: Path, count: int, **more: Any) -> None:
        super().__init__(folder, options=["--workers", str(count)], **more)

    def __enter__(self) -> Self:
        return self.spawn()

    def __exit__(self, *_: object) -> None:
        pids = self.workers()
        self.kill()
        for pid in pids:
            until(lambda pid=pid: not is_running(pid), 20)

    def workers(self) -> list[int]:
        """The children that live."""
        ran = subprocess.run(
            ["ps", "-o", "pid=,stat=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        rows = [line.split(None, 2) for line in ran.stdout.splitlines()]
        return [int(pid) for pid, stat, args in rows if not stat.startswith("Z") and "worker.py" not in args]

    def nodes(self) -> dict[str, str]:
        """Node -> the address of its metrics, from the start lines."""
        return dict(re.findall(r"node (\S+), metrics at (\S+)/metrics", self.log))

    def until_up(self, count: int) -> None:
        until(lambda: len(self.nodes()) >= count, 60, what=lambda: self.log)


def test_each_worker_is_a_node_and_answers_at_its_own_port(redis: RedisServer, tmp_path: Path) -> None:
    settings = {"STREAM_HISTORY": redis.url, "STREAM_REDIS_PREFIX": "own", "STREAM_NODE": "web"}
    with Parent(tmp_path, 2, **settings) as parent:
        parent.until_up(2)
        nodes = parent.nodes()
        assert set(nodes) == {"web-1", "web-2"}
        for name, url in nodes.items():
            assert requests.get(f"{url}/api/health", timeout=20).json()["node"] == name
            assert f'node="{name}"' in requests.get(f"{url}/metrics", timeout=20).text
        # One port, and both answer there in the end.
        seen = set()

        def both() -> bool:
            seen.add(parent.json("GET", "/api/health")["node"])
            return len(seen) == 2

        until(both, 30)
        # Whichever takes the event, a stream at the other one gets it.
        with requests.get(f"{nodes['web-1']}/api/stream", stream=True, timeout=20) as stream:
            lines = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith(b"data: "))
            assert next(lines)["type"] == "connected"
            requests.post(
                f"{nodes['web-2']}/api/agent/data", json={"type": "x"}, timeout=20
            ).raise_for_status()
            assert next(event for event in lines if event["type"] == "x")
        assert parent.log.count("Live page") == 1


def test_a_dead_worker_is_replaced_and_all_end_on_sigterm(redis: RedisServer, tmp_path: Path) -> None:
    with Parent(tmp_path, 2, STREAM_HISTORY=redis.url, STREAM_REDIS_PREFIX="dead") as parent:
        parent.until_up(2)
        before = parent.workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        begun = time.monotonic()
        until(lambda: len(parent.workers()) == 2 and parent.workers() != before, 20, what=lambda: parent.log)
        assert time.monotonic() - begun < allowed(5)
        parent.until_up(3)
        assert "ended by SIGKILL; starting another" in parent.log
        pids = parent.workers()
        with requests.get(f"{parent.url}/api/stream", stream=True, timeout=20) as stream:
            begun = time.monotonic()
            parent.process.terminate()
            assert b"goodbye" in stream.content
        assert parent.process.wait(20) == 0
        assert time.monotonic() - begun < allowed(10)
        assert not [pid for pid in pids if is_running(pid)]


def test_children_end_with_a_parent_that_was_killed(redis: RedisServer, tmp_path: Path) -> None:
    with Parent(tmp_path, 2, STREAM_HISTORY=redis.url, STREAM_REDIS_PREFIX="orphans") as parent:
        parent.until_up(2)
        pids = parent.workers()
        parent.process.kill()
        parent.process.wait()
        until(lambda: not [pid for pid in pids if is_running(pid)], 20)


def test_a_worker_that_cannot_start_ends_all_with_its_sentence(tmp_path: Path) -> None:
    other = RedisServer(tmp_path / "other", maxmemory_policy="allkeys-lru")
    try:
        with Parent(tmp_path, 2, STREAM_HISTORY=other.url) as parent:
            assert parent.wait() == 2
            assert "noeviction" in parent.log
            assert "Traceback" not in parent.log
    finally:
        other.stop()


def test_a_worker_that_cannot_start_again_says_why_and_is_tried_until_it_can(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "other")
    try:
        with Parent(tmp_path, 2, STREAM_HISTORY=server.url) as parent:
            parent.until_up(2)
            server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            until(lambda: "noeviction. Streams stay open" in parent.log, 20, what=lambda: parent.log)
            os.kill(parent.workers()[0], signal.SIGKILL)
            until(lambda: "ended by exit code 2; starting another" in parent.log, 60, what=lambda: parent.log)
            assert "is in use" not in parent.log
            server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
            parent.until_up(3)
    finally:
        server.stop()


def test_a_worker_that_does_not_end_is_killed(redis: RedisServer, tmp_path: Path) -> None:
    with Parent(tmp_path, 2, STREAM_HISTORY=redis.url, STREAM_REDIS_PREFIX="hanging") as parent:
        parent.until_up(2)
        stopped, other = parent.workers()
        os.kill(stopped, signal.SIGSTOP)
        parent.process.terminate()
        assert parent.wait() == 0
        assert "killing workers that did not end" in parent.log
        assert not [pid for pid in (stopped, other) if is_running(pid)]


@pytest.mark.parametrize("history", ["memory://", "sqlite:///data/x.db"])
def test_a_history_that_is_not_shared_refuses_several_workers(tmp_path: Path, history: str) -> None:
    with Parent(tmp_path, 2, STREAM_HISTORY=history) as parent:
        assert parent.wait() == 2
        assert "--workers 2: several workers need Redis" in parent.log


def test_gunicorn_with_two_workers(redis: RedisServer, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gunicorn", "-w", "2", "-k", "streaming_hub.gunicorn.Worker"]
    command += ["-b", "127.0.0.1:0", "--graceful-timeout", "15", "flask_server:create_app()"]
    settings = {"STREAM_HISTORY": redis.url, "STREAM_REDIS_PREFIX": "gunicorn", "STREAM_NODE": "g"}
    with Parent(tmp_path, 2, command=command, **settings) as parent:
        parent.until_up(2)
        names = list(parent.nodes())
        assert len(set(names)) == 2
        assert all(name.startswith("g-") for name in names)
        first, second = parent.nodes().values()
        told = requests.post(f"{first}/api/agent/data", json={"type": "x"}, timeout=20).json()["id"]
        assert requests.get(f"{second}/api/events?last=1", timeout=20).json()["events"][0]["id"] == told
        parent.process.terminate()
        assert parent.process.wait(20) == 0
