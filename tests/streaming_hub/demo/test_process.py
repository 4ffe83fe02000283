"""`--demo N` as a user starts it. Covers `streaming_hub.demo.__main__`, which the hub runs as a process of its own."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.kit.proc import child
from tests.kit.process import SECONDS, is_running
from tests.kit.wait import until
from tests.test_flask_server import run, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kit.hub import Hub

__all__ = ["start"]

KEYS = {
    "STREAM_PUBLISH_KEYS": "publish-key",
    "STREAM_SUBSCRIBE_KEYS": "viewer-key",
    "STREAM_OPERATOR_KEYS": "operator-key",
}


def live_sessions(server: Hub, key: str | None = None) -> list[dict[str, Any]]:
    """Return the sessions that are live."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = requests.get(
        f"{server.url}/api/sessions", params={"state": "live", "limit": 200}, headers=headers, timeout=10
    )
    found: list[dict[str, Any]] = answer.json().get("sessions", [])
    return found


def wait_for_sessions(server: Hub, count: int, key: str | None = None) -> list[dict[str, Any]]:
    """Wait until `count` sessions are live.

    Raises:
        AssertionError: they are not, in time.
    """
    until(lambda: len(live_sessions(server, key)) >= count, SECONDS, lambda: server.log)
    return live_sessions(server, key)


def test_it_shows_calls_that_talk_and_leaves_nothing_behind(
    start: Callable[..., Hub], tmp_path: Path
) -> None:
    server = start("--demo", "3", STREAM_HISTORY=f"sqlite:///{tmp_path / 'own.db'}")
    assert len({session["room"] for session in wait_for_sessions(server, 2)}) > 1
    rooms = requests.get(f"{server.url}/api/rooms", timeout=10).json()["rooms"]
    assert all(room["participants"] for room in rooms)
    assert "open the console: 3 simulated calls at a time" in server.log
    assert "/api/agent/start" not in server.log
    assert ">Demo<" in requests.get(f"{server.url}/console/", timeout=10).text
    archive = Path(re.search(r"stored in (\S+)", server.log)[1])  # type: ignore[index]
    assert archive.exists()
    server.signal()
    server.wait()
    assert not archive.parent.exists()
    assert not (tmp_path / "own.db").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="finds the child in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_child_ends_with_the_hub(start: Callable[..., Hub], number: signal.Signals) -> None:
    server = start("--demo", "2")
    wait_for_sessions(server, 1)
    posting = child(server.process.pid, "streaming_hub.demo")
    server.signal(number)
    server.wait()
    until(lambda: not is_running(posting), SECONDS, lambda: server.log)


def test_it_posts_where_keys_are_set(start: Callable[..., Hub]) -> None:
    server = start("--demo", "2", **KEYS)
    assert wait_for_sessions(server, 1, key="viewer-key")


@pytest.mark.parametrize("number", ["0", "-1", "many", "1001"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    ran = run(tmp_path, "--demo", number)
    assert ran.returncode == 2
    assert "--demo" in ran.stderr
