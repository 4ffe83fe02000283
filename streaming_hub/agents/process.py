"""One child process: started, read, waited for, killed with its group. The only place that uses subprocess.

It works the same with plain threads and under gevent's monkey-patching, so everything that may wait goes through
module attributes that gevent replaces (`threading`, `subprocess`, `select.poll`, `time.sleep`). The log pipe
is made here instead of by Popen: gevent's Popen closes such a pipe twice when the command cannot be executed,
the second time when its number may already belong to another socket.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streaming_hub.agents.output import Splitter
from streaming_hub.agents.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Lines = Callable[[list[bytes]], None]

CONTROL_FD = "AGENT_CONTROL_FD"
"""The environment variable with the number of the child's end of the control socket."""

WITHHELD = frozenset(
    {
        "STREAM_PUBLISH_KEYS",
        "STREAM_SUBSCRIBE_KEYS",
        "STREAM_OPERATOR_KEYS",
        "STREAM_JWT_SECRET",
        CONTROL_FD,
    }
)
"""The hub's own secrets: the agent gets a publish key of its own and has no use for these."""

CHUNK = 16_384
"""Bytes read at a time."""

FLOOD_PAUSE = 0.005
"""Seconds to wait after a full chunk: a child that floods its log waits, the hub does not."""

CHECK_INTERVAL = 500
"""Milliseconds between checks whether the child has ended while another process still has its pipes."""

MOST_SESSIONS = 1_000_000
"""Most live sessions that a child may report."""

LEFTOVER_CHUNKS = 64
"""How many chunks are still read from the pipes after the child's end."""


MOST_COUNTS = 20
"""Counts of one message that are read."""


@dataclass(frozen=True)
class Report:
    """One message of the child on the control socket.

    Attributes:
        state: its state.
        sessions: live sessions.
        reason: why it failed, or gets no new rooms for now.
        counts: what else it counts, by name; the watcher does.
    """

    state: State
    sessions: int = 0
    reason: str = ""
    counts: dict[str, int] = field(default_factory=dict)


def parse_report(line: bytes) -> Report:
    """Parse one line of the control socket; a number that cannot be right counts as none.

    Raises:
        ValueError: the line is not a JSON object with a state that a child may report.
    """
    message = json.loads(line)
    state = message.get("state") if isinstance(message, dict) else None
    if state not in ("ready", "running", "failed", "draining"):
        raise ValueError('it must be an object whose "state" is ready, running, failed or draining')
    sessions, reason = message.get("sessions"), message.get("reason")
    named = message.get("counts")
    counts = {str(name): _count(value) for name, value in named.items()} if isinstance(named, dict) else {}
    return Report(
        State(state),
        _count(sessions),
        reason if isinstance(reason, str) else "",
        dict(list(counts.items())[:MOST_COUNTS]),
    )


def _count(value: object) -> int:
    # True is an int, too; and an impossible number would reach pages and Prometheus.
    return value if type(value) is int and 0 < value <= MOST_SESSIONS else 0


def exit_name(code: int) -> int | str:
    """Return Popen's return code in readable form: the exit code, or the name of the signal that ended it."""
    if code >= 0:
        return code
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


class Child:
    """A running child in a session of its own, with a log pipe and a control socket.

    Args:
        command: the program and its arguments.
        environ: the child's whole environment; `AGENT_CONTROL_FD` is added.
        cwd: the directory it runs in; the server's own by default.

    Raises:
        OSError: the command cannot be executed, or the system has no descriptors or processes left.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], cwd: Path | None) -> None:
        self._control, theirs = socket.socketpair()
        self._log, log_end = os.pipe()
        try:
            # gevent's sockets do not block, and the child would inherit that flag with the descriptor.
            os.set_blocking(theirs.fileno(), True)
            self._process = subprocess.Popen(  # noqa: S603 - the command is the server's own, never a request's
                list(command),
                cwd=cwd,
                env={**environ, CONTROL_FD: str(theirs.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=log_end,
                stderr=log_end,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            self._close()
            raise
        finally:
            theirs.close()
            os.close(log_end)
        self.pid: int = self._process.pid
        self._ended = False
        self._listener: threading.Thread | None = None

    def listen(self, on_lines: Lines, on_report: Lines) -> None:
        """Start the thread that reads the log pipe and the control socket, line by line, until both end."""
        arguments = (on_lines, on_report)
        self._listener = threading.Thread(
            target=self._listen, args=arguments, name=f"agent-{self.pid}-pipes", daemon=True
        )
        self._listener.start()

    def send(self, **fields: float) -> None:
        """Write one line to the control socket; a child that is gone, or reads nothing, does not get it."""
        with suppress(OSError):  # its own clock ends what this would have renewed
            self._control.send(json.dumps(fields).encode() + b"\n", socket.MSG_DONTWAIT)

    def terminate(self) -> None:
        """Ask the child to drain (SIGTERM only to it: it ends its own children)."""
        with suppress(ProcessLookupError):  # it has ended
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the child and everything in its group (SIGKILL)."""
        if not self._ended:
            self._kill_group()

    def wait(self) -> int:
        """Wait for the child's end and its last output, and kill what is left of its group.

        To be called by one thread only: Popen.wait holds a lock meanwhile.
        """
        code: int = self._process.wait()
        self._kill_group()
        self._ended = True
        if self._listener is not None:
            self._listener.join()
        else:
            self._close()
        return code

    def _kill_group(self) -> None:
        # The group's number stays taken while it has members. Once it is empty there is nothing to find; macOS
        # answers EPERM for a group of zombies.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _listen(self, on_lines: Lines, on_report: Lines) -> None:
        control = self._control.fileno()
        sinks = {self._log: (Splitter(), on_lines), control: (Splitter(), on_report)}
        poll = select.poll()
        for descriptor in sinks:
            poll.register(descriptor, select.POLLIN)
        leftover = LEFTOVER_CHUNKS
        while sinks and leftover:
            ready = poll.poll(CHECK_INTERVAL)
            if self._ended:
                leftover = leftover - 1 if ready else 0
            for descriptor, _ in ready:
                data = _read(descriptor)
                splitter, sink = sinks[descriptor]
                sink(splitter.feed(data) if data else list(filter(None, [splitter.flush()])))
                if not data:
                    poll.unregister(descriptor)
                    del sinks[descriptor]
                if len(data) == CHUNK:
                    time.sleep(FLOOD_PAUSE)
        self._close()

    def _close(self) -> None:
        self._control.close()
        os.close(self._log)


def _read(descriptor: int) -> bytes:
    """Return what there is to read; empty at the end, or if the connection broke."""
    try:
        return os.read(descriptor, CHUNK)
    except ConnectionError:
        return b""
