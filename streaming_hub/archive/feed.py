"""The archive as the rest of the hub knows it: fed from the history, asked by the web, ended with the hub.

One thread (a greenlet under gevent) keeps the archive's process running, sends it one page after the other, and
publishes the reports that are due. It reads the history like any subscriber, so nobody who publishes waits for it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from streaming_hub.archive.process import BEGIN_SECONDS, END_SECONDS, ArchiveProcess
from streaming_hub.archive.wire import ENDED, Refusal
from streaming_hub.errors import SettingsError, Unavailable
from streaming_hub.events import posted
from streaming_hub.history.follow import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from streaming_hub.archive.uploads.spool import Spool
    from streaming_hub.events.posted import Event
    from streaming_hub.history import History
    from streaming_hub.history.follow import Followed
    from streaming_hub.history.page import Page

log = logging.getLogger("hub.archive")

POLL: Final = 0.2
"""Seconds between two looks at whether there is something new."""
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 5.0
"""Seconds until the database is tried again."""
PING: Final = 1.0
"""Seconds between two looks at the database while there is nothing to write."""
CHORES: Final = 30.0
"""Seconds between two looks for sessions that nobody ended."""
ABANDONED_AFTER: Final = 24 * 3600.0
"""Seconds without an event after which a session that nobody answers for has ended."""
OPEN_SECONDS: Final = 600.0
"""How long making or migrating the tables may take."""
WRITE_SECONDS: Final = 20.0
"""How long writing may take; then the process is started anew."""
START_SECONDS: Final = 5.0
READ_START_SECONDS: Final = 1.3
"""How long an erasure, or a question, waits for a process that is being started."""
LEAST_BEGIN_SECONDS: Final = 0.5
"""How long the database has at least to answer a question that waited for the process."""
ERASE_BEGIN_SECONDS: Final = 3.0
"""How long an erasure waits for what the process is writing; then the caller is told to try again."""
ERASE_SECONDS: Final = 300.0
CLAIM_SECONDS: Final = 12.0
"""How long an erasure waits until the node that writes the archive has left it to this one."""
REPORTS: Final = 20
"""Reports that are published at a time."""
REPORT_RETRY: Final = 1.0
OUTBOX_SECONDS: Final = 0.5
"""Seconds between two looks at events of uploads that are not due yet."""
MOST_SID: Final = 100
"""Characters of LiveKit's id of a room."""
NAMING: Final = frozenset({"room_started", "participant_joined"})
"""Types that LiveKit's webhooks become, and that give a room's name and id."""
UPLOADS: Final = 20
"""Uploads that are archived between two pages of events."""

CATCH_UP: Final = 0.5
"""Seconds at the end in which what was published last is still archived."""
DEFAULT_FOLDER: Final = "data"
DEFAULT_FILE: Final = "archive.db"
"""Beside the history's file."""

State = Literal["ok", "away"]


class Archive:
    """See the module.

    Args:
        url: an SQLAlchemy URL.
        max_age: seconds that a session is kept after its end; 0 for good.
        recordings: whether raw events are kept.
        history: what is archived.
        lock: guards the history against whoever publishes.
        publish: publishes events of the hub's own.
        publish_made: publishes events that are made of uploads, as if they had been posted.
        answered_for: the sessions, id and room, that hold a lease or that the hub's own agent runs.
        clock: seconds since 1970.
        uploads: what LiveKit's agents upload; None where none are taken.
        prompts: whether prompts and whole model inputs of uploads are kept.
        texts: whether texts of uploads are kept at all.

    Attributes:
        reconciliation_missing: messages of LiveKit's chat histories that the transcripts lack.
        uploaded: what became of the spans and log lines of uploads, by outcome.
        state: `ok`, or `away` while the database cannot be written.
        skipped: how many events the history no longer had when they were to be archived.
        written: how many events were archived by this process.
        restarts: how often the archive's process had to be started again.
    """

    def __init__(
        self,
        url: str,
        *,
        max_age: float,
        recordings: bool,
        history: History,
        lock: AbstractContextManager[object],
        publish: Callable[[Sequence[Event]], object],
        publish_made: Callable[[Sequence[Event]], object],
        answered_for: Callable[[], Iterable[tuple[str, str | None]]],
        clock: Callable[[], float],
        uploads: Spool | None = None,
        prompts: bool = False,
        texts: bool = True,
    ) -> None:
        self.uploaded: Counter[str] = Counter()
        self.reconciliation_missing = 0
        self.state: State = "away"
        self.skipped = 0
        self.written = 0
        self.restarts = 0
        self.url = url
        self.max_age = max_age
        self._config = {
            "url": url,
            "max_age": max_age,
            "recordings": recordings,
            "prompts": prompts,
            "texts": texts,
        }
        self._uploads = uploads
        self._history = history
        self._lock = lock
        self._publish = publish
        self._publish_made = publish_made
        self._answered_for = answered_for
        self._clock = clock
        self._read: Callable[[Callable[[], Page]], Page] = lambda function: function()
        self._process: ArchiveProcess | None = None
        self._follower: Follower | None = None
        self._epoch = ""
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._up = threading.Event()
        """Set while a process runs whose database has been opened, or has turned out to be away."""
        self._erasing = threading.RLock()
        self._trouble = ""
        self._owner: Callable[[], bool] = lambda: True
        self._claim: Callable[[], object] = lambda: None
        self._reports_at: float | None = None
        self._outbox_at: float | None = 0.0
        self._chores_at = 0.0
        self._pinged_at = 0.0

    def share(self, *, owner: Callable[[], bool], claim: Callable[[], object]) -> None:
        """Be the archive of one of several nodes: one at a time writes, the others read.

        Args:
            owner: whether this node writes.
            claim: asks whoever writes to leave it to this node.
        """
        self._owner, self._claim = owner, claim

    @property
    def behind(self) -> int:
        """How many events wait to be archived; 0 before the database was reached for the first time."""
        return 0 if self._follower is None else self._follower.behind

    @property
    def description(self) -> str:
        """One sentence for the log: where sessions are kept, and for how long."""
        # The password of a database never reaches the log.
        where = re.sub(r"(?<=://)([^/@:]*):[^@]*@", r"\1:***@", self.url)
        days = f"{self.max_age / 86_400:g} days after their end" if self.max_age else "for good"
        return f"archive: sessions are kept in {where.removeprefix('sqlite:///')} {days}"

    @property
    def pid(self) -> int | None:
        """The archive's process, where it runs."""
        return None if self._process is None or self._process.gone else self._process.pid

    def start(self, read: Callable[[Callable[[], Page]], Page]) -> None:
        """Begin; a second call does nothing.

        Args:
            read: calls a function that may wait for the disk.
        """
        if self._thread is None:
            self._read = read
            self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Archive what was published last, and end the process.

        Args:
            timeout: seconds for the process's end.
        """
        until = time.monotonic() + CATCH_UP
        while self.state == "ok" and self.behind and time.monotonic() < until:
            time.sleep(0.01)
        self._stop.set()
        process = self._process
        if process is not None:
            process.close(timeout)
        if self._thread is not None:
            self._thread.join(timeout)

    def ask(self, what: str, arguments: Any, *, within: float = 30.0) -> Any:
        """Ask the archive.

        Raises:
            Refusal: it says no, or is away.
        """
        begun = time.monotonic()
        while True:
            process = self._wait_until_up(begun + READ_START_SECONDS)
            begin = max(LEAST_BEGIN_SECONDS, BEGIN_SECONDS - (time.monotonic() - begun))
            try:
                return process.ask(what, arguments, begin=begin, within=within)
            except Refusal as refusal:
                if refusal.name == ENDED:
                    continue
                if refusal.name == "away" and self._trouble:
                    # What the feed met says more than that nothing is open.
                    raise Refusal("away", self._trouble) from refusal
                raise

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Keep reports from being published while something is erased."""
        with self._erasing:
            yield

    def erase(
        self,
        *,
        session_id: str | None = None,
        rooms: Iterable[str] | None = None,
        room: str | None = None,
        known: Iterable[tuple[str, str | None]] = (),
    ) -> None:
        """Erase a session or a room, and keep out what comes late.

        Args:
            session_id: the session's.
            rooms: those that the caller may erase in; None for all.
            room: or everything in this room.
            known: sessions that are meant, whether the archive has read them or not.

        Raises:
            Refusal: the archive is away; nothing, or not all, was erased.
        """
        wanted = {
            "session_id": session_id,
            "rooms": None if rooms is None else list(rooms),
            "room": room,
            "known": [list(key) for key in known],
        }
        self._wait_until_owner()
        until = time.monotonic() + START_SECONDS
        while True:
            process = self._wait_until_up(until)
            if self.state != "ok":
                raise Refusal("away", self._trouble)
            try:
                # What waits is erased with the rest, once it is known which job it is of.
                for path in () if self._uploads is None else self._uploads.waiting():
                    process.ask("upload", str(path), begin=ERASE_BEGIN_SECONDS, within=WRITE_SECONDS)
                    if self._uploads is not None:
                        self._uploads.done(path)
                process.ask("erase", wanted, begin=ERASE_BEGIN_SECONDS, within=ERASE_SECONDS)
            except Refusal as refusal:
                # Whatever it had erased stays erased; the rest is asked for again.
                if refusal.name != ENDED:
                    raise
            else:
                return

    def _wait_until_owner(self) -> None:
        """Have this node write the archive: what another node has in mind of a session would outlive its erasure.

        Raises:
            Refusal: whoever writes it does not leave it.
        """
        if self._follower is not None and self._owner():
            return
        self._claim()
        until = time.monotonic() + CLAIM_SECONDS
        while self._follower is None or not self._owner():
            if self._stop.is_set() or time.monotonic() >= until:
                raise Refusal("away", self._trouble or "Another node writes it; ask again.")
            time.sleep(0.02)

    def _wait_until_up(self, until: float) -> ArchiveProcess:
        """Return the process, waiting until a time where it is being started.

        Raises:
            Refusal: it is not up by then.
        """
        while True:
            process = self._process
            if process is not None and not process.gone and self._up.is_set():
                return process
            if self._stop.is_set() or time.monotonic() >= until:
                raise Refusal("away", self._trouble or "The archive is being started.")
            time.sleep(0.02)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            try:
                try:
                    if not self._owner():
                        self._look()
                    else:
                        self._open()
                        self._next_page()
                    self._works()
                finally:
                    # Also where the database is away: that is known then, and nobody has to wait for it.
                    self._up.set()
                pause = FIRST_PAUSE
                while not self._stop.is_set() and self._owner() is (self._follower is not None):
                    if self._follower is None:
                        self._write("ping", None)
                        self._stop.wait(POLL)
                    elif not self._step():
                        self._stop.wait(POLL)
                if self._follower is not None and not self._stop.is_set():
                    # The next owner needs what this process holds of the database.
                    self._leave()
            except Refusal as error:
                self._failed(error.text)
                if error.name == ENDED and pause == FIRST_PAUSE:
                    # A process that worked until now: whoever asks waits for the next one.
                    pause *= 2
                    continue
            except OSError as error:
                self._failed(f"its process cannot be started: {error}")
            except Exception:
                log.exception("the archive's feed failed; it goes on from its position")
                self._failed("its feed failed")
            self._stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _failed(self, text: str) -> None:
        if self._stop.is_set():
            return
        if text != self._trouble:
            log.warning("archive: %s The hub goes on, and the archive catches up later.", text)
        self.state, self._trouble = "away", text

    def _leave(self) -> None:
        self._follower = None
        if self._process is not None:
            self._process.close(END_SECONDS)

    def _look(self) -> None:
        """Bring the process up to read what another node writes."""
        self._follower = None
        self._started().ask("look", None, begin=OPEN_SECONDS, within=OPEN_SECONDS)

    def _started(self) -> ArchiveProcess:
        """Return the process, started anew where it has ended."""
        process = self._process
        if process is None or process.gone:
            if process is not None:
                process.close(0.0)
                self.restarts += 1
            self._up.clear()
            process = self._process = ArchiveProcess(self._config)
        return process

    def _open(self) -> None:
        """Bring the process up, and stand where its database stands."""
        position = self._started().ask("open", None, begin=OPEN_SECONDS, within=OPEN_SECONDS)
        bounds = self._history.bounds
        if position is not None and position[0] in bounds.carried:
            # What survived a loss of the history has been archived already, as far as it was read.
            survived = min(position[1], bounds.carried[position[0]])
            position = [bounds.epoch, max(survived, bounds.oldest - 1)]
            self._write("begin", position)
        elif position is None or position[0] != bounds.epoch or position[1] > bounds.head:
            position = [bounds.epoch, bounds.oldest - 1]
            self._write("begin", position)
        self._epoch = bounds.epoch
        self._follower = Follower(self._history, position[1], read=self._read, lock=self._lock)
        self._reports_at = 0.0

    def _works(self) -> None:
        """Take note that the database takes what is written: a full one opens all the same."""
        if self._trouble:
            log.warning("archive: back, %d events behind", self.behind)
        self.state, self._trouble = "ok", ""

    def _step(self) -> bool:
        """Archive a page, or do what else is due; return whether there may be more."""
        if self._epoch != self._history.bounds.epoch:
            self._open()
        found = self._next_page()
        if self._uploads is not None:
            found = self._take_uploads(self._uploads) or found
        now = time.monotonic()
        if self._uploads is not None and self._outbox_at is not None and now >= self._outbox_at:
            found = self._publish_uploaded(now) or found
        if now >= self._chores_at:
            self._chores_at = now + CHORES
            before = self._clock() - ABANDONED_AFTER
            if self._uploads is not None:
                self.reconciliation_missing += self._write("reconcile", None)
            if self._write("abandon", [before, [list(key) for key in self._answered_for()]]):
                self._reports_at = 0.0
            self._pinged_at = now
        if self._reports_at is not None and now >= self._reports_at:
            # They are in the history now, and count once the archive has read them there.
            found = self._publish_reports(now) or found
        if not found and now >= self._pinged_at + PING:
            self._write("ping", None)
            self._pinged_at = now
        return found

    def _next_page(self) -> bool:
        """Archive what comes next; return whether there was anything."""
        assert self._follower is not None  # noqa: S101 - `_open` has made it
        assert self._process is not None  # noqa: S101 - and this
        if self._process.gone:
            raise Refusal(ENDED, "The archive's process has ended; it is started again.")
        try:
            page = self._follower.next()
        except Unavailable:
            # The history is away; whoever follows it has said so.
            return False
        if page is None:
            return False
        message = self._page(page)
        if self._write("page", message):
            self._reports_at = 0.0
        self.skipped += page.skipped
        self.written += len(message["lines"])
        return True

    def _take_uploads(self, uploads: Spool) -> bool:
        """Archive some of what agents uploaded; return whether there was anything."""
        with self._erasing:
            waiting = uploads.waiting()[:UPLOADS]
            for path in waiting:
                self.uploaded.update(self._write("upload", str(path)))
                uploads.done(path)
        if waiting:
            self._outbox_at = 0.0
        return bool(waiting)

    def _publish_uploaded(self, now: float) -> bool:
        """Publish events that are made of uploads; return whether there was anything."""
        with self._erasing:
            due = self._write("outbox", None)
            self._outbox_at = now + OUTBOX_SECONDS if due["more"] else None
            if not due["ids"]:
                return False
            try:
                self._publish_made([posted.make(fields) for fields in due["events"]])
            except Unavailable as error:
                log.warning("what an agent uploaded could not be published, and is tried again: %s", error)
                self._outbox_at = now + REPORT_RETRY
                return False
            self._write("published", due["ids"])
        self._outbox_at = 0.0
        return True

    def _write(self, what: str, arguments: Any) -> Any:
        assert self._process is not None  # noqa: S101 - `_open` has made it
        try:
            return self._process.ask(what, arguments, begin=WRITE_SECONDS, within=WRITE_SECONDS)
        except Refusal as error:
            if error.name == "silent":
                self._process.close(0.0)
            raise

    def _page(self, page: Followed) -> dict[str, Any]:
        lines = [entry.data for entry in page.entries if entry.session_id is not None]
        return {
            "epoch": self._epoch,
            "after": page.after,
            "upto": page.upto,
            "at": page.entries[-1].at if page.entries else self._clock(),
            "lines": lines,
            "skipped": page.skipped,
            "rooms": {} if self._uploads is None else _rooms_named(page),
        }

    def _publish_reports(self, now: float) -> bool:
        """Publish what is due; return whether there was anything."""
        with self._erasing:
            due = self._write("reports", REPORTS)
            try:
                for fields in due:
                    self._publish([posted.make(fields)])
            except Unavailable as error:
                log.warning("a session's report could not be published, and is tried again: %s", error)
                self._reports_at = now + REPORT_RETRY
                return False
        self._reports_at = now if len(due) == REPORTS else None
        return bool(due)


class _Named(msgspec.Struct):
    room: Any = None
    room_sid: Any = None


def _rooms_named(page: Followed) -> dict[str, str]:
    """Return the rooms' names by LiveKit's ids, as far as events of a page tell both."""
    found: dict[str, str] = {}
    for entry in page.entries:
        if entry.type in NAMING:
            told = msgspec.json.decode(entry.data, type=_Named)
            if (
                isinstance(told.room, str)
                and isinstance(told.room_sid, str)
                and len(told.room_sid) <= MOST_SID
            ):
                found[told.room_sid] = told.room
    return found


def url_of(archive: str | None, history: str) -> str | None:
    """Return where the archive is kept; None where it is off.

    Args:
        archive: STREAM_ARCHIVE.
        history: STREAM_HISTORY; a history on disk has its archive beside it unless told otherwise.

    Raises:
        SettingsError: both are one file, which the history keeps for itself.
    """
    if archive == "off":
        return None
    kind, _, path = history.partition("://")
    if archive is not None:
        if kind == "sqlite" and _same_file(archive, history):
            raise SettingsError(
                "STREAM_ARCHIVE names the history's own file; choose another, such as archive.db."
            )
        return archive
    if kind == "memory":
        return None
    # Of a history on a server it lies where SQLite's would.
    file = Path(path.removeprefix("/")) if kind == "sqlite" else Path(DEFAULT_FOLDER) / DEFAULT_FILE
    return f"sqlite:///{file.with_name(DEFAULT_FILE)}"


def _same_file(one: str, other: str) -> bool:
    paths = [Path(url.removeprefix("sqlite:///")) for url in (one, other) if url.startswith("sqlite:///")]
    return len(paths) == 2 and paths[0].resolve() == paths[1].resolve()
