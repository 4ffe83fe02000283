"""The archive as the rest of the hub knows it: fed from the history, queried by the web, stopped with the hub.

Besides pages of events, its process gets what LiveKit's agents upload, and hands out the reports that are due.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.archive.messages import Page, Wanted
from streaming_hub.errors import InvalidEvent, SettingsError, Unavailable
from streaming_hub.events import posted
from streaming_hub.sidecar.feed import (
    CLAIM_SECONDS,
    ERASE_SECONDS,
    OPEN_SECONDS,
    PING,
    START_SECONDS,
    WRITE_SECONDS,
    Feed,
)
from streaming_hub.sidecar.process import BEGIN_SECONDS
from streaming_hub.sidecar.wire import ENDED, Refusal
from streaming_hub.wording import age_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from streaming_hub.archive.uploads.spool import Spool
    from streaming_hub.events.posted import Event
    from streaming_hub.history import History
    from streaming_hub.history.bounds import Bounds
    from streaming_hub.history.follow import Followed

CHORES: Final = 30.0
"""Seconds between two checks for sessions that never ended."""
ABANDONED_AFTER: Final = 24 * 3600.0
"""Seconds without an event after which a session that no agent holds has ended."""
READ_START_SECONDS: Final = 1.3
"""How long a query waits for a process that is starting."""
LEAST_BEGIN_SECONDS: Final = 0.5
"""How long the database has at least to begin a query that waited for the process."""
ERASE_BEGIN_SECONDS: Final = 3.0
"""How long an erasure waits for what the process is writing; then the client has to retry."""
REPORTS: Final = 20
"""Reports that are published at a time."""
REPORT_RETRY: Final = 1.0
OUTBOX_SECONDS: Final = 0.5
"""Seconds between two checks at events of uploads that are not due yet."""
MOST_SID: Final = 100
"""Characters of LiveKit's id of a room."""
NAMING: Final = frozenset({"room_started", "participant_joined"})
"""Types that LiveKit's webhooks become, and that give a room's name and id."""
LEAVING: Final = frozenset({"participant_left", "room_finished"})
"""Types that tell of an agent's end."""
AGENT: Final = "agent-"
"""livekit-server calls an agent's participant this and its job, unless the agent chooses a name."""
UPLOADS: Final = 20
"""Uploads that are archived between two pages of events."""
DEFAULT_FOLDER: Final = "data"
DEFAULT_FILE: Final = "archive.db"
"""Beside the history's file."""


class Archive(Feed):
    """See the module.

    Args:
        url: an SQLAlchemy URL.
        max_age: seconds that a session is kept after its end; 0: forever.
        recordings: whether raw events are kept.
        history: what is archived.
        lock: guards the history against publishers.
        publish: publishes the hub's own events.
        publish_made: publishes events made from uploads, as if they had been posted.
        hide_words: takes what was said in a session out of everything that was published.
        answered_for: the sessions, id and room, that hold a lease or that the hub's own agent runs.
        clock: seconds since 1970.
        uploads: what LiveKit's agents upload; None if uploads are off.
        prompts: whether prompts and whole model inputs of uploads are kept.
        texts: whether texts of uploads are kept at all.
        watched: whether a watcher may report the same sessions as uploads.
        audio: the folder for the audio of recordings; None where it is not kept.
        redact: the operator's hook; None where there is none.

    Attributes:
        reconciliation_missing: how many messages of LiveKit's chat histories are missing from the transcripts.
        uploaded: how many spans and log lines were uploaded, by outcome.
        written: how many events this hub has archived.
    """

    NAME = "archive"
    WORKER = "streaming_hub.archive.worker"
    POLL = 0.2
    CATCH_UP = 0.5
    STOP_SECONDS = 1.0

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
        hide_words: Callable[[str], object],
        answered_for: Callable[[], Iterable[tuple[str, str | None]]],
        clock: Callable[[], float],
        uploads: Spool | None,
        prompts: bool,
        texts: bool,
        watched: bool,
        audio: Path | None,
        redact: Callable[[Event], Event] | None,
    ) -> None:
        config = {
            "url": url,
            "max_age": max_age,
            "recordings": recordings,
            "prompts": prompts,
            "texts": texts,
            "watched": watched,
            "audio": None if audio is None else str(audio),
        }
        super().__init__(config, history=history, lock=lock, publish=publish)
        self.uploaded: Counter[str] = Counter()
        self.reconciliation_missing = 0
        self.written = 0
        self.url = url
        self.max_age = max_age
        self._uploads = uploads
        self._redact = redact or (lambda event: event)
        self._publish_made = publish_made
        self._hide_words = hide_words
        self._answered_for = answered_for
        self._clock = clock
        self._erasing = threading.RLock()
        self._reports_at: float | None = None
        self._outbox_at: float | None = 0.0
        self._chores_at = 0.0

    @property
    def description(self) -> str:
        """Where sessions are stored and for how long, as a sentence for the log."""
        # The database's password must not reach the log; the options after the "?" may hold it, too.
        where = re.sub(r"(?<=://)([^/@:]*):[^@]*@", r"\1:***@", self.url).partition("?")[0]
        end = f"deleted {age_text(self.max_age)} after their end" if self.max_age else "never deleted"
        return f"archive: sessions are stored in {where.removeprefix('sqlite:///')} and {end}"

    def ask(self, what: str, arguments: Any, *, within: float = 30.0) -> Any:
        """Query the archive.

        Raises:
            Refusal: the query is refused, or the archive is away.
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
                    # The feed's error says more than that no database is open.
                    raise Refusal("away", self._trouble) from refusal
                raise

    @contextmanager
    def erasing(self) -> Iterator[None]:
        """Hold back reports during an erasure."""
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
        """Erase a session or a room, and reject events of it that arrive later.

        Args:
            session_id: the session to erase.
            rooms: the rooms that the caller may erase in; None for all.
            room: or everything in this room.
            known: sessions to erase even if the archive has not read them yet.

        Raises:
            Refusal: the archive is away; some or all of it was not erased.
        """
        wanted = Wanted(session_id, None if rooms is None else list(rooms), room, list(known))
        self._wait_until_owner()
        until = time.monotonic() + START_SECONDS
        while True:
            process = self._wait_until_up(until)
            if self.state != "ok":
                raise Refusal("away", self._trouble)
            try:
                # Pending uploads are erased with the rest, once archiving them has shown which job they belong to.
                for path in () if self._uploads is None else self._uploads.waiting():
                    process.ask("upload", str(path), begin=ERASE_BEGIN_SECONDS, within=WRITE_SECONDS)
                    if self._uploads is not None:
                        self._uploads.done(path)
                process.ask("erase", wanted, begin=ERASE_BEGIN_SECONDS, within=ERASE_SECONDS)
            except Refusal as refusal:
                # What has been erased stays erased; ask for the rest again.
                if refusal.name != ENDED:
                    raise
            else:
                return

    def _wait_until_owner(self) -> None:
        """Make this node the writer: what another node holds in memory of a session would survive its erasure.

        Raises:
            Refusal: the node that writes does not hand over.
        """
        if self._owner():
            if self._follower is not None:
                return
            if self._trouble and self._up.is_set():
                # The database has never been open: there is nothing to hand over, and it is known to be away.
                raise Refusal("away", self._trouble)
        self._claim()
        until = time.monotonic() + CLAIM_SECONDS
        while self._follower is None or not self._owner():
            if self._stop.is_set() or time.monotonic() >= until:
                raise Refusal("away", self._trouble or "Another node writes the archive; try again.")
            time.sleep(0.02)

    def _stand_by(self) -> None:
        """Only read what another node writes."""
        self._follower = None
        self._started()
        self._write("look", None, within=OPEN_SECONDS)

    def _rest(self) -> None:
        self._write("ping", None)

    def _opened(self, bounds: Bounds, after: int) -> None:
        super()._opened(bounds, after)
        self._reports_at = 0.0

    def _works(self) -> None:
        if self._follower is not None:
            # Write something first: a full database can still be opened.
            self._next_page()
        super()._works()

    def _step(self) -> bool:
        """Archive a page, or do what else is due; return whether there may be more."""
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
                if self._write("lost", None):
                    self._outbox_at = 0.0
            if self._write("abandon", [before, [list(key) for key in self._answered_for()]]):
                self._reports_at = 0.0
            self._pinged_at = now
        if self._reports_at is not None and now >= self._reports_at:
            # A report counts as published once the archive has read it from the history.
            found = self._publish_reports(now) or found
        if not found and now >= self._pinged_at + PING:
            self._write("ping", None)
            self._pinged_at = now
        return found

    def _next_page(self) -> bool:
        """Archive the next page; return whether there was one."""
        assert self._follower is not None  # noqa: S101 - `_open` has made it
        try:
            page = self._follower.next()
        except Unavailable:
            # The history is away, which its own reader has logged.
            return False
        if page is None:
            return False
        message = self._page(page)
        if self._write("page", message):
            self._reports_at = 0.0
        self.skipped += page.skipped
        self.written += len(message.lines)
        return True

    def _take_uploads(self, uploads: Spool) -> bool:
        """Archive some uploads; return whether there were any."""
        with self._erasing:
            waiting = uploads.waiting()[:UPLOADS]
            for path in waiting:
                self.uploaded.update(self._write("upload", str(path)))
                uploads.done(path)
        if waiting:
            self._outbox_at = 0.0
        return bool(waiting)

    def _publish_uploaded(self, now: float) -> bool:
        """Publish events made from uploads; return whether there were any."""
        with self._erasing:
            due = self._write("outbox", None)
            self._outbox_at = now + OUTBOX_SECONDS if due["more"] else None
            if not due["ids"]:
                return False
            try:
                for report in due["reports"]:
                    self._write("report", [report["job"], self._redacted(report)])
                self._publish_made(list(self._made(due["events"])))
                for session_id in due["redacted"]:
                    self._hide_words(session_id)
                    self._write("redact", session_id)
            except Unavailable as error:
                self._log.warning(
                    "events from an upload could not be published and will be retried: %s", error
                )
                self._outbox_at = now + REPORT_RETRY
                return False
            self._write("published", due["ids"])
        self._outbox_at = 0.0
        return True

    def _made(self, due: Iterable[dict[str, Any]]) -> Iterator[Event]:
        for fields in due:
            try:
                yield posted.make(fields)
            except InvalidEvent as error:
                # Retried, it would hold up all others.
                self._log.error("an event made from an upload is left out: %s", error)

    def _redacted(self, report: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the messages of a report as the operator's hook leaves them: as transcripts, which it knows."""
        about = {"type": "transcript", "is_final": True, "room": report["room"], "session_id": report["job"]}
        found = []
        for message in report["messages"]:
            event = posted.make(about | {"role": message["role"], "text": message["text"]})
            text = posted.fields_of(self._redact(event)).get("text")
            if isinstance(text, str) and text.strip():
                found.append(message | {"text": text})
        return found

    def _page(self, page: Followed) -> Page:
        return Page(
            epoch=self._epoch,
            after=page.after,
            upto=page.upto,
            at=page.entries[-1].at if page.entries else self._clock(),
            lines=[entry.data for entry in page.entries if entry.session_id is not None],
            skipped=page.skipped,
            **({} if self._uploads is None else _from_livekit(page)),
        )

    def _publish_reports(self, now: float) -> bool:
        """Publish the reports that are due; return whether there were any."""
        with self._erasing:
            due = self._write("reports", REPORTS)
            try:
                for fields in due:
                    self._publish([posted.make(fields)])
            except Unavailable as error:
                self._log.warning("a session's report could not be published and will be retried: %s", error)
                self._reports_at = now + REPORT_RETRY
                return False
        self._reports_at = now if len(due) == REPORTS else None
        return bool(due)


class _LiveKitEvent(msgspec.Struct):
    room: Any = None
    room_sid: Any = None
    participant: Any = None


def _from_livekit(page: Followed) -> dict[str, Any]:
    """Return what LiveKit's webhooks report of rooms and jobs: see `Page`."""
    rooms: dict[str, str] = {}
    gone: list[str] = []
    closed: list[str] = []
    for entry in page.entries:
        if entry.type not in NAMING and entry.type not in LEAVING:
            continue
        event = msgspec.json.decode(entry.data, type=_LiveKitEvent)
        sid = event.room_sid if isinstance(event.room_sid, str) and len(event.room_sid) <= MOST_SID else None
        if entry.type in NAMING and sid is not None and isinstance(event.room, str):
            rooms[sid] = event.room
        elif entry.type == "room_finished" and sid is not None:
            closed.append(sid)
        elif entry.type == "participant_left" and isinstance(event.participant, str):
            job = event.participant.removeprefix(AGENT)
            if job != event.participant and len(job) <= MOST_SID:
                gone.append(job)
    return {"rooms": rooms, "gone": gone, "closed": closed}


def url_of(archive: str | None, history: str) -> str | None:
    """Return the archive's URL; None if the archive is off.

    Args:
        archive: STREAM_ARCHIVE.
        history: STREAM_HISTORY; by default the archive lies beside a history on disk.

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
    # For a history on a server: where it would be for SQLite.
    file = Path(path.removeprefix("/")) if kind == "sqlite" else Path(DEFAULT_FOLDER) / DEFAULT_FILE
    return f"sqlite:///{file.with_name(DEFAULT_FILE)}"


def _same_file(one: str, other: str) -> bool:
    paths = [Path(url.removeprefix("sqlite:///")) for url in (one, other) if url.startswith("sqlite:///")]
    return len(paths) == 2 and paths[0].resolve() == paths[1].resolve()
