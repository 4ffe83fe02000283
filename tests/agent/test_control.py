"""The control socket: states to the hub, and its end to the agent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.control import CONTROL_FD, Control
from tests.kit.process import is_running

ROOT = Path(__file__).resolve().parents[2]

# A child with a child of its own, as LiveKit's process executor has; both print their ids.
FAMILY = """
import subprocess, sys, threading
from agent.control import Control
control = Control.from_env()
control.end_with_hub()
control.report("ready")
child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
print(child.pid, flush=True)
threading.Event().wait()
"""

# Prints each change of whether it takes jobs.
TAKING = """
import time
from agent.control import Control
control = Control.from_env()
control.end_with_hub()
before = None
while True:
    if control.takes_jobs() is not before:
        before = control.takes_jobs()
        print(before, flush=True)
    time.sleep(0.005)
"""


@pytest.fixture
def pair() -> tuple[socket.socket, socket.socket]:
    hub, child = socket.socketpair()
    hub.settimeout(10)
    return hub, child


def test_states_are_lines_of_json_and_repeats_are_left_out(pair: tuple[socket.socket, socket.socket]) -> None:
    hub, child = pair
    control = Control(child)
    control.report("ready")
    control.report("ready")
    control.report("running", sessions=1)
    control.report("running", sessions=2)
    control.report("failed", reason="no key\nset it")
    child.close()
    with hub.makefile() as lines:
        assert [json.loads(line) for line in lines] == [
            {"state": "ready"},
            {"state": "running", "sessions": 1},
            {"state": "running", "sessions": 2},
            {"state": "failed", "reason": "no key\nset it"},
        ]


def test_the_hub_limits_how_long_jobs_are_taken(pair: tuple[socket.socket, socket.socket]) -> None:
    # In a process of its own: the end of the hub ends it.
    hub, child = pair
    agent = subprocess.Popen(
        [sys.executable, "-c", TAKING],
        cwd=ROOT,
        env={**os.environ, CONTROL_FD: str(child.fileno())},
        pass_fds=[child.fileno()],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    child.close()
    with agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"True\n", "a hub of one node sets no limit"
        hub.sendall(b'{"jobs_until": 1.5}\n')
        assert agent.stdout.readline() == b"False\n"
        hub.sendall(b'nonsense\n{"news": 1}\n[]\n{"jobs_until": %f}\n' % (time.monotonic() + 300))
        assert agent.stdout.readline() == b"True\n"
        hub.close()
        assert agent.wait(20) == -signal.SIGKILL


def test_started_by_hand_it_reports_to_no_hub(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(CONTROL_FD, raising=False)
    control = Control.from_env()
    threads = threading.enumerate()
    control.end_with_hub()
    assert threading.enumerate() == threads, "there is no hub to watch"
    control.report("ready")
    assert control.refuse("set the key") == 1
    assert capsys.readouterr().err == "agent: set the key\n"


@pytest.mark.parametrize("number", ["nonsense", "999999"])
def test_a_number_that_is_not_a_socket_is_named(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv(CONTROL_FD, number)
    with pytest.raises(ValueError, match=f"{CONTROL_FD}='{number}'"):
        Control.from_env()


def test_the_number_is_not_passed_on_to_children(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    number = pair[1].detach()
    monkeypatch.setenv(CONTROL_FD, str(number))
    control = Control.from_env()
    assert CONTROL_FD not in os.environ
    assert not os.get_inheritable(number)
    control.report("ready")
    assert pair[0].recv(100) == b'{"state": "ready"}\n'


def test_a_hub_that_is_gone_disturbs_nothing(
    pair: tuple[socket.socket, socket.socket], capsys: pytest.CaptureFixture[str]
) -> None:
    hub, child = pair
    hub.close()
    control = Control(child)
    control.report("ready")
    control.report("running", sessions=1)
    assert control.refuse("set the key") == 1, "the reason is still told, in the log"
    assert capsys.readouterr().err == "agent: set the key\n"


@pytest.mark.parametrize("reads", [True, False])
def test_the_end_of_the_hub_ends_the_process_and_its_children(
    pair: tuple[socket.socket, socket.socket], reads: bool
) -> None:
    hub, child = pair
    family = subprocess.Popen(
        [sys.executable, "-c", FAMILY],
        cwd=ROOT,
        env={**os.environ, CONTROL_FD: str(child.fileno())},
        pass_fds=[child.fileno()],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    child.close()
    try:
        assert family.stdout is not None
        grandchild = int(family.stdout.readline())
        assert is_running(grandchild)
        if reads:  # otherwise the child sees a reset, not an end
            assert hub.recv(100) == b'{"state": "ready"}\n'
        family.stdout.close()
        hub.close()
        assert family.wait(10) == -signal.SIGKILL
        deadline = time.monotonic() + 10
        while is_running(grandchild):
            assert time.monotonic() < deadline, "the child's child outlived the hub"
            os.sched_yield()
    finally:
        if family.poll() is None:
            os.killpg(family.pid, signal.SIGKILL)
        if family.stdout is not None:
            family.stdout.close()
