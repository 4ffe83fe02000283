"""A process beside the hub, as the hub sees it: started, asked, stopped.

Only the process knows the database. Works the same with plain threads and under gevent's monkey-patching: the caller
waits for an event, and one thread reads the answers.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.sidecar import wire
from streaming_hub.sidecar.wire import ANSWER, BEGUN, ENDED, LOG, REFUSED, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGIN_SECONDS: Final = 1.5
"""How long a request may wait for the database to begin with it."""
ANSWER_SECONDS: Final = 30.0
END_SECONDS: Final = 1.0
"""How long the process may take to finish what it has begun."""
WITHHELD: Final = ("STREAM_", "AGENT_", "LIVEKIT_", "OPENAI_")
"""Prefixes of variables that the process does not need; some of them are secrets."""


class _Question:
    __slots__ = ("begun", "done", "refusal", "seen", "value")

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.seen = 0.0
        """When the process last said that it works on it."""
        self.done = threading.Event()
        self.value: Any = None
        self.refusal: Refusal | None = None


class Process:
    """A running process.

    Args:
        config: the first message it gets, see the worker's `Config`.
        worker: the module that it runs.
        name: what it does, for messages.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, config: Mapping[str, Any], *, worker: str, name: str) -> None:
        self._name = name
        self._log = logging.getLogger(worker)
        self._sock, theirs = socket.socketpair()
        try:
            # gevent's sockets do not block, and the child would inherit that flag with the descriptor.
            os.set_blocking(theirs.fileno(), True)
            os.set_inheritable(theirs.fileno(), True)  # noqa: FBT003 - the standard library's own signature
            self.pid: int = _spawn([sys.executable, "-m", worker, str(theirs.fileno())])
        except BaseException:
            self._sock.close()
            raise
        finally:
            theirs.close()
        self._ended = False
        self._numbers = itertools.count(1)
        self._open: dict[int, _Question] = {}
        self._sending = threading.Lock()
        self._gone = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"{name}-answers", daemon=True)
        self._reader.start()
        self._send([0, "config", dict(config)])

    @property
    def gone(self) -> bool:
        """Whether it has ended or no longer listens."""
        return self._gone.is_set()

    def ask(
        self, what: str, arguments: Any, *, begin: float = BEGIN_SECONDS, within: float = ANSWER_SECONDS
    ) -> Any:
        """Send a request, and wait for the answer.

        Args:
            what: the request's name.
            arguments: what belongs to it.
            begin: seconds until the process has to begin with it.
            within: seconds until it has to answer after that, or to say that it still works on it.

        Raises:
            Refusal: it refuses or has ended; `silent` if it does not answer.
        """
        question = _Question()
        number = next(self._numbers)
        self._open[number] = question
        try:
            self._send([number, what, arguments])
            if not question.begun.wait(begin):
                raise Refusal("silent", f"The database of the {self._name} does not respond.")
            while not question.done.wait(within):
                if time.monotonic() - question.seen >= within:
                    raise Refusal(
                        "silent", f"The process of the {self._name} did not respond within {within:.0f} s."
                    )
        finally:
            self._open.pop(number, None)
        if question.refusal is not None:
            raise question.refusal
        return question.value

    def close(self, timeout: float = END_SECONDS) -> None:
        """Hang up, let it finish what it has begun, and wait until it has ended.

        Args:
            timeout: seconds; then it is killed.
        """
        self._gone.set()
        with contextlib.suppress(OSError):  # it has ended
            self._sock.shutdown(socket.SHUT_WR)
        until = time.monotonic() + timeout
        while self._runs() and time.monotonic() < until:
            time.sleep(0.01)
        if self._runs():
            os.kill(self.pid, signal.SIGKILL)
            while self._runs():
                time.sleep(0.001)
        with contextlib.suppress(OSError):  # closed by the other end; this ends the thread that reads
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._end_all()

    def _runs(self) -> bool:
        """Return whether the process still runs; collect its status once it has ended."""
        if not self._ended:
            try:
                self._ended = os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
            except ChildProcessError:
                # Once gevent's loop waits for one child, it collects all of them.
                self._ended = True
        return not self._ended

    def _send(self, message: list[Any]) -> None:
        try:
            with self._sending:
                wire.send(self._sock, message)
        except OSError as error:
            self._gone.set()
            raise self._end() from error

    def _read(self) -> None:
        try:
            while (message := wire.receive(self._sock)) is not None:
                self._take(*message)
        except OSError as error:
            # The process was killed; the callers that wait for it report that.
            self._log.debug("the connection to the process of the %s broke: %s", self._name, error)
        except ValueError as error:
            self._log.warning("the process of the %s sent what is no message: %s", self._name, error)
        finally:
            self._gone.set()
            self._end_all()

    def _take(self, number: int, kind: int, value: Any) -> None:
        if kind == LOG:
            self._log.log(logging.getLevelNamesMapping()[value[0].upper()], "%s", value[1])
            return
        question = self._open.get(number)
        if question is None:
            return
        if kind == REFUSED:
            question.refusal = Refusal(*value)
        elif kind == ANSWER:
            question.value = value
        question.seen = time.monotonic()
        question.begun.set()
        if kind != BEGUN:
            question.done.set()

    def _end(self) -> Refusal:
        return Refusal(ENDED, f"The process of the {self._name} has ended; it is being restarted.")

    def _end_all(self) -> None:
        for question in list(self._open.values()):
            question.refusal = self._end()
            question.begun.set()
            question.done.set()


def _spawn(command: list[str]) -> int:
    """Start a process in a session of its own; return its id.

    Uses `posix_spawn`, not subprocess: gevent's Popen forks the interpreter, which prints a traceback in the child if
    it is called from one of gevent's threads.

    Raises:
        OSError: it cannot be started.
    """
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    try:
        return os.posix_spawn(command[0], command, _environ(), file_actions=actions, setsid=True)
    except NotImplementedError:
        # A libc without POSIX_SPAWN_SETSID: a group of its own keeps the terminal's signals away just as well.
        return os.posix_spawn(command[0], command, _environ(), file_actions=actions, setpgroup=0)


def _environ() -> dict[str, str]:
    """Return this process's environment without secrets, and with the path to this package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(WITHHELD)}
    return kept | {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
