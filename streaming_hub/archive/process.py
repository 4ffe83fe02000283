"""A process of the archive's, or the one of the webhooks, as the hub sees it: started, asked, ended.

The database is known on its other side only.

It works the same with plain threads and under gevent's monkey-patching: whoever asks waits on an event, one thread
reads the answers.
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

from streaming_hub.archive import wire
from streaming_hub.archive.wire import ANSWER, BEGUN, ENDED, LOG, REFUSED, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("hub.archive")

WORKER: Final = "streaming_hub.archive.worker"
BEGIN_SECONDS: Final = 1.5
"""How long a question may wait until the database has answered at all."""
ANSWER_SECONDS: Final = 30.0
END_SECONDS: Final = 1.0
"""How long the process may take for what it has begun when the hub ends."""
WITHHELD: Final = ("STREAM_", "AGENT_", "LIVEKIT_", "OPENAI_")
"""Variables that the archive has no use for begin so, and some of them are secrets."""


class _Question:
    __slots__ = ("begun", "done", "refusal", "value")

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.done = threading.Event()
        self.value: Any = None
        self.refusal: Refusal | None = None


class ArchiveProcess:
    """A running archive process.

    Args:
        config: what it is told first, see the worker's `Config`.
        worker: the module that it runs.
        name: what it does, for messages.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, config: Mapping[str, Any], *, worker: str = WORKER, name: str = "archive") -> None:
        self._name = name
        self._sock, theirs = socket.socketpair()
        try:
            # gevent's sockets do not block, and that flag would travel with the descriptor into the child.
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
        """Whether it has ended, or no longer listens."""
        return self._gone.is_set()

    def ask(
        self, what: str, arguments: Any, *, begin: float = BEGIN_SECONDS, within: float = ANSWER_SECONDS
    ) -> Any:
        """Ask, and wait for the answer.

        Args:
            what: the question's name.
            arguments: what belongs to it.
            begin: seconds until it has to be begun.
            within: seconds until it has to be answered.

        Raises:
            Refusal: it says no, or has ended; `silent` where it does not answer.
        """
        question = _Question()
        number = next(self._numbers)
        self._open[number] = question
        try:
            self._send([number, what, arguments])
            if not question.begun.wait(begin):
                raise Refusal("silent", f"The database of the {self._name} does not answer.")
            if not question.done.wait(within):
                raise Refusal(
                    "silent", f"The process of the {self._name} did not answer within {within:.0f} s."
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
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        until = time.monotonic() + timeout
        while self._runs() and time.monotonic() < until:
            time.sleep(0.01)
        if self._runs():
            os.kill(self.pid, signal.SIGKILL)
            while self._runs():
                time.sleep(0.001)
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._end_all()

    def _runs(self) -> bool:
        """Tell whether the process has not ended yet, and take note when it has."""
        if not self._ended:
            try:
                self._ended = os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
            except ChildProcessError:
                # gevent's loop looks after every child once it looks after one.
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
            # A process that was killed; whoever waits for it tells.
            log.debug("the process of the %s broke off: %s", self._name, error)
        except ValueError as error:
            log.warning("the process of the %s cannot be understood: %s", self._name, error)
        finally:
            self._gone.set()
            self._end_all()

    def _take(self, number: int, kind: int, value: Any) -> None:
        if kind == LOG:
            log.log(logging.getLevelNamesMapping()[value[0].upper()], "%s", value[1])
            return
        question = self._open.get(number)
        if question is None:
            return
        if kind == REFUSED:
            question.refusal = Refusal(*value)
        elif kind == ANSWER:
            question.value = value
        question.begun.set()
        if kind != BEGUN:
            question.done.set()

    def _end(self) -> Refusal:
        return Refusal(ENDED, f"The process of the {self._name} has ended; it is started again.")

    def _end_all(self) -> None:
        for question in list(self._open.values()):
            question.refusal = self._end()
            question.begun.set()
            question.done.set()


def _spawn(command: list[str]) -> int:
    """Start a process in a session of its own; return its id.

    By `posix_spawn`, not by subprocess: gevent's Popen forks the interpreter, and from a thread of gevent's that prints
    a traceback in the child.

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
    """Return the process's environment: this one's, without secrets, and with the way to this package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(WITHHELD)}
    return kept | {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
