"""The supervisor with real child processes; the last tests run all of it again under gevent.

Covers streaming_hub.agents.report, too.

Covers streaming_hub.agents.process, too.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streaming_hub.agents import Policy, State, SupervisorClosedError
from tests.kit.process import is_running, needs_proc, open_files
from tests.kit.wait import allowed, until
from tests.streaming_hub.agents.watched import (
    QUICK,
    Watched,
    bytes_written,
)

ROOT = Path(__file__).parents[3]
PATIENT = Policy(start_timeout=20.0, first_delay=300.0, max_delay=300.0)
"""A policy whose restarts come after any test has ended."""

LITTLE_SERVER = [sys.executable, "-m", "tests.streaming_hub.agents.run_supervisor"]


def last(changes, state):
    return [change for change in changes if change["state"] == state][-1]


def test_nothing_runs_before_the_first_start():
    with Watched("ready") as agent:
        status = agent.status()
        assert (status.state, status.pid, status.mode, status.uptime) == (State.STOPPED, None, None, 0.0)
        assert agent.stop().state == "stopped"
        assert agent.changes == []


def test_the_process_hears_up_to_when_it_may_take_jobs():
    with Watched("hear", "ready", "wait") as agent:
        agent.allow_jobs(1.5)
        agent.start("livekit")
        agent.until_logged('heard {"jobs_until": 1.5}')
        for _ in range(2):
            agent.allow_jobs(2.5)
        agent.until_logged('heard {"jobs_until": 2.5}')
        assert len([line for line in agent.status().log if "2.5" in line]) == 1, "a repeat is not sent"
    with Watched("hear", "ready", "wait") as agent:
        agent.start("livekit")
        agent.until_state("ready")
        assert agent.status().log == [], "without a lease it is not limited"


def test_start_ready_running_stop_are_reported_in_order():
    with Watched("running:2", "drain") as agent:
        started = agent.start("rehearsal", "kitchen", wait=15)
        assert not started.already_running
        assert started.status.state in ("running", "ready")
        agent.until_state("ready")
        pid = agent.status().pid
        assert is_running(pid)
        assert (agent.status().mode, agent.status().room) == ("rehearsal", "kitchen")
        assert agent.stop().state == "stopped"
        assert not is_running(pid)
        assert agent.status().pid is None
        assert agent.status().log[-1] == "drained"
    assert agent.states() == ["starting", "running", "ready", "draining", "stopped"]
    assert {change["pid"] for change in agent.changes} == {pid}
    assert [change["exit"] for change in agent.changes] == [None, None, None, None, 0]
    assert agent.status().last_error is None


def test_what_keeps_new_rooms_from_it_is_reported_and_its_end_too():
    full = "told:" + json.dumps({"state": "running", "sessions": 1, "reason": "the machine is full"})
    with Watched("ready", full, full, "log:said", "wait") as agent:
        agent.start("livekit", wait=15)
        agent.until_logged("said")
        until(lambda: agent.status().trouble == "the machine is full", what=agent.status)
        agent.stop()
        assert agent.status().trouble is None
    told = [(change["state"], change["reason"]) for change in agent.changes]
    running = ("running", "the machine is full")
    assert told == [("starting", None), ("ready", None), running, ("draining", None), ("stopped", None)]


def test_the_end_of_a_trouble_is_reported_in_the_same_state():
    away = "told:" + json.dumps({"state": "ready", "reason": "LiveKit is away"})
    with Watched("ready", away, "ready", "log:said", "wait") as agent:
        agent.start("livekit", wait=15)
        agent.until_logged("said")
        until(lambda: len(agent.changes) == 4, what=agent.status)
        told = [(change["state"], change["reason"]) for change in agent.changes]
        assert told == [("starting", None), ("ready", None), ("ready", "LiveKit is away"), ("ready", None)]
        assert agent.status().trouble is None


def test_a_child_that_drains_is_reported_once_whatever_reasons_it_gives():
    steps = [f'told:{{"state":"draining","reason":"reason {number}"}}' for number in range(3)]
    with Watched("ready", *steps, "log:said", "wait") as agent:
        agent.start("rehearsal", wait=15)
        agent.until_logged("said")
        agent.until_state("draining")
        agent.stop()
    told = [(change["state"], change["reason"]) for change in agent.changes]
    assert told == [("starting", None), ("ready", None), ("draining", "reason 0"), ("stopped", None)]


def test_the_childs_lines_keep_their_levels_in_the_servers_log(caplog):
    steps = [
        "log:INFO agent.service: all is well",
        "log:WARNING agent.service: it is late",
        "log:plain",
        "ready",
    ]
    with caplog.at_level(logging.INFO), Watched(*steps, "wait") as agent:
        agent.start("rehearsal", wait=15)
        until(lambda: "plain" in caplog.text)
        said = [
            (record.levelname, record.message)
            for record in caplog.records
            if record.name == "streaming_hub.agents.agent"
        ]
        assert said == [
            ("INFO", "agent.service: all is well"),
            ("WARNING", "agent.service: it is late"),
            ("INFO", "plain"),
        ]
        assert agent.status().log[1] == "WARNING agent.service: it is late"


def test_sessions_are_counted_while_it_runs():
    with Watched("running:3", "wait") as agent:
        agent.start("livekit", wait=15)
        assert agent.status().sessions == 3
        agent.stop()
        assert agent.status().sessions == 0


def test_uptime_comes_from_the_clock():
    now = [100.0]
    with Watched("ready", "wait", clock=lambda: now[0]) as agent:
        agent.start("rehearsal", wait=15)
        now[0] += 42
        assert agent.status().uptime == 42.0
        agent.stop()
        assert agent.status().uptime == 0.0


def test_a_second_start_answers_the_running_one():
    with Watched("ready", "wait") as agent:
        first = agent.start("rehearsal", wait=15)
        second = agent.start("livekit", "other", wait=15)
        assert (first.already_running, second.already_running) == (False, True)
        assert second.status.pid == first.status.pid
        assert second.status.mode == "rehearsal"
        assert agent.states() == ["starting", "ready"]


def test_a_start_begins_with_an_empty_log():
    with Watched("log:words", "ready", "wait") as agent:
        for _ in range(2):
            agent.start("rehearsal", wait=15)
            agent.until_logged("words")
            agent.stop()
        assert agent.status().log.count("words") == 1


def test_racing_starts_make_one_process():
    with Watched("ready", "wait") as agent:
        gate, answers = threading.Barrier(12), []

        def start():
            gate.wait(10)
            answers.append(agent.start("rehearsal", wait=15))

        threads = [threading.Thread(target=start) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(answer.already_running for answer in answers) == [False] + [True] * 11
        assert len({answer.status.pid for answer in answers}) == 1
        assert agent.states().count("starting") == 1


def test_the_child_gets_its_settings_and_none_of_the_hubs_keys(monkeypatch):
    monkeypatch.setenv("STREAM_OPERATOR_KEYS", "operator-key-of-the-hub")
    monkeypatch.setenv("AGENT_VOICE", "alto")
    names = ["AGENT_MODE", "AGENT_ROOM", "AGENT_VOICE", "STREAM_URL", "STREAM_OPERATOR_KEYS"]
    steps = [f"env:{name}" for name in names]
    with Watched(*steps, "ready", "wait", environ={"STREAM_URL": "http://127.0.0.1:1"}) as agent:
        agent.start("livekit", "hall", wait=15)
        agent.until_logged("OPERATOR")
        assert agent.status().log == [
            "AGENT_MODE=livekit",
            "AGENT_ROOM=hall",
            "AGENT_VOICE=alto",
            "STREAM_URL=http://127.0.0.1:1",
            "STREAM_OPERATOR_KEYS=None",
        ]


def test_the_child_leads_a_session_of_its_own_and_inherits_only_the_control_end():
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        with Watched("fds", "env:AGENT_CONTROL_FD", "ready", "wait") as agent:
            agent.start("rehearsal", wait=15)
            control = agent.until_logged("AGENT_CONTROL_FD").partition("=")[2]
            assert agent.until_logged("leads") == "leads its session: True"
            assert agent.until_logged("fds") == f"fds [0, 1, 2, {control}]"
    finally:
        os.close(reading)
        os.close(writing)


def test_logs_reach_the_servers_log_and_secrets_reach_neither_log_nor_status(caplog):
    secret = "sk-very-secret-0123456789"
    steps = ["env:OPENAI_API_KEY", f"told:oops {secret}", f"failed:bad key {secret}", "exit:0"]
    with caplog.at_level(logging.INFO), Watched(*steps, environ={"OPENAI_API_KEY": secret}) as agent:
        agent.start("livekit", wait=15)
        agent.until_state("failed")
    assert "OPENAI_API_KEY=[hidden]" in agent.status().log
    assert agent.status().last_error == "bad key [hidden]"
    assert "OPENAI_API_KEY=[hidden]" in caplog.text
    assert secret not in caplog.text + repr(agent.changes) + repr(agent.status())


def test_a_command_that_does_not_exist_fails_at_once():
    with Watched(argv=["/nonexistent/agent"]) as agent:
        started = agent.start("rehearsal")
        assert started.status.state == "failed"
        assert started.status.pid is None
        assert "/nonexistent/agent" in started.status.last_error
        assert agent.states() == ["starting", "failed"]
        assert agent.start("rehearsal").already_running is False


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_before_ready_is_a_failure_whatever_the_code(code):
    with Watched("log:LIVEKIT_URL is wrong", f"exit:{code}") as agent:
        status = agent.start("livekit", wait=15).status
        assert status.state == "failed"
        assert f"exit code {code} before it was ready" in status.last_error
        change = last(agent.changes, "failed")
        assert (change["exit"], change["log"], change["restart_in"]) == (code, ["LIVEKIT_URL is wrong"], None)


def test_a_failure_reported_by_the_child_is_the_reason():
    with Watched("failed:OPENAI_API_KEY is missing: set it", "exit:0") as agent:
        status = agent.start("livekit", wait=15).status
        assert status.state == "failed"
        assert status.last_error == "OPENAI_API_KEY is missing: set it"
        assert last(agent.changes, "failed")["exit"] == 0


def test_a_child_that_says_it_failed_and_stays_is_ended():
    with Watched("grandchild", "deaf", "failed:no network", "wait") as agent:
        started = agent.start("livekit", wait=15).status
        assert (started.state, started.last_error) == ("failed", "no network")
        assert last(agent.changes, "failed")["exit"] == "SIGKILL"
        until(lambda: not is_running(int(started.log[-1].split()[1])))


def test_a_child_that_never_gets_ready_is_ended_with_a_sentence():
    with Watched("log:waiting for the network", "deaf", "wait", policy=Policy(start_timeout=3)) as agent:
        status = agent.start("livekit", wait=15).status
        assert status.state == "failed"
        assert "did not say that it is ready within 3 s" in status.last_error
        assert agent.states() == ["starting", "failed"]


def test_a_wait_ends_when_its_time_is_over():
    with Watched("wait") as agent:
        assert agent.start("rehearsal", wait=0.05).status.state == "starting"


def test_a_crash_shows_as_failed_and_the_agent_comes_back(tmp_path):
    with Watched("log:last words", "ready", "wait") as agent:
        pid = agent.start("rehearsal", wait=15).status.pid
        agent.until_logged("last words")
        os.kill(pid, signal.SIGKILL)
        until(lambda: agent.states().count("ready") == 2)
        failed = last(agent.changes, "failed")
        assert (failed["exit"], failed["pid"], failed["log"]) == ("SIGKILL", pid, ["last words"])
        assert failed["restart_in"] > 0
        status = agent.status()
        assert (status.state, status.restarts) == ("ready", 1)
        assert status.pid != pid
        assert "SIGKILL" in status.last_error
        assert agent.states() == ["starting", "ready", "failed", "starting", "ready"]


def test_a_crash_loop_ends_with_a_clear_error():
    with Watched("ready", "exit:1") as agent:
        agent.start("rehearsal")
        until(lambda: agent.states().count("failed") == QUICK.limit)
        status = agent.status()
        assert (status.state, status.restarts) == ("failed", QUICK.limit - 1)
        assert "failed 3 times in quick succession and is not started again" in status.last_error
        assert last(agent.changes, "failed")["restart_in"] is None
        until(lambda: not [t for t in threading.enumerate() if t.name == "agent-watch"])
        assert agent.start("rehearsal", wait=15).status.restarts <= QUICK.limit


def test_a_restart_that_does_not_get_ready_is_tried_again_until_the_limit(tmp_path):
    with Watched(f"crash-after:{tmp_path / 'marker'}", "ready", "kill") as agent:
        agent.start("rehearsal")
        until(lambda: agent.states().count("failed") == QUICK.limit)
        assert agent.states() == ["starting", "ready", "failed"] + ["starting", "failed"] * 2
        assert last(agent.changes, "failed")["exit"] == 3


def test_a_child_that_drains_unasked_has_failed():
    with Watched("ready", "draining", "exit:0", policy=PATIENT) as agent:
        agent.start("rehearsal")
        agent.until_state("failed")
        assert agent.states() == ["starting", "ready", "draining", "failed"]


@pytest.mark.parametrize("end", ["kill", "wait"])
def test_a_grandchild_goes_with_a_crash_and_with_a_stop(end):
    with Watched("grandchild", "ready", end, policy=PATIENT) as agent:
        agent.start("rehearsal", wait=15)
        grandchild = int(agent.until_logged("grandchild").split()[1])
        if end == "kill":
            agent.until_state("failed")
        agent.stop()
        until(lambda: not is_running(grandchild))


def test_a_child_deaf_to_sigterm_is_killed():
    with Watched("deaf", "grandchild", "ready", "wait") as agent:
        pid = agent.start("rehearsal", wait=15).status.pid
        assert agent.stop(timeout=0.2).state == "stopped"
        assert not is_running(pid)
        stopped = last(agent.changes, "stopped")
        assert stopped["exit"] == "SIGKILL"
        assert "did not end within 0.2 s" in stopped["reason"]
        assert agent.status().last_error is None


def test_a_stop_while_starting():
    with Watched("wait") as agent:
        pid = agent.start("rehearsal").status.pid
        assert agent.stop().state == "stopped"
        assert not is_running(pid)
        assert agent.states() == ["starting", "draining", "stopped"]


def test_a_stop_cancels_the_restart():
    with Watched("ready", "kill", policy=PATIENT) as agent:
        agent.start("rehearsal")
        agent.until_state("failed")
        assert agent.stop().state == "stopped"
        assert agent.status().mode == "rehearsal"
        until(lambda: not [t for t in threading.enumerate() if t.name == "agent-watch"])
        assert agent.states() == ["starting", "ready", "failed", "stopped"]


def test_a_start_does_not_wait_for_the_restart():
    with Watched("ready", "kill", policy=PATIENT) as agent:
        agent.start("rehearsal")
        agent.until_state("failed")
        started = agent.start("livekit")
        assert not started.already_running
        assert (started.status.mode, started.status.restarts) == ("livekit", 0)
        agent.until_state("failed")
        assert agent.states().count("starting") == 2


def test_a_start_while_draining_waits_until_the_old_one_is_gone():
    with Watched("deaf", "ready", "wait") as agent:
        old = agent.start("rehearsal", wait=15).status.pid
        stopping = threading.Thread(target=agent.stop, kwargs={"timeout": 0.4})
        stopping.start()
        agent.until_state("draining")
        started = agent.start("livekit", wait=15)
        stopping.join(15)
        assert not is_running(old)
        assert (started.already_running, started.status.state) == (False, "ready")
        assert started.status.pid != old
        assert agent.states() == ["starting", "ready", "draining", "stopped", "starting", "ready"]


def test_stops_at_the_same_time_both_end_stopped():
    with Watched("ready", "wait") as agent:
        agent.start("rehearsal", wait=15)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(agent.stop())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)
        assert [answer.state for answer in answers] == ["stopped"] * 4
        assert agent.states() == ["starting", "ready", "draining", "stopped"]


def test_after_close_nothing_is_started():
    with Watched("ready", "wait") as agent:
        pid = agent.start("rehearsal", wait=15).status.pid
        agent.close()
        assert not is_running(pid)
        with pytest.raises(SupervisorClosedError, match="shutting down"):
            agent.start("rehearsal")


def test_words_that_are_no_control_message_are_ignored_and_shown():
    steps = [
        "told:not json",
        'told:{"state":"stopped"}',
        "told:" + "[" * 9000,
        'told:{"state":"ready","x":[1]}',
    ]
    with Watched(*steps, "wait") as agent:
        assert agent.start("rehearsal", wait=15).status.state == "ready"
        assert len([line for line in agent.status().log if "ignored control message" in line]) == 3


def test_a_flood_keeps_the_last_lines_only(caplog):
    # What is held back is reported with the next line that passes: one of another second.
    steps = ("flood:20000", "pause:1.5", "log:the end", "ready", "wait")
    with caplog.at_level(logging.INFO), Watched(*steps) as agent:
        agent.start("rehearsal", wait=20)
        agent.until_logged("the end")
        assert len(agent.status().log) <= 200
        assert agent.status().log[-2].startswith("flood 19999 ")
        until(lambda: "were left out here" in caplog.text)
        assert len(caplog.records) < 5000


def test_a_child_that_never_stops_writing_can_be_stopped():
    with Watched("ready", "endless") as agent:
        pid = agent.start("rehearsal", wait=15).status.pid
        assert agent.stop().state == "stopped"
        assert not is_running(pid)


def test_a_process_that_left_the_group_and_holds_the_log_does_not_hold_the_supervisor():
    with Watched("escape", "ready", "exit:1", policy=PATIENT) as agent:
        agent.start("rehearsal")
        agent.until_state("failed")
        escaped = int(agent.status().log[0].split()[1])
        os.kill(escaped, signal.SIGKILL)


def test_a_callback_that_raises_stops_nothing(caplog):
    with Watched("ready", "wait") as agent:
        agent.supervisor._outbox._deliver = lambda change: 1 / 0
        assert agent.start("rehearsal", wait=15).status.state == "ready"
        assert agent.stop().state == "stopped"
    assert "the agent's change to stopped could not be published" in caplog.text


def test_no_descriptor_is_left_behind():
    def lap(*steps, **settings):
        with Watched(*steps, **settings) as agent:
            agent.start("rehearsal", wait=15)

    lap("ready", "wait")
    before = open_files()
    for _ in range(3):
        lap("ready", "wait")
        lap("exit:0")
        lap(argv=["/nonexistent/agent"])
    until(lambda: open_files() <= before, what=open_files)


@pytest.mark.parametrize("kind", ["threads", "gevent"])
@pytest.mark.parametrize("unread", [False, pytest.param(True, marks=needs_proc)])
def test_the_agent_and_its_children_die_with_a_killed_server(kind, unread):
    server = subprocess.Popen(
        [*LITTLE_SERVER, kind, "hold", "grandchild", "ready", "chatter" if unread else "wait"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        status = json.loads(server.stdout.readline())
        pids = [status["pid"], int(status["log"][0].split()[1])]
        assert all(map(is_running, pids))
        if unread:
            # Words that the server never reads turn its end of the connection into a reset.
            server.send_signal(signal.SIGSTOP)
            told = bytes_written(pids[0])
            until(lambda: bytes_written(pids[0]) > told + 100)
    finally:
        server.kill()
        server.wait(15)
        server.stdout.close()
    until(lambda: not any(map(is_running, pids)))


def test_the_gevent_loop_never_stands_still():
    answer = subprocess.run(
        [*LITTLE_SERVER, "gevent", "laps", "deaf", "flood:20000", "ready", "endless"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    longest = json.loads(answer.stdout.splitlines()[-1])["longest"]
    # Anything that blocks the loop does so for the second or more that the child is silent.
    assert longest < allowed(0.8)


@pytest.mark.faults
def test_all_of_this_holds_under_gevent():
    patched = (
        "from gevent import monkey; monkey.patch_all(); "
        "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    )
    picked = "not gevent and not killed_server"
    answer = subprocess.run(
        [sys.executable, "-c", patched, __file__, "-k", picked, "-p", "no:cacheprovider"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
        timeout=100,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout.decode()
    assert answer.stdout.count(b".") > 30, answer.stdout.decode()
