"""Queries of the archive: lists, one session, its raw events, reports that are due. Read only.

Turns rows into the API's objects, for operators; `views` removes what viewers do not see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from streaming_hub.archive import spoken
from streaming_hub.archive.messages import SORTS, Place, Search
from streaming_hub.archive.reduce import REPLACED
from streaming_hub.archive.tables import (
    PERCENTILES,
    in_rooms,
    jobs,
    room_key,
    session_errors,
    session_participants,
    sessions,
    tool_calls,
    turns,
    utterances,
)
from streaming_hub.archive.uploads import telemetry
from streaming_hub.archive.word_index import ROWID_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection, Row

Fields = dict[str, Any]

MOST_MATCHES: Final = 3
"""Matching utterances shown for each session of a search."""
MOST_PLACED: Final = 300
"""Characters of a session's id that are part of a place."""
_SORTED_BY: Final = {name: sessions.c[f"{name}_p95" if name.endswith("latency") else name] for name in SORTS}
_PLAIN: Final = (
    "session_id",
    "room",
    "agent",
    "started",
    "ended",
    "duration",
    "reason",
    "turns",
    "first_response",
    "user_talk",
    "agent_talk",
    "overlap",
    "silence",
    "user_words",
    "agent_words",
    "interruptions",
    "false_interruptions",
    "tool_calls",
    "tool_failures",
    "errors",
    "usage",
    "missing_events",
    "incomplete",
    "recorded",
)
"""Fields of a session that are its row's columns."""
not_replaced: Final = sessions.c.reason.is_distinct_from(REPLACED)
"""That a session is not one that another one reports, too."""


def find(connection: Connection, search: Search) -> tuple[list[Fields], Place | None]:
    """Return a page of sessions, and where the next one begins."""
    column = _SORTED_BY[search.sort]
    narrow = sa.select(sessions.c.id).where(*_conditions(connection, search))
    if search.after is not None:
        narrow = narrow.where(_beyond(column, search.after, descending=search.descending))
    direction = column.desc() if search.descending else column.asc()
    order: tuple[Any, ...] = (direction, sessions.c.session_id.asc(), sessions.c.id.asc())
    if column.nullable:
        order = (direction.nulls_last(), *order[1:])
    ids = list(
        connection.execute(narrow.order_by(*order).offset(search.skip).limit(search.limit + 1)).scalars()
    )
    more, ids = len(ids) > search.limit, ids[: search.limit]
    rows = {row.id: row for row in connection.execute(sa.select(sessions).where(sessions.c.id.in_(ids)))}
    chosen = [rows[one] for one in ids]
    people, sound = _people(connection, ids), _sound(connection, chosen)
    found = [
        session_fields(row, people.get(row.id, []), sound.get(row.id), operator=search.operator)
        for row in chosen
    ]
    if search.q:
        phrases = spoken.asked(search.q)
        for row, fields in zip(chosen, found, strict=True):
            fields["matches"] = _matches(connection, row.id, phrases, operator=search.operator)
    if not more:
        return found, None
    last = chosen[-1]
    return found, Place(getattr(last, column.name), last.session_id[:MOST_PLACED], last.id)


def count(connection: Connection, search: Search) -> int:
    """Return how many sessions a list has on all pages."""
    chosen = sa.select(sa.func.count()).select_from(sessions).where(*_conditions(connection, search))
    found: int = connection.execute(chosen).scalar_one()
    return found


def rows_of(connection: Connection, session_id: str, allowed: Sequence[str] | None) -> list[Row[Any]]:
    """Return the sessions with this id in the rooms that the caller may see, ordered by room."""
    chosen = sa.select(sessions).where(sessions.c.session_id == session_id)
    if allowed is not None:
        chosen = chosen.where(room_key.in_(allowed), sessions.c.room.is_not(None))
    return list(connection.execute(chosen.order_by(room_key)))


def detail(connection: Connection, row: Row[Any], *, operator: bool = True) -> Fields:
    """Return everything about a session, as in the response of `GET /api/sessions/ID`.

    For viewers, what comes only from operator events is left out; `views` removes the rest.
    """
    calls = _of(connection, tool_calls, row.id)
    by_turn: dict[str | None, list[str | None]] = {}
    for call in calls:
        by_turn.setdefault(call["turn_id"], []).append(call["call_id"])
    lines = [line for line in _of(connection, turns, row.id) if operator or not line["operator_only"]]
    for line in lines:
        del line["operator_only"]
    return {
        "session": session_fields(
            row,
            _people(connection, [row.id]).get(row.id, []),
            _sound(connection, [row]).get(row.id),
            operator=operator,
        ),
        "turns": [_turn(place, turn, by_turn.get(turn["turn_id"], [])) for place, turn in enumerate(lines)],
        "transcript": _of(connection, utterances, row.id),
        "tools": calls,
        "errors": _of(connection, session_errors, row.id),
    }


def due_reports(connection: Connection, most: int) -> list[Row[Any]]:
    """Return sessions that have ended and whose report the archive has not seen in the history."""
    unreported = (sessions.c.ended.is_not(None), sessions.c.reported.is_(sa.false()), not_replaced)
    chosen = sa.select(sessions).where(*unreported)
    return list(connection.execute(chosen.order_by(sessions.c.id).limit(most)))


def session_fields(
    row: Row[Any], people: list[Fields], sound: float | None, *, operator: bool = True
) -> Fields:
    """Return the `session` object of a row; for viewers without what only operator events say.

    Args:
        row: of the session.
        people: its participants.
        sound: when its audio begins, seconds since 1970; None where there is none.
        operator: whether it is for operators.
    """
    fields = {
        **{name: getattr(row, name) for name in _PLAIN},
        "state": "live" if row.ended is None else "ended",
        "participants": people,
        "latency": _percentiles(row, "latency"),
        "heard_latency": _percentiles(row, "heard_latency"),
        "audio": sound is not None,
        "recording_start": sound,
    }
    if not operator:
        for name in ("turns", "user_words", "agent_words"):
            fields[name] -= getattr(row, f"hidden_{name}")
        if row.reason_hidden:
            fields["reason"] = None
    return fields


def _sound(connection: Connection, rows: Sequence[Row[Any]]) -> dict[int, float]:
    """Return when the audio of sessions begins, by row, of those that have some."""
    keys = {telemetry.mark(row.job_id or row.session_id): row.id for row in rows}
    chosen = sa.select(jobs.c.key, jobs.c.audio_start).where(
        jobs.c.key.in_(list(keys)), jobs.c.audio.is_not(None)
    )
    return {keys[key]: start for key, start in connection.execute(chosen)}


def _conditions(connection: Connection, search: Search) -> list[sa.ColumnElement[bool]]:
    columns = sessions.c
    conditions: list[sa.ColumnElement[bool]] = [] if REPLACED in search.reason else [not_replaced]
    if search.allowed is not None:
        conditions += [columns.room.in_(search.allowed)]
    if search.room:
        conditions.append(in_rooms(search.room))
    if search.participant:
        people = session_participants.c
        conditions.append(
            columns.id.in_(sa.select(people.session).where(people.identity.in_(search.participant)))
        )
    # Viewers must not find a session by a reason that they do not see.
    reason = (
        columns.reason if search.operator else sa.case((columns.reason_hidden, None), else_=columns.reason)
    )
    for column, wanted in ((columns.agent, search.agent), (reason, search.reason)):
        if wanted:
            conditions.append(column.in_(wanted))
    if len(set(search.state)) == 1:
        conditions.append(columns.ended.is_(None) if "live" in search.state else columns.ended.is_not(None))
    if search.since is not None:
        conditions.append(columns.started >= search.since)
    if search.until is not None:
        conditions.append(columns.started < search.until)
    if search.latency_over is not None:
        conditions.append(columns.latency_p95 > search.latency_over)
    if search.failed_tools:
        conditions.append(columns.tool_failures > 0)
    if search.errors:
        conditions.append(columns.errors > 0)
    if search.q:
        conditions.append(_matching(connection, spoken.asked(search.q), operator=search.operator))
    return conditions


def _beyond(column: sa.Column[Any], place: Place, *, descending: bool) -> sa.ColumnElement[bool]:
    """Return the condition for what follows a place; absent values are last in either order."""
    name: Any = sa.literal(place.session_id)
    if len(place.session_id) == MOST_PLACED:
        same = sessions.alias()
        name = sa.func.coalesce(
            sa.select(same.c.session_id).where(same.c.id == place.row).scalar_subquery(), name
        )
    tie = sa.or_(
        sessions.c.session_id > name, sa.and_(sessions.c.session_id == name, sessions.c.id > place.row)
    )
    if place.value is None:
        return sa.and_(column.is_(None), tie)
    further = column < place.value if descending else column > place.value
    beyond = sa.or_(further, sa.and_(column == place.value, tie))
    return sa.or_(beyond, column.is_(None)) if column.nullable else beyond


def _matching(connection: Connection, phrases: list[list[str]], *, operator: bool) -> sa.ColumnElement[bool]:
    """Return the condition for sessions with an utterance that matches."""
    if not phrases:
        # A query of punctuation alone matches nothing.
        return sa.false()
    if connection.dialect.name == "sqlite":
        text = f"SELECT rowid >> {ROWID_BITS} AS session FROM archive_words WHERE archive_words MATCH :asked"
        hidden = f" AND rowid NOT IN (SELECT session << {ROWID_BITS} | position FROM utterances WHERE operator_only)"
        asked = spoken.for_sqlite(phrases)
    else:
        text = "SELECT session FROM archive_words WHERE words @@ CAST(:asked AS tsquery)"
        hidden = (
            " AND (session, position) NOT IN (SELECT session, position FROM utterances WHERE operator_only)"
        )
        asked = spoken.for_postgresql(phrases)
    chosen = sa.text(text if operator else text + hidden).bindparams(asked=asked)
    found = chosen.columns(sa.column("session", sa.BigInteger)).subquery()
    return sessions.c.id.in_(sa.select(found.c.session))


def _matches(connection: Connection, row: int, phrases: list[list[str]], *, operator: bool) -> list[Fields]:
    """Return the first utterances of a session that match."""
    said = utterances.c
    chosen = sa.select(said.text, said.role, said.at, said.turn_id).where(said.session == row)
    if connection.dialect.name == "sqlite":
        text = (
            f"SELECT rowid & {(1 << ROWID_BITS) - 1} AS position FROM archive_words "
            "WHERE archive_words MATCH :asked AND rowid BETWEEN :first AND :last"
        )
        asked = sa.text(text).bindparams(
            asked=spoken.for_sqlite(phrases),
            first=row << ROWID_BITS,
            last=((row + 1) << ROWID_BITS) - 1,
        )
    else:
        text = "SELECT position FROM archive_words WHERE session = :row AND words @@ CAST(:asked AS tsquery)"
        asked = sa.text(text).bindparams(row=row, asked=spoken.for_postgresql(phrases))
    found = asked.columns(sa.column("position", sa.Integer)).subquery()
    chosen = chosen.where(said.position.in_(sa.select(found.c.position)))
    if not operator:
        chosen = chosen.where(said.operator_only.is_(sa.false()))
    chosen = chosen.order_by(said.position).limit(MOST_MATCHES)
    return [dict(one._mapping) for one in connection.execute(chosen)]


def _people(connection: Connection, rows: Iterable[int]) -> dict[int, list[Fields]]:
    table = session_participants
    chosen = (
        sa.select(table).where(table.c.session.in_(list(rows))).order_by(table.c.session, table.c.position)
    )
    found: dict[int, list[Fields]] = {}
    for one in connection.execute(chosen):
        found.setdefault(one.session, []).append({"identity": one.identity, "role": one.role})
    return found


def _of(connection: Connection, table: sa.Table, row: int) -> list[Fields]:
    columns = [column for column in table.c if column.name not in ("session", "position")]
    chosen = sa.select(*columns).where(table.c.session == row).order_by(table.c.position)
    return [dict(one._mapping) for one in connection.execute(chosen)]


def _turn(place: int, turn: Fields, calls: list[str | None]) -> Fields:
    return {"turn_id": turn.pop("turn_id"), "index": place, **turn, "tools": calls}


def _percentiles(row: Row[Any], name: str) -> Fields | None:
    if not getattr(row, f"{name}_count"):
        return None
    return {part: getattr(row, f"{name}_{part}") for part in PERCENTILES}
