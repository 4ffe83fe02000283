"""SIGTERM and SIGINT with open streams and a talking agent; and the agent's end when either is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.crowd import Crowd
from tests.faults.publishers import Publisher, assert_all_right
from tests.kit.hub import Hub
from tests.kit.proc import members
from tests.kit.process import ROOT
from tests.kit.wait import allowed, let_pass, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

STREAMS = 200
FAKE_AGENT = str(ROOT / "tests" / "streaming_hub" / "agents" / "fake_agent.py")


def start_talking(server: Hub) -> int:
    """Start a rehearsal, wait until there was speech, and return its process's id."""
    server.json("POST", "/api/agent/start", {"mode": "rehearsal", "wait": 30})
    until(lambda: kinds(server).count("agent_speech_started") >= 1, 40, what=lambda: server.log)
    pid: int = server.json("GET", "/api/agent/status")["pid"]
    return pid


def _seq(event: dict[str, Any]) -> int:
    return int(event["id"].rpartition("-")[2])


def superseded(stored: list[dict[str, Any]]) -> set[int]:
    """Return the numbers of the interims that a newer one of their segment replaced: they may be left out."""
    found, replaced = set(), set()
    for event in reversed(stored):
        names = ("room", "session_id", "participant", "segment_id", "audience")
        segment = tuple(event.get(name) for name in names)
        if event["type"] == "transcript" and event.get("is_final") is False:
            if segment in replaced:
                found.add(int(event["id"].rpartition("-")[2]))
            replaced.add(segment)
    return found


def kinds(server: Hub) -> list[str]:
    return [event["type"] for event in server.stored()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_drains_agent_streams_and_history(tmp_path: Path, number: int) -> None:
    with (
        Hub(tmp_path) as server,
        Crowd(server.host, server.port) as crowd,
        Publisher(server, "other", pause=0.02) as publisher,
    ):
        streams = crowd.add(STREAMS, resumes=False, whole=False)
        crowd.until_open()
        agent = start_talking(server)
        begun = time.monotonic()
        code, seconds = server.stop(number)
        assert code in (0, 143)
        assert seconds < allowed(10)
        until(lambda: all(client.socket is None for client in streams))

        assert crowd.errors() == []
        # Other publishers are refused at once, while the agent may still publish.
        assert publisher.refused > 0
        assert members(agent) == []
        assert {client.ended_well for client in streams} == {1}
        assert {client.checker.goodbyes[0][0] for client in streams} == {"draining"}
        retries = [client.checker.goodbyes[0][1] for client in streams]
        assert all(1000 <= retry <= 5000 for retry in retries)
        assert len(set(retries)) > STREAMS // 4
        # Spread over the drain time, not all at once.
        ends = sorted(client.closed_at - begun for client in streams)
        assert ends[-STREAMS // 10] - ends[STREAMS // 10] > 2.5

        server.start()
        stored = server.stored()
        told = [event for event in stored if "p" not in event]
        assert [event["state"] for event in told if event["type"] == "agent_process"][-2:] == [
            "draining",
            "stopped",
        ]
        ended = [event["type"] for event in told].index("session_ended")
        assert ended > [event.get("state") for event in told].index("draining")
        # Every stream had all of it: the goodbye comes after the last word. The report on the ended session may be
        # stored even later; clients that resume read it.
        last = max(_seq(event) for event in told if event["type"] != "session_report")
        assert min(client.checker.position for client in streams) >= last
        for client in streams:
            assert set(client.checker.skipped) <= superseded(stored)
        publisher.stop()
        assert_all_right([publisher], crowd.errors())


def test_a_signal_that_comes_twice_is_one_signal(tmp_path: Path) -> None:
    """`uv run` and the terminal both send it."""
    with Hub(tmp_path, STREAM_DRAIN="2") as server, Crowd(server.host, server.port) as crowd:
        streams = crowd.add(20, resumes=False)
        crowd.until_open()
        os.kill(server.pid, signal.SIGINT)
        code, seconds = server.stop(signal.SIGINT)
        assert code in (0, 143)
        assert 1 < seconds < allowed(10)
        until(lambda: all(client.socket is None for client in streams))
        assert crowd.errors() == []
        assert {client.ended_well for client in streams} == {1}


def test_a_second_signal_later_ends_at_once_and_leaves_no_agent(tmp_path: Path) -> None:
    deaf = [sys.executable, FAKE_AGENT, "grandchild", "deaf", "ready", "wait"]
    with Hub(tmp_path, agent=deaf, STREAM_DRAIN="8") as server, Crowd(server.host, server.port) as crowd:
        crowd.add(20, resumes=False)
        crowd.until_open()
        agent = server.json("POST", "/api/agent/start", {"mode": "rehearsal", "wait": 15})["pid"]
        assert len(members(agent)) == 2
        os.kill(server.pid, signal.SIGTERM)
        let_pass(1.3)
        code, seconds = server.stop(signal.SIGTERM)
        assert seconds < allowed(2)
        assert code in (0, 143, -signal.SIGTERM)
        until(lambda: members(agent) == [])


def test_a_killed_agent_is_reported_at_once_and_comes_back(tmp_path: Path) -> None:
    with Hub(tmp_path) as server, Crowd(server.host, server.port) as crowd:
        (reader,) = crowd.add(whole=False)
        crowd.until_open()
        agent = start_talking(server)
        os.kill(agent, signal.SIGKILL)
        killed = time.time()
        until(lambda: "failed" in states(server), 60, what=lambda: states(server))
        until(lambda: states(server)[-1] in ("ready", "running") and "failed" in states(server), 30)
        until(lambda: kinds(server).count("agent_ready") == 2)
        again = server.json("GET", "/api/agent/status")
        assert again["pid"] != agent
        assert again["restarts"] == 1
        assert members(agent) == []
        told = [event for event in server.stored() if event["type"] == "agent_process"]
        failed = next(event for event in told if event["state"] == "failed")
        assert "SIGKILL" in str(failed)
        # By the hub's own time of the event, not by when this test came to look.
        assert failed["timestamp"] - killed < allowed(3)
        server.json("POST", "/api/agent/stop")
        assert members(again["pid"]) == []
        crowd.until_at(int(server.metric("hub_history_head")))
        assert crowd.errors() == []
        stored = server.stored()
        assert set(reader.checker.skipped) <= superseded(stored)
        assert reader.checker.received + len(reader.checker.skipped) == len(stored)


def states(server: Hub) -> list[Any]:
    return [event["state"] for event in server.stored() if event["type"] == "agent_process"]


@pytest.mark.parametrize("moment", ["importing", "talking"])
def test_a_killed_server_leaves_no_agent_and_the_next_one_starts_its_own(tmp_path: Path, moment: str) -> None:
    with Hub(tmp_path) as server:
        if moment == "talking":
            agent = start_talking(server)
        else:
            agent = server.json("POST", "/api/agent/start", {"mode": "rehearsal"})["pid"]
        assert members(agent)
        server.kill()
        until(lambda: members(agent) == [], 10)
        before = time.time()
        server.start()
        assert server.json("GET", "/api/agent/status")["state"] == "stopped"
        server.json("POST", "/api/agent/start", {"mode": "rehearsal", "wait": 30})
        until(lambda: last_ready(server) > before)


def last_ready(server: Hub) -> float:
    times: list[float] = [event["timestamp"] for event in server.stored() if event["type"] == "agent_ready"]
    return max(times, default=0.0)
