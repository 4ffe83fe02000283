"""Writes pages of events to the archive: rows and position in one transaction, so each event counts exactly once.

    page -> by session -> Reduction.take -> changed rows, raw events, position -> commit

A session's reduction stays in memory between pages and may be dropped at any time. A live session is rebuilt from its
raw events in `archive_live_events`, an ended one from its recording or, if recordings are off, from its stored state.
Reductions are valid only once their transaction is committed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa
from msgspec.structs import asdict

from streaming_hub.archive import figures
from streaming_hub.archive.raw import add_parts, close_session, raw_events, rewrite
from streaming_hub.archive.reduce import REPORT, Reduction, State, Turn, Utterance, text_of
from streaming_hub.archive.stats import forget_stats
from streaming_hub.archive.tables import (
    PERCENTILES,
    erased,
    live_events,
    positions,
    recordings,
    room_key,
    session_errors,
    session_participants,
    sessions,
    states,
    tool_calls,
    turns,
    utterances,
)
from streaming_hub.archive.uploads import outbox, telemetry
from streaming_hub.archive.word_index import MOST_UTTERANCES, forget_words, index_words
from streaming_hub.events.wordless import wordless
from streaming_hub.sidecar.dialects import upsert
from streaming_hub.sidecar.wire import packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from streaming_hub.archive.messages import Page
    from streaming_hub.sidecar.database import Database

READER: Final = "archive"
CACHED: Final = 5_000
"""Maximum number of reductions in memory."""

Key = tuple[str, str | None]
"""A session's id and room."""

TRANSCRIPT: Final = "transcript"

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(State).decode


def _utterance(state: State, said: Utterance) -> dict[str, Any]:
    return figures.utterance_row(state, said) | {"operator_only": said.operator_only}


def _turn(state: State, turn: Turn) -> dict[str, Any]:
    row = figures.turn_row(state, turn)
    # In `tool_calls.turn_id`, and in `position`.
    del row["tools"], row["index"]
    return row | {"operator_only": turn.operator_only}


_COUNTED_ROWS: Final[dict[sa.Table, tuple[str, Callable[[State, Any], dict[str, Any]]]]] = {
    turns: ("turns", _turn),
    utterances: ("utterances", _utterance),
    tool_calls: ("tools", lambda _state, tool: figures.tool_row(tool)),
    session_errors: ("errors", lambda _state, error: asdict(error)),
}
"""Table -> the list in `State` that fills it, and the function that makes a row of an item."""


class Position(msgspec.Struct, frozen=True):
    """How far the archive has read."""

    epoch: str
    seq: int


class Behind(Exception):
    """A page does not follow the archive's position, which is `position`."""

    def __init__(self, position: Position | None) -> None:
        super().__init__("the page does not follow the archive's position")
        self.position = position


class _Kept:
    """One session between pages.

    Attributes:
        id: `sessions.id`.
        ended: whether its row says so.
        indexed: how many utterances the search index has.
        redacted: whether nothing of what was said may be stored.
        stated: whether its state is stored and so has to be updated.
        people: the participants already written.
        lines: raw events still to be written.
    """

    __slots__ = ("ended", "id", "indexed", "lines", "people", "redacted", "reduction", "stated")

    def __init__(
        self, row: int, reduction: Reduction, *, ended: bool, redacted: bool, indexed: int = 0
    ) -> None:
        self.id = row
        self.reduction = reduction
        self.ended = ended
        self.indexed = indexed
        self.redacted = redacted
        self.stated = False
        self.people: list[tuple[str, str | None]] = []
        self.lines: list[bytes] = []


class Store:
    """Writes the archive. Not thread-safe.

    Args:
        database: the archive.
        recordings: whether the raw events of ended sessions are kept.
        progress: called again and again while a session of many events is read.
    """

    def __init__(
        self, database: Database, *, recordings: bool, progress: Callable[[], object] = lambda: None
    ) -> None:
        self._database = database
        self._progress = progress
        self._recordings = recordings
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def forget(self) -> None:
        """Drop everything in memory, after the database has been reopened."""
        self._kept.clear()

    def position(self) -> Position | None:
        """Return how far the archive has read; None if it has read nothing yet."""
        with self._database.reading() as connection:
            return _position(connection)

    def begin_epoch(self, epoch: str, seq: int) -> None:
        """Continue with another history: sessions that are live now may miss any number of events."""
        with self._database.writing() as connection:
            live = sessions.c.ended.is_(None)
            connection.execute(sa.update(sessions).where(live).values(incomplete=True, missing_events=None))
            self._move(connection, None, Position(epoch, seq))

    def write(self, page: Page) -> bool:
        """Write a page.

        Returns:
            Whether a session ended in it.

        Raises:
            Behind: the page does not follow the archive's position; nothing was written.
            Away: the database cannot be used; nothing was written.
        """
        touched: list[_Kept] = []
        try:
            with self._database.writing() as connection:
                position = _position(connection)
                if position != Position(page.epoch, page.after):
                    raise Behind(position)  # noqa: TRY301 - what follows belongs to the same transaction
                outbox.name_rooms(connection, page.rooms, page.at)
                outbox.note_gone(connection, page.gone, page.closed, page.at)
                if page.skipped:
                    _note_missing(connection, page.skipped)
                touched = self._take_in(connection, page)
                ended = self._write(connection, touched, page.at)
                self._move(connection, position, Position(page.epoch, page.upto))
        except BaseException:
            # Their reductions are ahead of the database.
            self._kept.clear()
            raise
        for kept in touched:
            kept.lines = []
        while len(self._kept) > CACHED:
            self._kept.popitem(last=False)
        return ended

    def abandon(self, before: float, answered_for: Iterable[Key]) -> bool:
        """End live sessions without recent events that no agent holds.

        Args:
            before: their last event is older than this, seconds since 1970.
            answered_for: sessions that hold a lease, or that the hub's own agent runs.

        Returns:
            Whether there were any.
        """
        excepted = set(answered_for)
        columns = (sessions.c.session_id, sessions.c.room)
        silent = sa.select(*columns).where(sessions.c.ended.is_(None), sessions.c.touched < before).limit(500)
        with self._database.reading() as connection:
            found = [key for row in connection.execute(silent) if (key := (row[0], row[1])) not in excepted]
        for key in found:
            try:
                with self._database.writing() as connection:
                    kept = self._load(connection, key)
                    if kept is not None and not kept.ended:
                        kept.reduction.abandon()
                        self._write(connection, [kept], None)
            except BaseException:
                self._kept.clear()
                raise
        return bool(found)

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget the reductions of sessions that were removed from the database."""
        for key in keys:
            self._kept.pop(key, None)

    def redact(self, session_id: str) -> None:
        """Drop what was said in a session, in every room; its later events are stored without words."""
        rooms = sa.select(sessions.c.room).where(sessions.c.session_id == session_id)
        with self._database.reading() as connection:
            found = list(connection.execute(rooms).scalars())
        for room in found:
            try:
                with self._database.writing() as connection:
                    self._redact(connection, (session_id, room))
            except BaseException:
                self._kept.clear()
                raise

    def _redact(self, connection: Connection, key: Key) -> None:
        kept = self._load(connection, key)
        if kept is None:
            return
        forget_words(connection, [kept.id])
        connection.execute(sa.delete(utterances).where(utterances.c.session == kept.id))
        rewrite(connection, kept.id, _without_words)
        if kept.stated or any(raw_events(connection, kept.id)):
            # What another process would make of what is stored now.
            del self._kept[key]
            kept = self._load(connection, key) or kept
        kept.redacted = True
        kept.reduction.drop_words()
        kept.indexed = 0
        self._write(connection, [kept], None)

    def _take_in(self, connection: Connection, page: Page) -> list[_Kept]:
        events = [(line, _decode(line)) for line in page.lines]
        keys = {key for _, event in events if (key := key_of(event)) is not None}
        gone = _erased(connection, keys - self._kept.keys())
        touched: dict[Key, _Kept] = {}
        for line, event in events:
            key = key_of(event)
            if key is None or key in gone:
                continue
            if event.get("type") == REPORT:
                _note_reported(connection, key)
                continue
            kept = touched.get(key)
            if kept is None:
                kept = self._load(connection, key) or self._begin(connection, key, event)
            stored = _without_words(line) if kept.redacted else line
            if stored is None:
                continue
            touched[key] = kept
            kept.reduction.take(event if stored is line else _decode(stored))
            kept.lines.append(stored)
        return list(touched.values())

    def _load(self, connection: Connection, key: Key) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        row = connection.execute(
            sa.select(sessions.c.id, sessions.c.ended, sessions.c.reason).where(_is(key))
        ).first()
        if row is None:
            return None
        reduction, stated = _reduction(connection, row.id, self._progress)
        state = reduction.state
        if row.ended is not None:
            # Its events may lack an end, or have one that came later.
            state.ended, state.reason = row.ended, row.reason
        reduction.changes = type(reduction.changes)()
        kept = _Kept(
            row.id,
            reduction,
            ended=row.ended is not None,
            redacted=telemetry.is_redacted(connection, key[0]),
            indexed=len(state.utterances),
        )
        kept.stated = stated
        self._kept[key] = kept
        return kept

    def _begin(self, connection: Connection, key: Key, event: Mapping[str, Any]) -> _Kept:
        reduction = Reduction.of(event)
        values = {
            **_session_row(reduction.state),
            "incomplete": False,
            "recorded": False,
            "missing_events": 0,
            "reported": False,
            "first_id": event["id"],
            "last_id": event["id"],
            "touched": 0.0,
        }
        insert = sa.insert(sessions).values(values).returning(sessions.c.id)
        redacted = telemetry.is_redacted(connection, key[0])
        kept = _Kept(connection.execute(insert).scalar_one(), reduction, ended=False, redacted=redacted)
        self._kept[key] = kept
        return kept

    def _write(self, connection: Connection, touched: Sequence[_Kept], at: float | None) -> bool:
        ended = False
        updates: list[dict[str, Any]] = []
        raw: dict[int, list[bytes]] = {}
        for kept in touched:
            state = kept.reduction.state
            row = {"row": kept.id, **_session_row(state)}
            if at is not None:
                row |= {"touched": at, "last_id": _decode(kept.lines[-1])["id"]}
                raw[kept.id] = kept.lines
            updates.append(row)
        self._write_rows(connection, touched)
        self._write_people(connection, touched)
        if updates:
            # One statement needs rows with the same columns.
            names = [name for name in updates[0] if name != "row"]
            update = sa.update(sessions).where(sessions.c.id == sa.bindparam("row"))
            connection.execute(update.values({name: sa.bindparam(name) for name in names}), updates)
            forget_stats(connection, {row["started"] for row in updates})
        late = {kept.id for kept in touched if kept.ended}
        add_parts(connection, live_events, {row: raw[row] for row in raw if row not in late})
        if self._recordings:
            add_parts(connection, recordings, {row: raw[row] for row in raw if row in late})
        for kept in touched:
            if kept.reduction.state.ended is not None:
                ended = ended or not kept.ended
                self._finish(connection, kept)
        return ended

    def _write_rows(self, connection: Connection, touched: Sequence[_Kept]) -> None:
        said: list[tuple[int, int, str]] = []
        rows: dict[sa.Table, list[dict[str, Any]]] = {table: [] for table in _COUNTED_ROWS}
        for kept in touched:
            state, changes = kept.reduction.state, kept.reduction.changes
            for table, (name, row_of) in _COUNTED_ROWS.items():
                things = getattr(state, name)
                for place in getattr(changes, name):
                    row = row_of(state, things[place])
                    rows[table].append({"session": kept.id, "position": place, **row})
            said += [
                (kept.id, place, text)
                for place in sorted(changes.utterances)
                if kept.indexed <= place < MOST_UTTERANCES and (text := state.utterances[place].text)
            ]
            kept.indexed = len(state.utterances)
            kept.reduction.changes = type(changes)()
        for table, values in rows.items():
            upsert(connection, table, values)
        index_words(connection, said)

    def _write_people(self, connection: Connection, touched: Sequence[_Kept]) -> None:
        rows: list[dict[str, Any]] = []
        for kept in touched:
            people = [(person.identity, person.role) for person in kept.reduction.state.participants]
            if people != kept.people:
                kept.people = people
                rows += [
                    {"session": kept.id, "position": place, "identity": identity, "role": role}
                    for place, (identity, role) in enumerate(people)
                ]
        upsert(connection, session_participants, rows)

    def _finish(self, connection: Connection, kept: _Kept) -> None:
        """Turn the raw events of a session that has just ended into its recording, or store its state instead."""
        if not kept.ended:
            if close_session(connection, kept.id, keep=self._recordings):
                connection.execute(sa.update(sessions).where(sessions.c.id == kept.id).values(recorded=True))
            kept.ended = True
        if not self._recordings or kept.stated:
            state = zlib.compress(packed(kept.reduction.state))
            upsert(connection, states, [{"session": kept.id, "data": state}])

    def _move(self, connection: Connection, before: Position | None, after: Position) -> None:
        values = {"reader": READER, "epoch": after.epoch, "seq": after.seq}
        if before is None:
            upsert(connection, positions, [values])
            return
        moved = connection.execute(
            sa.update(positions)
            .where(
                positions.c.reader == READER,
                positions.c.epoch == before.epoch,
                positions.c.seq == before.seq,
            )
            .values(values)
        )
        if moved.rowcount != 1:
            # Another hub writes to the same archive.
            raise Behind(None)


def key_of(event: Mapping[str, Any]) -> Key | None:
    """Return an event's session id and room; None if it belongs to no session."""
    session_id = text_of(event, "session_id")
    if not session_id:
        return None
    return session_id, text_of(event, "room") or None


def seq_of(line: bytes) -> int:
    """Return an event's sequence number, from its id."""
    return int(_decode(line)["id"].rpartition("-")[2])


def mark(key: Key) -> str:
    """Return the hash that an erased session is remembered by."""
    session_id, room = key
    return hashlib.sha256(f"{room or ''}\0{session_id}".encode()).hexdigest()


def _without_words(line: bytes) -> bytes | None:
    """Return an event of a redacted session as it may be stored; None for words alone."""
    event = _decode(line)
    if event.get("type") == TRANSCRIPT:
        return None
    shown = wordless(event)
    return line if shown == event else _encode(shown)


def _session_row(state: State) -> dict[str, Any]:
    row = figures.summary(state)
    del row["participants"], row["state"]
    for name in ("latency", "heard_latency"):
        values = row.pop(name) or {}
        row |= {f"{name}_{part}": values.get(part) for part in PERCENTILES}
    return row | {
        "hidden_turns": sum(turn.operator_only for turn in state.turns),
        "hidden_user_words": state.hidden_user_words,
        "hidden_agent_words": state.hidden_agent_words,
        "reason_hidden": state.reason_hidden,
        "job_id": state.job_id,
    }


def _is(key: Key) -> sa.ColumnElement[bool]:
    session_id, room = key
    return sa.and_(sessions.c.session_id == session_id, room_key == (room or ""))


def _position(connection: Connection) -> Position | None:
    row = connection.execute(
        sa.select(positions.c.epoch, positions.c.seq).where(positions.c.reader == READER)
    ).first()
    return None if row is None else Position(row.epoch, row.seq)


def _note_missing(connection: Connection, skipped: int) -> None:
    more = sessions.c.missing_events + skipped
    live = sessions.c.ended.is_(None)
    connection.execute(sa.update(sessions).where(live).values(incomplete=True, missing_events=more))


def _note_reported(connection: Connection, key: Key) -> None:
    connection.execute(sa.update(sessions).where(_is(key)).values(reported=True))


def _erased(connection: Connection, keys: Iterable[Key]) -> set[Key]:
    """Return which of these sessions were erased; their events are dropped."""
    marks = {mark(key): key for key in keys}
    found: set[Key] = set()
    names = list(marks)
    for start in range(0, len(names), 500):
        part = names[start : start + 500]
        rows = connection.execute(sa.select(erased.c.key).where(erased.c.key.in_(part)))
        found.update(marks[row[0]] for row in rows)
    return found


def _reduction(connection: Connection, row: int, progress: Callable[[], object]) -> tuple[Reduction, bool]:
    """Rebuild a session's reduction from the database; return it and whether its stored state was used."""
    stored = connection.execute(sa.select(states.c.data).where(states.c.session == row)).scalar()
    if stored is not None:
        return Reduction(_decode_state(zlib.decompress(stored))), True
    reduction: Reduction | None = None
    for part in raw_events(connection, row):
        progress()
        for event in map(_decode, part.splitlines()):
            reduction = reduction or Reduction.of(event)
            reduction.take(event)
    assert reduction is not None  # noqa: S101 - a session begins with its first event
    return reduction, False
