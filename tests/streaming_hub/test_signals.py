"""Signals that end the server: while it starts, twice, and as process 1 of a container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.hub import Hub
from tests.kit.process import ROOT
from tests.kit.wait import until
from tests.streaming_hub.server.wire import PATIENCE, open_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.streaming_hub.server.wire import Answer

COMMAND = [sys.executable, str(ROOT / "flask_server.py"), "--port", "0"]
AS_FIRST = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""Makes what follows process 1 of a namespace of its own."""


def can_be_first() -> bool:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    return subprocess.run([*AS_FIRST, "true"], capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not can_be_first(), reason="needs unshare and the right to use it")
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


def child_of(pid: int) -> int | None:
    """The first child of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def hears(pid: int | None, number: int) -> bool:
    """Whether a process has a handler for a signal (proc_pid_status, SigCgt)."""
    if pid is None:
        return False
    fields = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(fields["SigCgt"], 16) >> (number - 1) & 1)


@pytest.fixture
def start(tmp_path: Path, hubs: list[Hub]) -> Callable[..., Hub]:
    """Start the server by a command; end it."""

    def begin(command: list[str], **settings: str) -> Hub:
        hubs.append(Hub(tmp_path, command=command, STREAM_HISTORY="memory://", **settings))
        return hubs[-1].spawn()

    return begin


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_ends_it_in_silence(
    start: Callable[..., Hub], number: signal.Signals
) -> None:
    server = start(COMMAND)
    # SIGTERM is the one that Python itself leaves alone.
    until(lambda: hears(server.process.pid, signal.SIGTERM))
    server.signal(number)
    began = time.monotonic()
    assert server.wait() == -number
    assert time.monotonic() - began < 5
    assert server.log == ""


BLOCKING = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_that_the_parent_blocked_end_it(start: Callable[..., Hub], number: signal.Signals) -> None:
    server = start([sys.executable, "-c", BLOCKING, *COMMAND], STREAM_DRAIN="0.2").wait_until_up()
    server.signal(number)
    assert server.wait() == 0


@needs_namespaces
class TestProcessOne:
    """The kernel keeps process 1 from what signals do by default."""

    def first(self, server: Hub) -> int:
        """Its process id, seen from here."""
        until(lambda: child_of(server.process.pid))
        found = child_of(server.process.pid)
        assert found is not None
        return found

    def test_a_signal_while_it_starts_ends_it(self, start: Callable[..., Hub]) -> None:
        server = start([*AS_FIRST, *COMMAND])
        first = self.first(server)
        until(lambda: hears(first, signal.SIGTERM))
        os.kill(first, signal.SIGTERM)
        assert server.wait() in (143, -signal.SIGTERM)
        assert "Live page" not in server.log

    def test_one_signal_drains(self, start: Callable[..., Hub]) -> None:
        server = start([*AS_FIRST, *COMMAND], STREAM_DRAIN="0.2").wait_until_up()
        answer = open_stream(server.port)
        os.kill(self.first(server), signal.SIGTERM)
        assert answer.until_type("goodbye")[-1]["reason"] == "draining"
        assert server.wait() == 0

    def test_a_second_signal_ends_it_at_once(self, start: Callable[..., Hub]) -> None:
        server = start([*AS_FIRST, *COMMAND], STREAM_DRAIN="8").wait_until_up()
        streams = [open_stream(server.port) for _ in range(60)]
        first = self.first(server)
        os.kill(first, signal.SIGTERM)
        server.wait_for_line("shutting down")
        time.sleep(1.2)  # sooner it would count as the same one
        os.kill(first, signal.SIGTERM)
        assert server.wait() in (143, -signal.SIGTERM)
        server.wait_for_line("second signal")
        # The others were still to come: 60 goodbyes take 6 s.
        ends = [any(frame["type"] == "goodbye" for frame in told(stream)) for stream in streams]
        assert not all(ends)

    def test_orphans_do_not_stay_as_zombies(self, start: Callable[..., Hub]) -> None:
        server = start([*AS_FIRST, *COMMAND]).wait_until_up()
        first = self.first(server)
        orphans = "for i in 1 2 3; do (sleep 0.3 & echo $!); done"
        entered = ["nsenter", "--target", str(first), "--pid", "--mount", "sh", "-c", orphans]
        subprocess.run(entered, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
        until(lambda: child_of(first) is not None)
        until(lambda: child_of(first) is None)
        assert server.get("/api/health").ok


def told(stream: Answer) -> list[dict[str, Any]]:
    """All that a stream was sent."""
    stream.rest()
    return stream.frames()
