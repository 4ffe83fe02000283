"""The archive's own process, run as a module: the only one that uses the database.

    main thread    reads the hub's requests
    writer         pages, erasures, chores: one after the other, in the order in which they were requested
    readers        queries, in parallel with the writer and each other
    statistics     statistics, one after the other: a month that is not stored takes seconds, and lists must not wait

Reducing events and building rows takes CPU time; the hub's process has one thread for all its streams, which this would
hold up.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.archive import queries, removal, reports, stats, views
from streaming_hub.archive.messages import Asked, Page, Search, Wanted
from streaming_hub.archive.raw import raw_page
from streaming_hub.archive.store import Behind, Store, seq_of
from streaming_hub.archive.tables import ARCHIVE
from streaming_hub.archive.uploads.otlp import Undecodable
from streaming_hub.archive.uploads.recording import Message
from streaming_hub.archive.uploads.taking import Uploads
from streaming_hub.events.types import operator_only
from streaming_hub.sidecar.database import Away, Database
from streaming_hub.sidecar.wire import Refusal
from streaming_hub.sidecar.worker import HubLine, main
from streaming_hub.wording import age_text

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from concurrent.futures import Executor

READERS: Final = 4
LONG: Final = frozenset({"stats"})
"""Queries that may take seconds."""
CHORE_SECONDS: Final = 5.0
"""Seconds between checks for expired sessions."""
MERGE_SECONDS: Final = 240.0
MERGE_EXPIRED_SECONDS: Final = 86_400.0
"""Minimum seconds between two merges of the search index after an erasure, or an expiry."""
EMPTY_SECONDS: Final = 0.5
"""Seconds between two tries to empty SQLite's log while a long read holds it open."""
KEPT_IN_MIND: Final = 3600.0
"""How far back, in seconds, a new process looks for erasures that may still have entries in the index."""
IDLE_SECONDS: Final = 0.2
PROGRESS_SECONDS: Final = 1.0
"""Seconds between two signs of life during long work."""


class Config(msgspec.Struct, frozen=True):
    """The hub's first message.

    Attributes:
        url: an SQLAlchemy URL.
        max_age: seconds that an ended session is kept; 0: forever.
        recordings: whether raw events of ended sessions are kept.
        prompts: whether prompts and whole model inputs of uploads are kept.
        texts: whether texts of uploads are kept at all.
        watched: whether a watcher may report the same sessions as uploads.
        audio: the folder for the audio of recordings; None where it is not kept.
    """

    url: str
    max_age: float
    recordings: bool
    prompts: bool
    texts: bool
    watched: bool
    audio: str | None


class Worker:
    """Answers the hub.

    Args:
        sock: the connection to it.
        config: its first message.
    """

    def __init__(self, sock: socket.socket, config: Config) -> None:
        self._line = HubLine(sock, "archive")
        self._config = config
        self._database = Database(config.url, ARCHIVE)
        self._store = Store(self._database, recordings=config.recordings, progress=self._report_progress)
        self._written = 0
        """The request that is being written."""
        self._reported_at = 0.0
        self._uploads = Uploads(
            self._database,
            prompts=config.prompts,
            texts=config.texts,
            watched=config.watched,
            audio=None if config.audio is None else Path(config.audio),
        )
        self._to_write: queue.SimpleQueue[tuple[int, str, Any] | None] = queue.SimpleQueue()
        self._merge_at: float | None = None
        self._merged_at = -MERGE_SECONDS
        self._next_chore = 0.0
        self._empty_at = 0.0
        self._expired_on_arrival = 0
        """How many such sessions this round of expiry has deleted."""
        self._guest = False
        """Whether another node writes, and this process only reads."""
        self._writing: dict[str, Callable[[Any], Any]] = {
            "open": self._open,
            "look": self._look,
            "begin": self._begin,
            "page": self._page,
            "abandon": self._abandon,
            "erase": self._erase,
            "reports": self._reports,
            "upload": self._upload,
            "outbox": lambda _arguments: _plain(self._uploads.due(time.time())),
            "published": self._uploads.published,
            "report": self._report,
            "redact": self._redact,
            "lost": lambda _arguments: self._uploads.end_lost(time.time()),
            "reconcile": lambda _arguments: self._uploads.count_missing(time.time()),
            "ping": lambda _arguments: self._database.check(),
        }
        self._reading: dict[str, Callable[[Any], Any]] = {
            "sessions": self._sessions,
            "session": self._session,
            "events": self._events,
            "stats": self._stats,
            "trace": self._trace,
            "logs": self._logs,
            "audio": self._audio,
        }

    def serve(self) -> None:
        """Answer until the hub hangs up."""
        writer = threading.Thread(target=self._write, name="writer")
        writer.start()
        readers = ThreadPoolExecutor(READERS, "reader")
        long = ThreadPoolExecutor(1, "statistics")
        try:
            for request in self._line.requests():
                if request[1] in self._writing:
                    self._to_write.put(request)
                else:
                    readers.submit(self._read, request, long)
        finally:
            self._to_write.put(None)
            readers.shutdown(cancel_futures=True)
            long.shutdown(cancel_futures=True)
            writer.join()
            self._database.close()

    def _write(self) -> None:
        while True:
            try:
                request = self._to_write.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self._do_chores()
                continue
            if request is None:
                return
            self._written = request[0]
            self._answer(request, self._writing)
            self._do_chores()

    def _read(self, request: tuple[int, str, Any], long: Executor) -> None:
        """Answer a query; hand one that may take long over as soon as the database has answered at all."""
        number, what, _ = request
        try:
            self._database.check()
        except Exception as error:  # noqa: BLE001 - refused and logged; one bad request must not end the process
            self._line.refuse(number, what, error)
            return
        if what in LONG:
            self._line.begin(number)
            long.submit(self._answer, request, self._reading)
        else:
            self._answer(request, self._reading)

    def _answer(self, request: tuple[int, str, Any], table: dict[str, Callable[[Any], Any]]) -> None:
        number, what, arguments = request
        try:
            self._line.begin(number)
            self._line.answer(number, table[what](arguments))
        except Exception as error:  # noqa: BLE001 - refused and logged; one bad request must not end the process
            self._line.refuse(number, what, error)

    def _report_progress(self) -> None:
        now = time.monotonic()
        if now >= self._reported_at + PROGRESS_SECONDS:
            self._reported_at = now
            self._line.begin(self._written)

    def _open(self, _arguments: Any) -> Any:
        self._store.forget()
        self._guest = False
        self._database.open()
        position = self._store.position()
        if removal.erased_since(self._database, time.time() - KEPT_IN_MIND):
            # The process that erased it may have been killed before the index was merged.
            self._merge_soon(MERGE_SECONDS)
        return None if position is None else [position.epoch, position.seq]

    def _look(self, _arguments: Any) -> None:
        self._store.forget()
        self._guest = True
        self._database.open(claim=False)

    def _begin(self, arguments: Any) -> Any:
        epoch, seq = arguments
        self._store.begin_epoch(epoch, seq)

    def _page(self, arguments: Any) -> Any:
        page = msgspec.convert(arguments, Page)
        try:
            return self._store.write(page)
        except Behind as error:
            raise Refusal("behind", str(error)) from error
        except Away:
            raise
        except Exception as error:  # noqa: BLE001 - logged; one bad event must not stop the archive
            self._line.log(
                "warning",
                f"unexpected error: a page could not be written; writing it event by event: {error!r}",
            )
            return self._one_by_one(page)

    def _one_by_one(self, page: Page) -> bool:
        """Write a page event by event, without those that fail: no event may stop the archive."""
        after, ended = page.after, False
        for line in page.lines:
            seq = seq_of(line)
            single = msgspec.structs.replace(page, after=after, upto=seq, lines=[line], skipped=0)
            try:
                ended = self._store.write(single) or ended
            except (Away, Behind):
                raise
            except Exception as error:  # noqa: BLE001 - logged; one bad event must not stop the archive
                self._line.log(
                    "error",
                    f"unexpected error: event {page.epoch}-{seq} could not be written and is left out: {error!r}",
                )
                self._store.write(msgspec.structs.replace(single, lines=[]))
            after = seq
        rest = msgspec.structs.replace(page, after=after, lines=[])
        return self._store.write(rest) or ended

    def _abandon(self, arguments: Any) -> Any:
        before, answered_for = arguments
        return self._store.abandon(before, [(session_id, room) for session_id, room in answered_for])

    def _erase(self, arguments: Any) -> Any:
        keys = removal.erase(self._database, msgspec.convert(arguments, Wanted), time.time())
        self._store.drop(keys)
        self._uploads.sweep()
        self._database.empty_log()
        self._merge_soon(MERGE_SECONDS)
        return [list(key) for key in keys]

    def _reports(self, most: Any) -> Any:
        with self._database.reading() as connection:
            return [reports.event_of(connection, row) for row in queries.due_reports(connection, most)]

    def _upload(self, path: Any) -> Any:
        try:
            return self._uploads.take(Path(path), time.time())
        except Away:
            raise
        except Undecodable as error:
            self._line.log("warning", f"an upload is left out: {error}")
            return {"failed": 1}
        except Exception as error:  # noqa: BLE001 - logged; one bad upload must not hold up all others
            self._line.log(
                "error", f"unexpected error: an upload could not be stored and is left out: {error!r}"
            )
            return {"failed": 1}

    def _report(self, arguments: Any) -> None:
        job, messages = arguments
        self._uploads.keep_report(job, msgspec.convert(messages, list[Message]))

    def _redact(self, session_id: Any) -> None:
        self._store.redact(session_id)
        self._database.empty_log()
        self._merge_soon(MERGE_SECONDS)

    def _trace(self, arguments: Any) -> Any:
        with self._database.reading() as connection:
            return _json(self._uploads.trace(connection, _chosen(connection, arguments)))

    def _logs(self, arguments: Any) -> Any:
        with self._database.reading() as connection:
            row = _chosen(connection, arguments)
            found, last = self._uploads.logs(connection, row, tuple(arguments["after"]), arguments["limit"])
        return [_json(found["lines"]), found["dropped"], last]

    def _audio(self, arguments: Any) -> Any:
        with self._database.reading() as connection:
            return self._uploads.audio(connection, _chosen(connection, arguments))

    def _sessions(self, arguments: Any) -> Any:
        search = msgspec.convert(arguments, Search)
        with self._database.reading() as connection:
            found, place = queries.find(connection, search)
            total = queries.count(connection, search) if search.total else None
        return [_json(found if search.operator else views.of_sessions(found)), _plain(place), total]

    def _session(self, arguments: Any) -> Any:
        with self._database.reading() as connection:
            row = _chosen(connection, arguments)
            found = queries.detail(connection, row, operator=arguments["operator"])
            report = self._uploads.reconciliation(connection, row) if arguments["operator"] else None
        return _json(_shown(found, operator=arguments["operator"]) | {"reconciliation": report})

    def _events(self, arguments: Any) -> Any:
        with self._database.reading() as connection:
            row = _chosen(connection, arguments)
            lines, upto = raw_page(connection, row.id, arguments["after"])
        return {
            "recorded": bool(upto),
            "room": row.room,
            "first": row.first_id,
            "last": row.last_id,
            "upto": upto if lines else None,
            "lines": lines if arguments["operator"] else _for_viewers(lines),
        }

    def _stats(self, arguments: Any) -> Any:
        asked = msgspec.convert(arguments, Asked)
        found = stats.buckets(self._database, asked, time.time())
        return _json({"buckets": found if asked.operator else [views.of_bucket(one) for one in found]})

    def _do_chores(self) -> None:
        if self._guest:
            return
        try:
            now = time.monotonic()
            if now >= self._next_chore:
                if not self._expire():
                    self._next_chore = now + CHORE_SECONDS
            elif (
                self._merge_at is not None
                and now >= self._merge_at
                and not removal.merge_words(self._database)
            ):
                self._merge_at, self._merged_at = None, time.monotonic()
                self._database.empty_log()
            if self._database.log_held and now >= self._empty_at:
                self._empty_at = now + EMPTY_SECONDS
                self._database.empty_log()
        except Away:
            # The next page reports this and reopens the database.
            self._next_chore = time.monotonic() + CHORE_SECONDS
        except Exception as error:  # noqa: BLE001 - logged; tried again
            self._next_chore = time.monotonic() + CHORE_SECONDS
            self._line.log("error", f"unexpected error: expired sessions could not be removed: {error!r}")

    def _expire(self) -> bool:
        """Remove some expired sessions; return whether there may be more."""
        if not self._config.max_age:
            return False
        before = time.time() - self._config.max_age
        keys, jobs, ages = removal.expire(self._database, before, before)
        self._store.drop(keys)
        self._expired_on_arrival += sum(age > self._config.max_age for age in ages)
        if self._expired_on_arrival and not keys:
            self._line.log(
                "warning",
                f"{self._expired_on_arrival} sessions were deleted as soon as they had arrived: by the timestamps of "
                f"their events they ended more than {age_text(self._config.max_age)} earlier. Check the agent's clock, "
                "or raise STREAM_ARCHIVE_MAX_AGE.",
            )
            self._expired_on_arrival = 0
        if keys or jobs:
            self._uploads.sweep()
            self._merge_soon(MERGE_EXPIRED_SECONDS)
        return bool(keys or jobs)

    def _merge_soon(self, pause: float) -> None:
        """Schedule a merge of the search index, at least `pause` seconds after the last one."""
        at = max(time.monotonic(), self._merged_at + pause)
        self._merge_at = at if self._merge_at is None else min(self._merge_at, at)


def _chosen(connection: Any, arguments: dict[str, Any]) -> Any:
    """Return the requested session's row.

    Raises:
        Refusal: there is none, or the id exists in several rooms and the request names none.
    """
    session_id, room = arguments["session_id"], arguments["room"]
    rows = queries.rows_of(connection, session_id, arguments["allowed"])
    if room is not None:
        rows = [row for row in rows if (row.room or "") == room]
    if not rows:
        raise Refusal("missing", "")
    if len(rows) > 1:
        raise Refusal("ambiguous", "", [row.room for row in rows])
    return rows[0]


def _shown(found: dict[str, Any], *, operator: bool) -> dict[str, Any]:
    shown = found if operator else views.of_detail(found)
    for line in shown["transcript"]:
        del line["operator_only"]
    return shown


class _Seen(msgspec.Struct):
    """The fields that decide who sees an event."""

    type: str
    audience: Any = None


_decode_seen = msgspec.json.Decoder(_Seen).decode


def _for_viewers(lines: bytes) -> bytes:
    """Return raw events without those for operators only."""
    kept: list[bytes] = []
    for line in lines.splitlines(keepends=True):
        seen = _decode_seen(line)
        if not operator_only(seen.type, seen.audience):
            kept.append(line)
    return b"".join(kept)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


_json = msgspec.json.Encoder().encode


if __name__ == "__main__":
    main(Config, lambda sock, config: Worker(sock, config).serve())
