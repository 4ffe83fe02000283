"""The hub's side of a sidecar: keeps its process running, sends it the history page by page, and asks it.

One thread (a greenlet under gevent) does all of the writing. It reads the history like any subscriber, so no publisher
waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from streaming_hub.errors import Unavailable
from streaming_hub.history.follow import Follower
from streaming_hub.sidecar.process import Process
from streaming_hub.sidecar.wire import ENDED, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from streaming_hub.events.posted import Event
    from streaming_hub.history import History
    from streaming_hub.history.bounds import Bounds
    from streaming_hub.history.page import Page

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
"""Seconds before the database is tried again."""
PING: Final = 1.0
"""Seconds between two checks of the database while there is nothing to write."""
OPEN_SECONDS: Final = 600.0
"""How long creating or migrating the tables may take."""
WRITE_SECONDS: Final = 20.0
"""How long writing may take; then the process is replaced."""
START_SECONDS: Final = 5.0
"""How long a request waits for a process that is starting."""
CLAIM_SECONDS: Final = 12.0
"""How long a request waits for another node to hand over the database."""
ERASE_SECONDS: Final = 300.0
CHECK_INTERVAL: Final = 0.02
"""Seconds between two checks at whether the process is up."""

State = Literal["ok", "away", "off"]


class Feed(ABC):
    """See the module. Subclasses say what a page becomes, and what else is due.

    Args:
        config: the process's first message, see its `Config`.
        history: what is followed.
        lock: guards the history against publishers.
        publish: publishes the hub's own events.

    Attributes:
        state: `ok`, `away` while the database cannot be written, or `off` if nothing has been started.
        skipped: how many events the history had dropped before they were read.
        restarts: how often the process had to be restarted.
    """

    NAME: ClassVar[str]
    """For logs, errors and the thread."""
    WORKER: ClassVar[str]
    """The module that the process runs."""
    POLL: ClassVar[float]
    """Seconds between two checks for new events."""
    CATCH_UP: ClassVar[float]
    """Seconds at the end in which the last events are still sent."""
    STOP_SECONDS: ClassVar[float]
    """How long the process may take to finish what it has begun."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        history: History,
        lock: AbstractContextManager[object],
        publish: Callable[[Sequence[Event]], object],
    ) -> None:
        self.state: State = "away"
        self.skipped = 0
        self.restarts = 0
        self._log = logging.getLogger(type(self).__module__)
        self._config: dict[str, Any] = dict(config)
        self._history = history
        self._lock = lock
        self._publish = publish
        self._read: Callable[[Callable[[], Page]], Page] = lambda function: function()
        self._process: Process | None = None
        self._follower: Follower | None = None
        """None while this node does not own the database."""
        self._epoch = ""
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._up = threading.Event()
        """Set while a process runs whose database has been opened, or has turned out to be away."""
        self._trouble = ""
        self._pinged_at = 0.0
        self._owner: Callable[[], bool] = lambda: True
        self._claim: Callable[[], object] = lambda: None

    def share(self, *, owner: Callable[[], bool], claim: Callable[[], object]) -> None:
        """Work for several nodes, one of which owns the database at a time.

        Args:
            owner: whether this node does.
            claim: asks the owner to hand it over to this node.
        """
        self._owner, self._claim = owner, claim

    @property
    def behind(self) -> int:
        """How many events are still to be read; 0 until the database has been opened."""
        return 0 if self._follower is None else self._follower.behind

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return None if self._process is None or self._process.gone else self._process.pid

    def start(self, read: Callable[[Callable[[], Page]], Page]) -> None:
        """Begin; a second call does nothing.

        Args:
            read: calls a function that may wait for the disk.
        """
        if self._thread is None:
            self._read = read
            self._begin()

    def stop(self) -> None:
        """Send the last events, and end the process."""
        until = time.monotonic() + self.CATCH_UP
        while self.state == "ok" and self.behind and time.monotonic() < until:
            time.sleep(0.01)
        self._stop.set()
        if self._process is not None:
            self._process.close(self.STOP_SECONDS)
        if self._thread is not None:
            self._thread.join(self.STOP_SECONDS)

    @abstractmethod
    def _step(self) -> bool:
        """Send a page, or do what else is due; return whether there may be more."""

    @abstractmethod
    def _stand_by(self) -> None:
        """Do what a node does that does not own the database."""

    @abstractmethod
    def _rest(self) -> None:
        """Do what is due while another node owns the database."""

    def _first_position(self, bounds: Bounds) -> int:
        """Return after which number a new database begins."""
        return bounds.oldest - 1

    def _opened(self, bounds: Bounds, after: int) -> None:
        """Follow the history from a position."""
        self._epoch = bounds.epoch
        self._follow(after)

    def _follow(self, after: int) -> None:
        self._follower = Follower(self._history, after, read=self._read, lock=self._lock)

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self.NAME, daemon=True)
        self._thread.start()

    def _wait_until_up(self, until: float) -> Process:
        """Return the process; wait for one that is starting.

        Raises:
            Refusal: it is not up by that time.
        """
        while True:
            process = self._process
            if process is not None and not process.gone and self._up.is_set():
                return process
            if self._stop.is_set() or time.monotonic() >= until:
                raise Refusal("away", self._trouble or self._why_not_up())
            time.sleep(CHECK_INTERVAL)

    def _why_not_up(self) -> str:
        return (
            "The process is being started." if self._owner() else "Another node has the database; try again."
        )

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            try:
                try:
                    if self._owner():
                        self._open()
                    else:
                        self._stand_by()
                    self._works()
                finally:
                    # If the database is away, this is known now, and no request has to wait.
                    self._up.set()
                pause = FIRST_PAUSE
                self._work()
                continue
            except (Refusal, Unavailable) as error:
                self._failed(str(error))
                if isinstance(error, Refusal) and error.name == ENDED and pause == FIRST_PAUSE:
                    # The process worked until now, and requests wait for the next one: start it at once.
                    pause *= 2
                    continue
            except OSError as error:
                self._failed(f"The process cannot be started: {error}.")
            except Exception:  # noqa: BLE001 - logged; whatever it was, the next page is tried
                self._log.exception("unexpected error: the feed failed; it continues from its position")
                self._failed("The feed failed; see the log.")
            self._stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _work(self) -> None:
        """Send pages as they arrive, until the hub stops or the database changes its owner."""
        while not self._stop.is_set() and self._owner() is (self._follower is not None):
            if self._follower is None:
                self._rest()
                self._stop.wait(self.POLL)
                continue
            self._check_alive()
            if self._epoch != self._history.bounds.epoch:
                self._open()
            if not self._step():
                self._stop.wait(self.POLL)
        if self._follower is not None and not self._stop.is_set():
            self._leave()

    def _leave(self) -> None:
        """End the process: the next owner needs what it holds of the database."""
        process, self._process = self._process, None
        self._follower = None
        self._up.clear()
        if process is not None:
            process.close(self.STOP_SECONDS)

    def _failed(self, trouble: str) -> None:
        if self._stop.is_set():
            return
        if trouble != self._trouble:
            self._log.warning("%s: %s The hub continues; what is missing follows later.", self.NAME, trouble)
        self.state, self._trouble = "away", trouble

    def _works(self) -> None:
        """Note that the database accepts what is written."""
        if self._trouble:
            self._log.warning("%s: back, %d events behind", self.NAME, self.behind)
        self.state, self._trouble = "ok", ""

    def _started(self) -> Process:
        """Return the process; start a new one if it has ended."""
        process = self._process
        if process is None or process.gone:
            if process is not None:
                process.close(0.0)
                self.restarts += 1
            self._up.clear()
            process = self._process = Process(self._config, worker=self.WORKER, name=self.NAME)
        return process

    def _open(self) -> None:
        """Start the process if needed, and continue where its database ends."""
        self._started()
        position = self._write("open", None, within=OPEN_SECONDS)
        bounds = self._history.bounds
        if position is not None and position[0] in bounds.carried:
            # What survived a loss of the history has been read already, as far as reading had come.
            survived = min(position[1], bounds.carried[position[0]])
            position = [bounds.epoch, max(survived, bounds.oldest - 1)]
            self._write("begin", position)
        elif position is None or position[0] != bounds.epoch or position[1] > bounds.head:
            first = self._first_position(bounds) if position is None else bounds.oldest - 1
            position = [bounds.epoch, first]
            self._write("begin", position)
        self._opened(bounds, position[1])

    def _check_alive(self) -> None:
        """Notice that the process has ended although there is nothing to write.

        Raises:
            Refusal: it has.
        """
        if self._process is None or self._process.gone:
            raise Refusal(ENDED, "The process has ended; it is being restarted.")

    def _write(self, what: str, arguments: Any, *, within: float = WRITE_SECONDS) -> Any:
        """Ask the process; end it if it does not answer.

        Raises:
            Refusal: it refuses, has ended, or does not answer.
        """
        assert self._process is not None  # noqa: S101 - `_open` has made it
        try:
            return self._process.ask(what, arguments, begin=within, within=within)
        except Refusal as error:
            if error.name == "silent":
                self._process.close(0.0)
            raise
