"""The supervisor under stress: storms of commands, crash loops, floods, killed servers."""

import json
import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from streaming_hub.agents import Policy, State
from streaming_hub.agents.states import TRANSITIONS
from tests.kit.process import is_running, open_files
from tests.kit.wait import allowed, until
from tests.streaming_hub.agents.watched import Watched, bytes_written

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
FAST = Policy(start_timeout=20.0, failed_grace=0.1, first_delay=0.005, max_delay=0.02, limit=1_000_000)


def processes_of(changes):
    return {change["pid"] for change in changes if change["pid"] is not None}


def until_gone(pids):
    until(lambda: not any(map(is_running, pids)))


def assert_one_at_a_time(changes):
    """Follows the reported changes: each fits the previous one, and a process ends before the next one begins."""
    state, pid = State.STOPPED, None
    for change in changes:
        following = State(change["state"])
        assert following in TRANSITIONS[state], (state, change)
        if following is State.STARTING:
            pid = change["pid"]
        elif change["pid"] is not None:
            assert change["pid"] == pid
        state = following
    return state


@pytest.mark.parametrize(
    "steps", [("ready", "wait"), ("ready", "kill"), ("wait",), ("exit:0",), ("failed:no", "wait"), ("drain",)]
)
def test_a_storm_of_starts_and_stops_never_makes_two_processes(steps):
    with Watched(*steps, policy=FAST) as agent:
        over = time.monotonic() + 3.0

        def storm(seed):
            dice = random.Random(seed)
            while time.monotonic() < over:
                if dice.random() < 0.5:
                    agent.start("rehearsal", wait=dice.choice([0, 0, 0.05]))
                else:
                    agent.stop(timeout=dice.choice([0.01, 0.5]))

        threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert agent.stop().state == "stopped"
        assert assert_one_at_a_time(agent.changes) is State.STOPPED
        pids = processes_of(agent.changes)
        assert len(pids) > 3
        assert not [pid for pid in pids if is_running(pid)]
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("agent-")])


def test_a_hundred_crashes_leave_nothing_behind():
    with Watched("grandchild", "ready", "kill", policy=FAST) as agent:
        agent.start("rehearsal")
        until(lambda: agent.states().count("failed") >= 3)
        before = open_files()
        until(lambda: agent.states().count("failed") >= 100, 90)
        assert agent.status().restarts >= 99
        agent.stop()
        until(lambda: open_files() <= before, what=open_files)
        until(lambda: not [pid for pid in processes_of(agent.changes) if is_running(pid)])
        assert_one_at_a_time(agent.changes)


def test_an_endless_line_costs_bounded_memory():
    with Watched("ready", "endless") as agent:
        agent.start("rehearsal", wait=15)
        pid = agent.status().pid
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        until(lambda: bytes_written(pid) > 20_000_000, 60)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 8_000, f"{grown} KiB"


def test_with_the_usual_times_a_deaf_agent_is_gone_within_ten_seconds():
    with Watched("grandchild", "deaf", "ready", "wait", policy=Policy()) as agent:
        pid = agent.start("rehearsal", wait=15).status.pid
        grandchild = int(agent.until_logged("grandchild").split()[1])
        begun = time.monotonic()
        assert agent.supervisor.stop().state == "stopped"
        assert time.monotonic() - begun < allowed(10)
        assert not is_running(pid)
        until(lambda: not is_running(grandchild))


def test_with_the_usual_times_a_crash_is_reported_within_three_seconds_and_mended():
    with Watched("ready", "wait", policy=Policy()) as agent:
        pid = agent.start("rehearsal", wait=15).status.pid
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
        killed = time.monotonic()
        until(lambda: "failed" in agent.states(), 60)
        assert time.monotonic() - killed < allowed(3)
        until(lambda: agent.states()[-1] == "ready", 60)


@pytest.mark.parametrize("kind", ["threads", "gevent"])
def test_servers_killed_at_any_moment_leave_no_agent(kind):
    dice = random.Random(5)
    for _ in range(5):
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.streaming_hub.agents.run_supervisor",
                kind,
                "hold",
                "grandchild",
                "ready",
                "wait",
            ],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        try:
            status = json.loads(server.stdout.readline())
            time.sleep(dice.random() / 20)
        finally:
            server.kill()
            server.wait(15)
            server.stdout.close()
        until_gone([status["pid"], int(status["log"][0].split()[1])])
