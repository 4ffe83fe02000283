"""A history in one SQLite file, with the newest entries in memory in front of it.

Write-ahead log; every append is one transaction that is committed before it returns. With `synchronous=NORMAL` that
survives SIGKILL at any moment, not a power cut; `full` survives that too. Checkpoints run in `checkpoint`, off the
publishing path. The head is written whenever rows are removed, so neither erasing nor expiry moves it back.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.errors import StorageError, Unavailable
from streaming_hub.events.sse import event_frame
from streaming_hub.events.stored import Entry, encode
from streaming_hub.foreign_file import another_program, foreign, refuse_foreign
from streaming_hub.history.bounds import MOST_GAPS, Bounds, ranges_of
from streaming_hub.history.files import SETTING, claim, set_aside
from streaming_hub.history.memory import new_epoch
from streaming_hub.history.page import Appended, Page
from streaming_hub.history.wal import Log, connect
from streaming_hub.history.window import MOST_SCANNED, Window, belongs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.posted import Event
    from streaming_hub.history.page import Limit

log = logging.getLogger(__name__)

RECENT_BYTES: Final = 32 * 1024 * 1024
TRIM_ROWS: Final = 300
"""Rows per step, which takes half a millisecond."""
MOST_TRIM_ROWS: Final = 1200
FAR_BEHIND_ROWS: Final = 3000
"""With this many rows pending, delete in larger batches, so that removal keeps up with fast publishing."""
MOST_ROWS_WAITING: Final = 10_000
"""Rows above the window that the file may have. The append that would exceed it deletes old rows itself."""
BUSY_SECONDS: Final = 0.25
"""How long an append waits for another writer. The loop is blocked meanwhile: better refuse, and let it be retried."""
_IN_CHUNK: Final = 500
_KNOWN_BY: Final = {"events": ("seq", "at", "type", "operator_only", "data")}
"""A table, with columns, that the history has had in every version."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, type TEXT NOT NULL, room TEXT, session_id TEXT, participant TEXT,
    operator_only INTEGER NOT NULL, segment TEXT, event_id TEXT, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_event_id ON events (event_id) WHERE event_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value);
CREATE TABLE IF NOT EXISTS erased (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL);
"""
# Python's sqlite3 looks for an adapter of each value that is None, a bool or bytes, 0.3 us each: as much as all the
# rest of a row costs. So None goes in as 0, a bool as an int, bytes as a bytearray.
_ROW = "(?,?,?,nullif(?,0),nullif(?,0),nullif(?,0),?,nullif(?,0),nullif(?,0),?)"
_ROWS_AT_ONCE = 50
_INSERT = f"INSERT INTO events VALUES {_ROW}"
_INSERT_MANY = f"INSERT INTO events VALUES {','.join([_ROW] * _ROWS_AT_ONCE)}"
_COLUMNS = "seq, at, type, room, session_id, participant, operator_only, segment, data"
_FILTER = "/* filter */"
_SINCE = f"SELECT {_COLUMNS} FROM events WHERE seq > ? AND seq <= ? {_FILTER} ORDER BY seq"
_BEFORE = f"SELECT {_COLUMNS} FROM events WHERE seq < ? AND seq >= ? {_FILTER} ORDER BY seq DESC"
_NTH_BEFORE = (
    f"SELECT seq FROM events WHERE seq < ? AND seq >= ? {_FILTER} ORDER BY seq DESC LIMIT 1 OFFSET ?"
)
_FIRST_BEFORE = f"SELECT seq FROM events WHERE seq < ? AND seq >= ? {_FILTER} ORDER BY seq LIMIT 1"
_KNOWN = f"SELECT event_id, seq FROM events WHERE event_id IN ({_FILTER}) AND seq >= ?"


class SqliteHistory:
    """See `streaming_hub.history.History`.

    Args:
        path: the database file; made with mode 0600 in a directory of mode 0700 where they are missing.
        max_events: how many of the newest events are kept.
        max_age: how long an event is kept, in seconds.
        sync: `normal` or `full` (SQLite's `synchronous`).
        now: seconds since 1970.

    Raises:
        StorageError: the file cannot be opened, another server has it, or the hub did not make it. A corrupt file of
            the hub's is set aside instead, and a new one with a new epoch is begun.
    """

    on_disk = True
    shared = False

    def __init__(self, path: Path, *, max_events: int, max_age: float, sync: str, now: float) -> None:
        self._path = path
        self._max_age = max_age
        self._sync = sync
        self.away: str | None = None
        self._readers: list[sqlite3.Connection] = []
        self._log = Log(path)
        self.first_row = 1
        refuse_foreign(path, _KNOWN_BY, SETTING)
        self._lock_file = claim(path)
        try:
            self._db = self._open_or_set_aside(now)
            self.bounds = self._read_bounds(max_events)
        except StorageError:
            self._lock_file.close()
            raise
        except sqlite3.Error as error:
            self._lock_file.close()
            raise StorageError(f"{path}: cannot be opened as a database: {error}.") from error
        self._window = Window(start=self.bounds.head, max_bytes=RECENT_BYTES)
        self._expire(now)

    def append(self, events: Sequence[Event], now: float) -> Appended:
        """Store the events that are new, in one transaction."""
        epoch, head = self.bounds.epoch, self.bounds.head
        try:
            known = self._known([event.event_id for event in events if event.event_id is not None])
            seqs: list[int] = []
            new: list[Entry] = []
            rows: list[tuple[Any, ...]] = []
            for event in events:
                seq = known.get(event.event_id) if event.event_id is not None else None
                if seq is None:
                    head = seq = head + 1
                    entry = encode(epoch, seq, event, now)
                    new.append(entry)
                    rows.append(_row(entry, event.event_id))
                    if event.event_id is not None:
                        known[event.event_id] = seq
                seqs.append(seq)
            below = self._overdue(head, len(rows))
            self._insert(rows, below)
        except sqlite3.Error as error:
            raise self._cannot_write(error) from error
        self.away = None
        self.bounds.head = head
        self.first_row = below
        self._take_in(new)
        return Appended(seqs, new)

    def _cannot_write(self, error: sqlite3.Error) -> Unavailable:
        """Note that the file cannot be written, until an event is stored again."""
        self.away = f"The file {self._path} cannot be written: {error}."
        log.error("%s: an event could not be stored: %s", self._path, error)
        return Unavailable(
            f"The history cannot be written ({error}); nothing was stored. Send it again later."
        )

    def recent(self, after: int, interest: Interest, limit: Limit) -> Page | None:
        """Return what follows a position, when memory has all of it."""
        if after < self._window.start:
            return None
        return self._window.since(after, interest, limit, self.bounds.head, MOST_SCANNED)

    def since(self, after: int, interest: Interest, limit: Limit) -> Page:
        """Return what follows a position, from the file."""
        # What is appended while this reads is left to the next page.
        head = self.bounds.head
        where, values = _where(interest)
        sql = _SINCE.replace(_FILTER, where)
        chosen: list[Entry] = []
        size = 0
        asked = (max(after, self.bounds.oldest - 1), head, *values)
        # Closed, since a statement that is only dropped may keep its old pages, and so the log, a little longer.
        with self._reader() as db, contextlib.closing(db.execute(sql, asked)) as rows:
            for row in rows:
                entry = self._entry(row)
                if chosen and (len(chosen) >= limit.events or size + len(entry.frame) > limit.size):
                    return Page(chosen, chosen[-1].seq)
                chosen.append(entry)
                size += len(entry.frame)
        return Page(chosen, head)

    def before(self, seq: int, interest: Interest, limit: Limit) -> list[Entry]:
        """Return the last matching entries below a sequence number, from the file."""
        where, values = _where(interest)
        sql = _BEFORE.replace(_FILTER, where)
        chosen: list[Entry] = []
        size = 0
        asked = (seq, self.bounds.oldest, *values)
        with self._reader() as db, contextlib.closing(db.execute(sql, asked)) as rows:
            for row in rows:
                entry = self._entry(row)
                size += len(entry.frame)
                if chosen and (len(chosen) >= limit.events or size > limit.size):
                    break
                chosen.append(entry)
        chosen.reverse()
        return chosen

    def position_before(self, seq: int, interest: Interest, count: int) -> int | None:
        """Return the position before the last matching events, without reading their data."""
        where, values = _where(interest)
        asked = (seq, self.bounds.oldest, *values)
        with self._reader() as db:
            row = db.execute(_NTH_BEFORE.replace(_FILTER, where), (*asked, count - 1)).fetchone()
            row = row or db.execute(_FIRST_BEFORE.replace(_FILTER, where), asked).fetchone()
        return row[0] - 1 if row else None

    def erase(self, *, span: tuple[int, int], room: str | None = None, session_id: str | None = None) -> int:
        """Delete rows and overwrite their data; the next `checkpoint` empties the log that still has them."""
        where, values = _of(room, session_id)
        try:
            with self._transaction():
                rows = self._db.execute(
                    f"DELETE FROM events WHERE seq BETWEEN ? AND ? AND {where} RETURNING seq",
                    (*span, *values),
                ).fetchall()
                # Rows that expired before and are not yet deleted do not count.
                removed = [row[0] for row in rows if row[0] >= self.bounds.oldest]
                self.bounds.note_erased(removed)
                if rows:
                    self._write_meta()
                    self._write_erased(removed)
        except sqlite3.Error as error:
            raise self._cannot_write(error) from error
        self._log.note_erased()
        self._window.remove(lambda entry: belongs(entry, room, session_id), span)
        self._take_in(())
        return len(removed)

    def trim(self, now: float) -> bool:
        """Forget what is too old, then delete some of the rows that no reader can reach any more."""
        try:
            self._expire(now)
            behind = self.bounds.oldest - self.first_row
            rows = TRIM_ROWS if behind < FAR_BEHIND_ROWS else MOST_TRIM_ROWS
            below = min(self.bounds.oldest, self.first_row + rows)
            if self.first_row >= below:
                return False
            with self._transaction():
                self._write_meta()
                self._db.execute("DELETE FROM events WHERE seq < ?", (below,))
        except sqlite3.Error as error:
            log.warning("%s: old events could not be removed: %s", self._path, error)
            return False
        self.first_row = below
        return below < self.bounds.oldest

    def checkpoint(self) -> None:
        """Copy the log into the file; empty it if it has erased events or is large."""
        self._log.checkpoint()

    def close(self) -> None:
        """Close the file and let another server have it."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self._db.close()
        self._lock_file.close()

    def _open_or_set_aside(self, now: float) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            aside = set_aside(self._path, now)
            log.exception(
                "%s is corrupt: it was set aside as %s, and a new history with a new epoch begins.",
                self._path,
                aside.name,
            )
            return self._open()

    def _open(self) -> sqlite3.Connection:
        db = connect(self._path)
        try:
            self._refuse_foreign(db)
            # Erased and expired text is overwritten, not only unlinked.
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={self._sync}",
                # macOS's fsync leaves bytes in the drive's cache; elsewhere this changes nothing.
                f"fullfsync={'ON' if self._sync == 'full' else 'OFF'}",
                "wal_autocheckpoint=0",
                "secure_delete=ON",
            ):
                db.execute(f"PRAGMA {pragma}").fetchall()
            problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise sqlite3.DatabaseError(problem)
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000:.0f}").fetchone()
        except (sqlite3.Error, StorageError):
            db.close()
            raise
        return db

    def _refuse_foreign(self, db: sqlite3.Connection) -> None:
        """Refuse tables that only another program's log held until now."""
        if (found := another_program(db, _KNOWN_BY)) is not None:
            raise foreign(self._path, found, SETTING)

    def _read_bounds(self, max_events: int) -> Bounds:
        meta = dict(self._db.execute("SELECT name, value FROM meta"))
        first, last = self._db.execute("SELECT min(seq), max(seq) FROM events").fetchone()
        head = max(meta.get("head", 0), last or 0)
        epoch = meta.get("epoch") or new_epoch()
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (epoch,))
        self.first_row = first or head + 1
        erased = (meta["erased_low"], meta["erased_high"]) if "erased_low" in meta else None
        gone = self._db.execute("SELECT first, last FROM erased ORDER BY id").fetchall()
        return Bounds(
            epoch, head=head, oldest=self.first_row, max_events=max_events, erased=erased, gone=gone
        )

    def _write_erased(self, removed: list[int]) -> None:
        self._db.executemany("INSERT INTO erased (first, last) VALUES (?, ?)", ranges_of(removed))
        self._db.execute("DELETE FROM erased WHERE id <= (SELECT max(id) FROM erased) - ?", (MOST_GAPS,))

    def _write_meta(self) -> None:
        pairs: list[tuple[str, int]] = [("head", self.bounds.head)]
        if self.bounds.erased is not None:
            pairs += [("erased_low", self.bounds.erased[0]), ("erased_high", self.bounds.erased[1])]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", pairs)

    def _known(self, event_ids: list[str]) -> dict[str, int]:
        known: dict[str, int] = {}
        for start in range(0, len(event_ids), _IN_CHUNK):
            part = event_ids[start : start + _IN_CHUNK]
            sql = _KNOWN.replace(_FILTER, ",".join("?" * len(part)))
            known.update(self._db.execute(sql, (*part, self.bounds.oldest)))
        return known

    def _overdue(self, head: int, new: int) -> int:
        """Return the first row to keep when `new` rows are appended, up to `head`.

        Below it lie only rows that no reader can reach. Where the file holds far more than it may (a window that was
        made smaller), every append removes twice what it adds, so that none takes long.
        """
        over = head - self.first_row + 1 - self.bounds.max_events - MOST_ROWS_WAITING
        if over <= 0 or not new:
            return self.first_row
        rows = max(min(over, 2 * new), TRIM_ROWS)
        return max(self.first_row, min(self.first_row + rows, self.bounds.oldest))

    def _insert(self, rows: list[tuple[Any, ...]], below: int) -> None:
        overdue = below > self.first_row
        if len(rows) == 1 and not overdue:
            self._db.execute(_INSERT, rows[0])
        elif rows:
            # One statement for many rows takes a fifth less time than many statements.
            whole = len(rows) - len(rows) % _ROWS_AT_ONCE
            with self._transaction():
                if overdue:
                    self._db.execute("DELETE FROM events WHERE seq < ?", (below,))
                for start in range(0, whole, _ROWS_AT_ONCE):
                    values = chain.from_iterable(rows[start : start + _ROWS_AT_ONCE])
                    self._db.execute(_INSERT_MANY, tuple(values))
                self._db.executemany(_INSERT, rows[whole:])

    def _expire(self, now: float) -> None:
        row = self._db.execute(
            "SELECT seq FROM events WHERE seq >= ? AND at >= ? ORDER BY seq LIMIT 1",
            (max(self.bounds.oldest, self.bounds.floor()), now - self._max_age),
        ).fetchone()
        self._advance(row[0] if row else self.bounds.head + 1)

    def _advance(self, floor: int) -> None:
        oldest = max(self.bounds.oldest, floor)
        if self.bounds.gaps_from(oldest):
            row = self._db.execute("SELECT min(seq) FROM events WHERE seq >= ?", (oldest,)).fetchone()
            oldest = row[0] or self.bounds.head + 1
        self.bounds.oldest = oldest
        self._window.trim(oldest)

    def _take_in(self, new: Sequence[Entry]) -> None:
        """Bring memory up to date with the commit. Never raises: what is stored has to be passed on."""
        try:
            self._window.append(new)
            self._advance(self.bounds.floor())
        except Exception:
            log.exception(
                "unexpected error: %s: new events are stored, but are read from the file for now", self._path
            )
            self._window = Window(start=self.bounds.head, max_bytes=RECENT_BYTES)

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        seq, at, kind, room, session_id, participant, hidden, segment, data = row
        frame, start = event_frame(f"{self.bounds.epoch}-{seq}".encode("ascii"), data)
        return Entry(seq, at, kind, room, session_id, participant, bool(hidden), segment, frame, start)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        # Pages are read in several threads; a connection is used by one of them at a time. List operations are atomic.
        try:
            db = self._idle_reader()
            yield db
        except sqlite3.Error as error:
            raise Unavailable(f"The history cannot be read: {error}.") from error
        self._readers.append(db)

    def _idle_reader(self) -> sqlite3.Connection:
        try:
            return self._readers.pop()
        except IndexError:
            return connect(self._path)


def _row(entry: Entry, event_id: str | None) -> tuple[Any, ...]:
    room, session_id, participant, segment = entry.room, entry.session_id, entry.participant, entry.segment
    return (
        entry.seq,
        entry.at,
        entry.type,
        0 if room is None else room,
        0 if session_id is None else session_id,
        0 if participant is None else participant,
        1 if entry.operator_only else 0,
        0 if segment is None else segment,
        0 if event_id is None else event_id,
        bytearray(entry.data),
    )


def _of(room: str | None, session_id: str | None) -> tuple[str, list[str]]:
    """Return the SQL condition equivalent to `belongs`, and its values."""
    if session_id is None:
        return "room = ?", [room or ""]
    if room is None:
        return "session_id = ?", [session_id]
    return "session_id = ? AND coalesce(room, '') = ?", [session_id, room]


def _where(interest: Interest) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []
    for column, wanted in (
        ("room", interest.rooms),
        ("room", interest.allowed_rooms),
        ("type", interest.types),
        ("participant", interest.participants),
        ("session_id", interest.sessions),
    ):
        if wanted is not None:
            parts.append(f" AND {column} IN ({','.join('?' * len(wanted))})")
            values.extend(sorted(wanted))
    if not interest.operator:
        parts.append(" AND operator_only = 0")
    return "".join(parts), values
