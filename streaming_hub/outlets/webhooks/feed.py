"""The webhooks as the rest of the hub knows them: fed from the history, asked by the web, ended with the hub.

One thread (a greenlet under gevent) keeps the webhooks' process running, sends it what some endpoint may want, and
publishes the `error` events that it has. It reads the history like any subscriber, so no publisher waits for it. The
process is started when the first endpoint is made; a hub without webhooks does not pay for them.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from streaming_hub.archive.process import ArchiveProcess
from streaming_hub.archive.wire import ENDED, Refusal
from streaming_hub.errors import Unavailable
from streaming_hub.events import posted
from streaming_hub.history.follow import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from streaming_hub.events.posted import Event
    from streaming_hub.events.stored import Entry
    from streaming_hub.history import History
    from streaming_hub.history.page import Page

log = logging.getLogger("hub.webhooks")

WORKER: Final = "streaming_hub.outlets.webhooks.worker"
NAME: Final = "webhooks"
FILE: Final = "outlets.db"
"""Beside the archive's file."""
POLL: Final = 0.1
"""Seconds between two looks at whether there is something new."""
PING: Final = 1.0
"""Seconds between two looks at the database, and at what it has to report, while there is nothing to write."""
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
OPEN_SECONDS: Final = 600.0
WRITE_SECONDS: Final = 20.0
START_SECONDS: Final = 5.0
"""How long a question waits for a process that is being started."""
CLAIM_SECONDS: Final = 12.0
"""How long it waits until another node has left the database to this one."""
BEGIN_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 30.0
ERASE_SECONDS: Final = 300.0
STOP_SECONDS: Final = 1.5
CATCH_UP: Final = 0.3
"""Seconds at the end in which what was published last is still taken."""

State = Literal["ok", "away", "off"]


class Webhooks:
    """See the module.

    Args:
        url: an SQLAlchemy URL: of `outlets.db`, or the archive's PostgreSQL.
        config: what the process is told, see `worker.Config`; without `url`.
        history: what is passed on.
        lock: guards the history against publishers.
        publish: publishes events of the hub's own.

    Attributes:
        state: `off` until there is an endpoint, `away` while the database cannot be written.
        status: what the process last said of itself.
        skipped: how many events the history no longer had when they were to be read.
        restarts: how often the process had to be started again.
    """

    def __init__(
        self,
        url: str,
        config: Mapping[str, Any],
        *,
        history: History,
        lock: AbstractContextManager[object],
        publish: Callable[[Sequence[Event]], object],
    ) -> None:
        self.state: State = "off"
        self.status: dict[str, Any] = {}
        self.skipped = 0
        self.restarts = 0
        self._config: dict[str, Any] = {**config, "url": url}
        self._history = history
        self._lock = lock
        self._publish = publish
        self._read: Callable[[Callable[[], Page]], Page] = lambda function: function()
        self._process: ArchiveProcess | None = None
        self._follower: Follower | None = None
        self._sent = 0
        """The position that the process is known to have."""
        self._filter: tuple[int, Any] = (0, None)
        """By which version of the endpoints, and their types, events above that position are chosen."""
        self._thread: threading.Thread | None = None
        self._started = False
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._up = threading.Event()
        self._reading = threading.RLock()
        """Held while events are on their way from the history to the process, and while they are erased."""
        self._trouble = ""
        self._pinged_at = 0.0
        self._epoch = ""
        self._owner: Callable[[], bool] = lambda: True
        self._claim: Callable[[], object] = lambda: None
        path = url.removeprefix("sqlite:///")
        self._needed = path == url or bool(config.get("given")) or Path(path).exists()

    def share(self, *, owner: Callable[[], bool], claim: Callable[[], object]) -> None:
        """Deliver for several nodes: one at a time has the database, and whichever is asked takes it over.

        Args:
            owner: whether this node has it.
            claim: asks whichever node has it to leave it to this one.
        """
        self._owner, self._claim = owner, claim
        # Another node may have made an endpoint.
        self._needed = True

    @property
    def behind(self) -> int:
        """How many events wait to be read."""
        return 0 if self._follower is None else self._follower.behind

    @property
    def pid(self) -> int | None:
        """The process, where it runs."""
        return None if self._process is None or self._process.gone else self._process.pid

    def start(self, read: Callable[[Callable[[], Page]], Page]) -> None:
        """Begin, if there may be endpoints; a second call does nothing.

        Args:
            read: calls a function that may wait for the disk.
        """
        if self._started:
            return
        self._started = True
        self._read = read
        if self._needed:
            self.need()

    def need(self) -> None:
        """Begin, as there is going to be an endpoint."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self.state = "away"
                self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
                self._thread.start()

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Pass on what was published last, and end the process.

        Args:
            timeout: seconds for the process's end.
        """
        until = time.monotonic() + CATCH_UP
        while self.state == "ok" and self.behind and time.monotonic() < until:
            time.sleep(0.01)
        self._stop.set()
        if self._process is not None:
            self._process.close(timeout)
        if self._thread is not None:
            self._thread.join(timeout)

    @property
    def used(self) -> bool:
        """Whether there may be endpoints."""
        return self._thread is not None

    def ask(self, what: str, arguments: Any, *, within: float = ANSWER_SECONDS) -> Any:
        """Ask the process.

        Raises:
            Refusal: it says no, or is away.
        """
        wait = START_SECONDS
        if not self._owner():
            self._claim()
            wait = CLAIM_SECONDS
        until = time.monotonic() + wait
        while True:
            process = self._wait_until_up(until)
            try:
                return process.ask(what, arguments, begin=BEGIN_SECONDS, within=within)
            except Refusal as refusal:
                if refusal.name != ENDED or time.monotonic() >= until or what not in ("list", "deliveries"):
                    raise

    def change(self, what: str, arguments: Any) -> Any:
        """Ask for a change of the endpoints, and take note of what they want from now on.

        Raises:
            Refusal: as `ask`.
        """
        answer = self.ask(what, arguments)
        self.status = {name: value for name, value in answer.items() if name != "value"}
        return answer["value"]

    @contextmanager
    def erasing(
        self, *, room: str | None = None, session_id: str | None = None, rooms: Sequence[str] | None = None
    ) -> Iterator[None]:
        """Erase copies and log rows of a room or a session; nothing is read of the history until the end.

        Args:
            room: everything in this room.
            session_id: or this session.
            rooms: in these rooms; None for all.

        Raises:
            Refusal: the webhooks are away; nothing was erased.
        """
        with self._reading:
            if self.used:
                wanted = {
                    "room": room,
                    "session_id": session_id,
                    "rooms": None if rooms is None else list(rooms),
                }
                self.ask("erase", wanted, within=ERASE_SECONDS)
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep erasures out while events are read from the history for the process."""
        with self._reading:
            yield

    def _wait_until_up(self, until: float) -> ArchiveProcess:
        while True:
            process = self._process
            if process is not None and not process.gone and self._up.is_set():
                return process
            if self._stop.is_set() or time.monotonic() >= until:
                waiting = "being started" if self._owner() else "with another node; ask again"
                raise Refusal("away", self._trouble or f"The webhooks are {waiting}.")
            time.sleep(0.02)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            if not self._owner():
                self._leave()
                self._stop.wait(POLL)
                continue
            try:
                try:
                    self._open()
                finally:
                    self._up.set()
                if self._trouble:
                    log.warning("webhooks: back, %d events behind", self.behind)
                self.state, self._trouble = "ok", ""
                pause = FIRST_PAUSE
                while not self._stop.is_set() and self._owner():
                    if not self._step():
                        self._stop.wait(POLL)
                continue
            except (Refusal, Unavailable) as error:
                self._failed(str(error))
                if isinstance(error, Refusal) and error.name == ENDED and pause == FIRST_PAUSE:
                    pause *= 2
                    continue
            except OSError as error:
                self._failed(f"their process cannot be started: {error}")
            except Exception:
                log.exception("the webhooks' feed failed; it continues from its position")
                self._failed("their feed failed")
            self._stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _leave(self) -> None:
        """End the process: the node that delivers now needs what it holds of the database."""
        process, self._process = self._process, None
        self._follower = None
        self._up.clear()
        self.state, self._trouble = "ok", ""
        if process is not None:
            process.close(STOP_SECONDS)

    def _failed(self, text: str) -> None:
        if self._stop.is_set():
            return
        if text != self._trouble:
            log.warning("webhooks: %s The hub continues, and they catch up later.", text)
        self.state, self._trouble = "away", text

    def _open(self) -> None:
        """Bring the process up, and stand where its database stands."""
        process = self._process
        if process is None or process.gone:
            if process is not None:
                process.close(0.0)
                self.restarts += 1
            self._up.clear()
            process = self._process = ArchiveProcess(self._config, worker=WORKER, name=NAME)
            # An endpoint of the settings that was disabled is enabled by a start of the hub alone.
            self._config["enable"] = False
        position = self._write("open", None, within=OPEN_SECONDS)
        bounds = self._history.bounds
        if position is not None and position[0] in bounds.carried:
            # What survived a loss of the history has been read already, as far as it was.
            survived = min(position[1], bounds.carried[position[0]])
            position = [bounds.epoch, max(survived, bounds.oldest - 1)]
            self._write("begin", position)
        elif position is None or position[0] != bounds.epoch or position[1] > bounds.head:
            first = bounds.head if position is None else bounds.oldest - 1
            position = [bounds.epoch, first]
            self._write("begin", position)
        self._write("given", bounds.head)
        self._epoch = bounds.epoch
        self._follow(position[1])

    def _follow(self, after: int) -> None:
        self._sent = after
        self._filter = (self.status["version"], self.status["wanted"])
        self._follower = Follower(self._history, after, read=self._read, lock=self._lock)

    def _step(self) -> bool:
        """Pass on a page, or do what else is due; return whether there may be more."""
        assert self._process is not None  # noqa: S101 - `_open` has made it
        if self._process.gone:
            raise Refusal(ENDED, "The process of the webhooks has ended; it is started again.")
        if self._epoch != self._history.bounds.epoch:
            self._open()
        with self._reading:
            found = self._next_page()
            found = self._catch_up() or found
        if not found and time.monotonic() >= self._pinged_at + PING:
            self._pinged_at = time.monotonic()
            self._flush()
            self._write("ping", None)
            self._publish_notices()
        return found

    def _next_page(self) -> bool:
        """Pass on what comes next; return whether there was anything."""
        if self.status["version"] != self._filter[0]:
            # An endpoint was made or changed, and may want what was left out: read it again.
            self._follow(self._sent)
        assert self._follower is not None  # noqa: S101 - `_open` has made it
        page = self._follower.next()
        if page is None:
            return False
        lines = _lines(page.entries, self._filter[1])
        if lines or page.skipped:
            # A page of which no endpoint wants anything is passed on with the next one, or by `_flush`.
            self._pass_on(page.upto, lines, page.skipped)
            self.skipped += page.skipped
        return True

    def _flush(self) -> None:
        """Have the process know that it has all that it wants up to here."""
        with self._reading:
            if self._follower is not None and self._follower.position > self._sent:
                self._pass_on(self._follower.position, [], 0)

    def _pass_on(self, upto: int, lines: list[list[Any]], skipped: int) -> None:
        if self._write_page(self._filter[0], self._sent, upto, lines=lines, skipped=skipped):
            self._sent = upto

    def _catch_up(self) -> bool:
        """Read on for endpoints that are not as far as the others; return whether there was anything."""
        found = False
        version, wanted = self.status["version"], self.status["wanted"]
        for name, after in self.status["catching_up"]:
            page = Follower(self._history, after, read=self._read, lock=self._lock).next()
            if page is not None:
                lines = _lines(page.entries, wanted)
                self._write_page(version, after, page.upto, lines=lines, skipped=page.skipped, endpoint=name)
                found = True
        return found

    def _write_page(
        self,
        version: int,
        after: int,
        upto: int,
        *,
        lines: list[list[Any]],
        skipped: int,
        endpoint: str | None = None,
    ) -> bool:
        """Have the process store a page; return whether it did: not where the endpoints have changed meanwhile."""
        page = {
            "version": version,
            "epoch": self._history.bounds.epoch,
            "after": after,
            "upto": upto,
            "lines": lines,
            "skipped": skipped,
            "endpoint": endpoint,
        }
        try:
            self._write("page", page)
        except Refusal as refusal:
            if refusal.name != "stale":
                raise
            self._write("ping", None)
            return False
        return True

    def _write(self, what: str, arguments: Any, *, within: float = WRITE_SECONDS) -> Any:
        assert self._process is not None  # noqa: S101 - `_open` has made it
        try:
            answer = self._process.ask(what, arguments, begin=within, within=within)
        except Refusal as error:
            if error.name == "silent":
                self._process.close(0.0)
            raise
        self.status = {name: value for name, value in answer.items() if name != "value"}
        return answer["value"]

    def _publish_notices(self) -> None:
        assert self._process is not None  # noqa: S101 - `_open` has made it
        due = self._process.ask("notices", None, begin=WRITE_SECONDS, within=WRITE_SECONDS)
        if not due:
            return
        try:
            self._publish([posted.make({"event_id": name, **fields}) for name, fields in due])
        except Unavailable as error:
            log.warning("an error of a webhook could not be published, and is tried again: %s", error)
            return
        self._process.ask("published", [name for name, _ in due], begin=WRITE_SECONDS, within=WRITE_SECONDS)


def _lines(entries: Sequence[Entry], wanted: Sequence[str] | None) -> list[list[Any]]:
    types = None if wanted is None else frozenset(wanted)
    return [
        [entry.seq, entry.at, entry.operator_only, entry.data]
        for entry in entries
        if types is None or entry.type in types
    ]


def url_of(archive: str) -> str:
    """Return where the webhooks are kept.

    Args:
        archive: the archive's URL: beside its file, or in the same PostgreSQL.
    """
    if not archive.startswith("sqlite:///"):
        return archive
    path = archive.removeprefix("sqlite:///")
    return f"sqlite:///{Path(path).with_name(FILE)}"
