"""The webhooks as the rest of the hub knows them: fed from the history, queried by the web, stopped with the hub.

Their process gets the events that some endpoint may want, and hands out the `error` events that it has. It is started
when the first endpoint is made; a hub without webhooks does not pay for them.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.errors import Unavailable
from streaming_hub.events import posted
from streaming_hub.history.follow import Follower
from streaming_hub.outlets.webhooks import messages
from streaming_hub.outlets.webhooks.messages import Line
from streaming_hub.sidecar.feed import CLAIM_SECONDS, ERASE_SECONDS, PING, START_SECONDS, WRITE_SECONDS, Feed
from streaming_hub.sidecar.wire import ENDED, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from streaming_hub.events.posted import Event
    from streaming_hub.events.stored import Entry
    from streaming_hub.history import History
    from streaming_hub.history.bounds import Bounds
    from streaming_hub.history.page import Page
    from streaming_hub.sidecar.process import Process

FILE: Final = "outlets.db"
"""Beside the archive's file."""
READS: Final = frozenset({"list", "deliveries", "delivery"})
"""Requests that may be asked again of a process that was restarted."""
CHANGES: Final = frozenset({"create", "change", "delete"})
"""Requests after which endpoints may want other events."""
BEGIN_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 30.0


class Webhooks(Feed):
    """See the module.

    Args:
        url: an SQLAlchemy URL: of `outlets.db`, or the archive's PostgreSQL.
        config: for the process, see `worker.Config`; without `url`.
        history: what is followed.
        lock: guards the history against publishers.
        publish: publishes the hub's own events.

    Attributes:
        status: what the process last reported of itself.
    """

    NAME = "webhooks"
    WORKER = "streaming_hub.outlets.webhooks.worker"
    POLL = 0.1
    CATCH_UP = 0.3
    STOP_SECONDS = 1.5

    def __init__(
        self,
        url: str,
        config: Mapping[str, Any],
        *,
        history: History,
        lock: AbstractContextManager[object],
        publish: Callable[[Sequence[Event]], object],
    ) -> None:
        super().__init__({**config, "url": url}, history=history, lock=lock, publish=publish)
        self.state = "off"
        self.status: dict[str, Any] = {}
        self._sent = 0
        """The position that the process has confirmed."""
        self._filter: tuple[int, Any] = (0, None)
        """The version of the endpoints, and their event types, that select the events above that position."""
        self._ready = False
        """Whether the hub has started."""
        self._starting = threading.Lock()
        self._reading = threading.RLock()
        """Held while events move from the history to the process, and during erasures."""
        path = url.removeprefix("sqlite:///")
        self._needed = path == url or bool(config.get("given")) or Path(path).exists()

    def share(self, *, owner: Callable[[], bool], claim: Callable[[], object]) -> None:
        """Deliver for several nodes: one of them has the database, and whichever is asked takes it over.

        Args:
            owner: whether this node has it.
            claim: asks the owner to hand it over to this node.
        """
        super().share(owner=owner, claim=claim)
        # Another node may have made an endpoint.
        self._needed = True

    def start(self, read: Callable[[Callable[[], Page]], Page]) -> None:
        """Begin, if there may be endpoints; a second call does nothing.

        Args:
            read: calls a function that may wait for the disk.
        """
        if self._ready:
            return
        self._ready = True
        self._read = read
        if self._needed:
            self.need()

    def need(self) -> None:
        """Start the process, before the first endpoint is created."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self.state = "away"
                self._begin()

    @property
    def used(self) -> bool:
        """Whether there may be endpoints."""
        return self._thread is not None

    def ask(self, what: str, arguments: Any, *, within: float = ANSWER_SECONDS) -> Any:
        """Send the process a request.

        Raises:
            Refusal: it refuses, or is away.
        """
        wait = START_SECONDS
        if not self._owner():
            self._claim()
            wait = CLAIM_SECONDS
        until = time.monotonic() + wait
        while True:
            process = self._wait_until_up(until)
            try:
                answer = process.ask(what, arguments, begin=BEGIN_SECONDS, within=within)
                return self._noted(answer) if what in CHANGES else answer
            except Refusal as refusal:
                if refusal.name != ENDED or time.monotonic() >= until or what not in READS:
                    raise

    @contextmanager
    def erasing(
        self, *, room: str | None = None, session_id: str | None = None, rooms: Sequence[str] | None = None
    ) -> Iterator[None]:
        """Erase copies and log rows of a room or a session; the history is not read until the context ends.

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
        """Block erasures while events are read from the history for the process."""
        with self._reading:
            yield

    def _stand_by(self) -> None:
        """Leave delivering to the owner."""
        self._leave()
        self.state, self._trouble = "ok", ""

    def _rest(self) -> None:
        """Nothing is due: a process is started when this node owns the database."""

    def _started(self) -> Process:
        process = super()._started()
        # Only a start of the hub re-enables the endpoint of the settings, not a restart of the process.
        self._config["enable"] = False
        return process

    def _first_position(self, bounds: Bounds) -> int:
        return bounds.head

    def _opened(self, bounds: Bounds, after: int) -> None:
        self._write("given", bounds.head)
        super()._opened(bounds, after)

    def _follow(self, after: int) -> None:
        super()._follow(after)
        self._sent = after
        self._filter = (self.status["version"], self.status["wanted"])

    def _step(self) -> bool:
        """Send a page, or do what else is due; return whether there may be more."""
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
        """Send the next page; return whether there was one."""
        if self.status["version"] != self._filter[0]:
            # A new or changed endpoint may want events that were left out: read them again.
            self._follow(self._sent)
        assert self._follower is not None  # noqa: S101 - `_open` has made it
        page = self._follower.next()
        if page is None:
            return False
        lines = _lines(page.entries, self._filter[1])
        if lines or page.skipped:
            # A page that no endpoint wants anything of is confirmed with the next one, or by `_flush`.
            self._pass_on(page.upto, lines, page.skipped)
            self.skipped += page.skipped
        return True

    def _flush(self) -> None:
        """Tell the process that it has everything it wants up to here."""
        with self._reading:
            if self._follower is not None and self._follower.position > self._sent:
                self._pass_on(self._follower.position, [], 0)

    def _pass_on(self, upto: int, lines: list[Line], skipped: int) -> None:
        if self._write_page(self._filter[0], self._sent, upto, lines=lines, skipped=skipped):
            self._sent = upto

    def _catch_up(self) -> bool:
        """Read a page for each endpoint that is behind the others; return whether there was one."""
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
        lines: list[Line],
        skipped: int,
        endpoint: str | None = None,
    ) -> bool:
        """Have the process store a page; return False if the endpoints have changed in the meantime."""
        epoch = self._history.bounds.epoch
        page = messages.Page(version, epoch, after, upto, lines, skipped, endpoint)
        try:
            self._write("page", page)
        except Refusal as refusal:
            if refusal.name != "stale":
                raise
            self._write("ping", None)
            return False
        return True

    def _write(self, what: str, arguments: Any, *, within: float = WRITE_SECONDS) -> Any:
        return self._noted(super()._write(what, arguments, within=within))

    def _noted(self, answer: dict[str, Any]) -> Any:
        """Note the process's state, which comes with an answer; return the answer without it."""
        self.status = {name: value for name, value in answer.items() if name != "value"}
        return answer["value"]

    def _publish_notices(self) -> None:
        due = super()._write("notices", None)
        if not due:
            return
        try:
            self._publish([posted.make({"event_id": name, **fields}) for name, fields in due])
        except Unavailable as error:
            self._log.warning(
                "an error event about a webhook could not be published and will be retried: %s", error
            )
            return
        super()._write("published", [name for name, _ in due])


def _lines(entries: Sequence[Entry], wanted: Sequence[str] | None) -> list[Line]:
    types = None if wanted is None else frozenset(wanted)
    return [line_of(entry) for entry in entries if types is None or entry.type in types]


def line_of(entry: Entry) -> Line:
    """Return an event as the process gets it."""
    return Line(entry.seq, entry.at, entry.operator_only, entry.data)


def url_of(archive: str) -> str:
    """Return the URL of the webhooks' database.

    Args:
        archive: the archive's URL: beside its file, or in the same PostgreSQL.
    """
    if not archive.startswith("sqlite:///"):
        return archive
    path = archive.removeprefix("sqlite:///")
    return f"sqlite:///{Path(path).with_name(FILE)}"
