"""`--workers N`: a parent that serves no requests and N children, each a node on the same port.

    parent   opens the listening sockets, starts the children, replaces those that die, passes signals on
    child    the same command line, with the sockets inherited; says on a pipe that it serves; ends with its parent

By `posix_spawn`, not by `fork`: no child begins with a copy of the parent's event loop. Uses no event loop itself.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from gevent import monkey

from streaming_hub import signals

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

VARIABLE: Final = "HUB_WORKER"
"""A child's `Place`, as JSON."""
MOST: Final = 256
CHECK_INTERVAL: Final = 0.05
SHORT_LIFE: Final = 10.0
"""Seconds; a child that lived shorter is started again after a pause."""
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 4.0
END_SECONDS: Final = 9.5
"""How long the children have after a signal; then they are killed."""
CANNOT_START: Final = 2
READY: Final = b"r"

# gevent's own would have its loop wait for the children, and take their end away from here.
_spawn, _waitpid = monkey.get_original("os", ["posix_spawnp", "waitpid"])
_sleep = monkey.get_original("time", "sleep")


class Place(msgspec.Struct, frozen=True):
    """A child's share of the work.

    Attributes:
        number: from 1.
        listeners: descriptors of the listening sockets.
        ready: descriptor of the pipe on which it says that it serves.
        parent: descriptor of the pipe that ends with the parent.
        greets: whether it greets the operator, for all of them.
    """

    number: int
    listeners: list[int]
    ready: int
    parent: int
    greets: bool


def place() -> Place | None:
    """Return what the parent passed to this process; None if it is no child."""
    text = os.environ.pop(VARIABLE, "")
    return msgspec.json.decode(text, type=Place) if text else None


class Child:
    """This process as a child.

    Args:
        place: from the parent.
    """

    def __init__(self, place: Place) -> None:
        self.number = place.number
        self.greets = place.greets
        self.listeners = [socket.socket(fileno=number) for number in place.listeners]
        self._ready = place.ready
        self._parent = place.parent
        for number in (*place.listeners, place.ready, place.parent):
            os.set_inheritable(number, False)  # noqa: FBT003 - the standard library's own signature

    def serves(self) -> None:
        """Notify the parent."""
        os.write(self._ready, READY)
        os.close(self._ready)

    def end_with_parent(self) -> None:
        """End as by SIGTERM once the parent is gone, in whatever way it ended."""

        def wait() -> None:
            while os.read(self._parent, 1):
                continue
            os.kill(os.getpid(), signal.SIGTERM)

        # A real thread: it waits in a system call, whatever the loop does.
        monkey.get_original("_thread", "start_new_thread")(wait, ())


class _Running:
    def __init__(self, number: int, pid: int, ready: int) -> None:
        self.number = number
        self.pid = pid
        self.ready = ready
        self.serves = False
        self.started = time.monotonic()


class Workers:
    """The parent.

    Args:
        count: how many children.
        listeners: bound and listening.
    """

    def __init__(self, count: int, listeners: Sequence[socket.socket]) -> None:
        self._count = count
        self._listeners = listeners
        self._command = [sys.executable, *sys.orig_argv[1:]]
        self._running: dict[int, _Running] = {}
        self._due: dict[int, float] = {}
        self._pauses: dict[int, float] = {}
        self._began = False
        self._signalled: list[float] = []
        # Its other end closes with this process, even by SIGKILL.
        self._life, self._held = os.pipe()

    def run(self) -> int:
        """Start the children and look after them until a signal ends all.

        Returns:
            The exit code: 0, or 2 where they cannot start.
        """
        for one in signals.ENDING:
            signal.signal(one, self._on_signal)
        for listener in self._listeners:
            os.set_inheritable(listener.fileno(), True)  # noqa: FBT003 - the standard library's own signature
        for number in range(1, self._count + 1):
            self._start(number)
        code = 0
        while not self._signalled:
            code = self._check()
            if code:
                break
            _sleep(CHECK_INTERVAL)
        self._end()
        return code

    def _start(self, number: int) -> None:
        ours, theirs_ready = os.pipe()
        os.set_blocking(ours, False)
        place = Place(
            number,
            [listener.fileno() for listener in self._listeners],
            theirs_ready,
            self._life,
            greets=number == 1 and not self._began,
        )
        inherited = (theirs_ready, self._life)
        for descriptor in inherited:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - the standard library's own signature
        environ = {**os.environ, VARIABLE: msgspec.json.encode(place).decode()}
        try:
            pid = _spawn(
                self._command[0],
                self._command,
                environ,
                setsigdef=list(signals.ENDING),
            )
        finally:
            os.close(theirs_ready)
        self._running[number] = _Running(number, pid, ours)
        self._due.pop(number, None)

    def _check(self) -> int:
        """Note which children serve and which are gone; return the code to end with, or 0."""
        for child in list(self._running.values()):
            if not child.serves:
                child.serves = self._said_ready(child)
            pid, status = _waitpid(child.pid, os.WNOHANG)
            if pid:
                code = self._ended(child, os.waitstatus_to_exitcode(status))
                if code:
                    return code
        if not self._began and all(child.serves for child in self._running.values()) and not self._due:
            self._began = True
        for number, due in list(self._due.items()):
            if time.monotonic() >= due:
                self._start(number)
        return 0

    def _said_ready(self, child: _Running) -> bool:
        try:
            return os.read(child.ready, 1) == READY
        except BlockingIOError:
            return False

    def _ended(self, child: _Running, code: int) -> int:
        """Have a child replaced; return the code to end with where none can start."""
        del self._running[child.number]
        os.close(child.ready)
        if not self._began and code == CANNOT_START:
            # It has said why, and the others would say the same.
            return code
        short = time.monotonic() - child.started < SHORT_LIFE
        pause = self._pauses.get(child.number, FIRST_PAUSE) if short else 0.0
        self._pauses[child.number] = min(2 * pause, LONGEST_PAUSE) or FIRST_PAUSE
        self._due[child.number] = time.monotonic() + pause
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        log.error("worker %d (process %d) ended by %s; starting another", child.number, child.pid, how)
        return 0

    def _end(self) -> None:
        """End every child; those that do not are killed."""
        self._kill(signal.SIGTERM)
        until = time.monotonic() + END_SECONDS
        repeated = False
        while self._running:
            for child in list(self._running.values()):
                if _waitpid(child.pid, os.WNOHANG)[0]:
                    del self._running[child.number]
            if time.monotonic() >= until:
                numbers = ", ".join(map(str, sorted(self._running)))
                log.error("killing workers that did not end within %g s: %s", END_SECONDS, numbers)
                self._kill(signal.SIGKILL)
                until = float("inf")
            elif not repeated and self._asked_again():
                # At once: each child leaves its agent to its control socket.
                repeated = True
                self._kill(signal.SIGTERM)
            _sleep(CHECK_INTERVAL)

    def _asked_again(self) -> bool:
        return any(at - self._signalled[0] > signals.SAME for at in self._signalled[1:])

    def _kill(self, number: int) -> None:
        for child in self._running.values():
            try:
                os.kill(child.pid, number)
            except ProcessLookupError:
                log.debug("worker %d is gone already", child.number)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self._signalled.append(time.monotonic())
