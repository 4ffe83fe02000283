"""Sessions whose process or hub is killed: no participant is shown as speaking indefinitely."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from streaming_hub_client.leases import LEASE_SECONDS

from tests.kit.hub import Hub
from tests.kit.process import ROOT
from tests.kit.wait import allowed, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def get(server: Hub, path: str) -> dict[str, Any]:
    body: dict[str, Any] = requests.get(server.url + path, timeout=10).json()
    return body


def ends(server: Hub) -> dict[str, str]:
    events = get(server, "/api/events?type=session_ended&limit=1000")["events"]
    return {event["session_id"]: event["reason"] for event in events}


def speaker(server: Hub, session: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.speaking_process", server.url, session],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "speaking\n"
    return process


def test_killed_agent_of_ones_own_stops_speaking_when_its_lease_ends(tmp_path: Path) -> None:
    with Hub(tmp_path) as server, speaker(server, "dies") as dying, speaker(server, "lives") as living:
        dying.kill()
        killed = time.monotonic()
        assert get(server, "/api/rooms/hall")["speaking"] == ["agent"]
        until(lambda: "dies" in ends(server), 40, lambda: "the end of the killed agent's session")
        assert time.monotonic() - killed < LEASE_SECONDS + allowed(10)
        assert ends(server) == {"dies": "lease_expired"}, "the living one has renewed its lease meanwhile"
        living.kill()
        until(lambda: "lives" in ends(server), 40, lambda: "the end of the other session")
        assert get(server, "/api/rooms/hall")["speaking"] == []


def test_living_agent_survives_a_crash_of_the_hub(tmp_path: Path) -> None:
    with Hub(tmp_path) as server, speaker(server, "lives") as living, speaker(server, "dies") as dying:
        server.kill()
        dying.kill()
        server.start()
        until(lambda: "dies" in ends(server), 40, lambda: "the end of the session that died meanwhile")
        assert ends(server) == {"dies": "lease_expired"}
        living.kill()


def test_killed_agent_process_ends_its_sessions_at_once(tmp_path: Path) -> None:
    with Hub(tmp_path) as server:
        session, pid = rehearse(server)
        os.kill(pid, signal.SIGKILL)
        until(lambda: session in ends(server), 40, lambda: "the end of the killed session")
        assert ends(server)[session] == "worker_lost"
        # The next process sends what the killed one left in its spool, and the end stays the last event.
        until(lambda: len(started(server)) > 1, 40, lambda: "the next process's session")
        until(lambda: last_of(server, session) == "session_ended", 10, lambda: last_of(server, session))
        requests.post(f"{server.url}/api/agent/stop", timeout=30)


def test_crashed_hub_ends_the_sessions_that_died_with_it(tmp_path: Path) -> None:
    with Hub(tmp_path) as server:
        session, _ = rehearse(server)
        server.kill()
        server.start()
        assert ends(server) == {session: "worker_lost"}


def rehearse(server: Hub) -> tuple[str, int]:
    """Start the rehearsal, and return its session and its process once it speaks."""
    requests.post(f"{server.url}/api/agent/start", json={"mode": "rehearsal"}, timeout=30)
    spoken = "/api/events?type=agent_speech_started"
    until(lambda: bool(get(server, spoken)["events"]), 40, lambda: "the rehearsal's first words")
    return get(server, spoken)["events"][0]["session_id"], get(server, "/api/agent/status")["pid"]


def last_of(server: Hub, session: str) -> str:
    events = get(server, f"/api/events?session_id={session}&limit=1000")["events"]
    # The archive's report on the session is not a part of it.
    return str([event["type"] for event in events if event["type"] != "session_report"][-1])


def started(server: Hub) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = get(server, "/api/events?type=session_started")["events"]
    return events
