"""Events made from uploads, stored until the hub has published them. In the archive's process.

They are written with the spans they come from, so each is made once. An event that is published twice because the hub
was killed in between is stored once, by its `event_id`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa

from streaming_hub.archive.reduce import REPLACED
from streaming_hub.archive.tables import jobs, outbox, rooms, sessions
from streaming_hub.events.wordless import has_words, wordless
from streaming_hub.sidecar.dialects import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection, Row

Event = dict[str, Any]

MOST_DUE: Final = 200
"""Events published at a time."""
ATTACH_SECONDS: Final = 1.0
"""Seconds that a job's first events wait: if `attach` reports the session meanwhile, they are dropped."""
WATCHER_SECONDS: Final = 3.0
"""The same if a watcher may report it: the watcher waits for `attach` first."""
END_SECONDS: Final = 10.0
"""Seconds after the last upload in which `attach` or the watcher may still report the end of its session."""
END: Final = "session_ended"
REPORT: Final = "chat_history"
"""The `type` of a report among the events."""
REDACTION: Final = "redaction"
"""The `type` of a row that asks to take the words out of what was published."""

_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(dict[str, Any]).decode


class Report(msgspec.Struct):
    """Messages of LiveKit's report that have to pass the operator's hook before they are kept."""

    job: str
    room: str
    messages: list[dict[str, Any]]


class Due(msgspec.Struct):
    """What the hub has to publish or do.

    Attributes:
        ids: the rows.
        events: to publish.
        reports: to pass the operator's hook.
        redacted: jobs that LiveKit marked after some of their words were published: the words are to be erased.
        more: whether there are other rows.
    """

    ids: list[int]
    events: list[Event]
    reports: list[Report] = []
    redacted: list[str] = []
    more: bool = False


def put(connection: Connection, job: int, events: Iterable[Event]) -> None:
    """Store events until the hub publishes them."""
    rows = [{"job": job, "data": _write(event)} for event in events]
    if rows:
        connection.execute(sa.insert(outbox), rows)


def put_report(connection: Connection, job: int, messages: Iterable[Any]) -> None:
    """Let the messages of a report wait for the operator's hook."""
    put(connection, job, [{"type": REPORT, "messages": [msgspec.to_builtins(one) for one in messages]}])


def put_redaction(connection: Connection, job: int) -> None:
    """Ask the hub to take the words out of a job's published events."""
    put(connection, job, [{"type": REDACTION}])


def due(connection: Connection, now: float, hold: float = ATTACH_SECONDS) -> Due:
    """Return some pending events, in order; drop those of jobs that `attach` or the watcher reports.

    A job's events wait until its room is known, and for `hold` seconds, in which `attach` may report the same session.
    Of a reported session only the end is published, if nothing else reports it, and the end of the session that was
    made from uploads before.

    Args:
        connection: a transaction that writes.
        now: seconds since 1970.
        hold: seconds since the job's first upload.
    """
    of_job = outbox.join(jobs, jobs.c.id == outbox.c.job)
    columns = (outbox.c.id, outbox.c.data, jobs.c.job, jobs.c.room, jobs.c.touched)
    ready = (jobs.c.room.is_not(None), jobs.c.begun <= now - hold)
    chosen = sa.select(*columns).select_from(of_job).where(*ready)
    rows = connection.execute(chosen.order_by(outbox.c.id).limit(MOST_DUE)).all()
    others = {name: _reported(connection, name) for name in {row.job for row in rows}}
    found, dropped = Due([], []), []
    for row in rows:
        event, session = _read(row.data), others[row.job]
        if event["type"] == REPORT:
            found.reports.append(Report(row.job, row.room, event["messages"]))
        elif event["type"] == REDACTION:
            found.redacted.append(row.job)
        elif session is None or event.get("reason") == REPLACED:
            found.events.append(event | {"room": row.room})
        elif event["type"] != END or session.ended is not None:
            dropped.append(row.id)
            continue
        elif row.touched > now - END_SECONDS:
            continue
        else:
            found.events.append(event | {"session_id": session.session_id, "room": session.room})
        found.ids.append(row.id)
    published(connection, dropped)
    found.more = connection.execute(sa.select(outbox.c.id).limit(1)).first() is not None
    return found


def published(connection: Connection, ids: Sequence[int]) -> None:
    """Remove events that the hub has published or will never publish."""
    if ids:
        connection.execute(sa.delete(outbox).where(outbox.c.id.in_(ids)))


def _reported(connection: Connection, job: str) -> Row[Any] | None:
    """Return the newest session of a job that `attach` or the watcher reports; None if there is none."""
    columns = (sessions.c.session_id, sessions.c.room, sessions.c.ended)
    chosen = sa.select(*columns).where(sessions.c.job_id == job, sessions.c.session_id != job)
    found: Sequence[Any] = connection.execute(chosen.order_by(sessions.c.id.desc())).all()
    # A replaced session has ended, although the job has not.
    return next((row for row in found if row.ended is None), found[0] if found else None)


def note_gone(connection: Connection, names: Sequence[str], sids: Sequence[str], at: float) -> None:
    """Record that jobs' agents have left, as LiveKit's webhooks report, or that their rooms are closed.

    Args:
        connection: writes.
        names: the jobs.
        sids: LiveKit's ids of the rooms.
        at: when, seconds since 1970.
    """
    for column, values in ((jobs.c.job, names), (jobs.c.room_sid, sids)):
        if values:
            left = sa.update(jobs).where(column.in_(list(values)), jobs.c.gone.is_(None))
            connection.execute(left.values(gone=at))


def redact(connection: Connection, job: int) -> None:
    """Remove what was said from a job's events."""
    for row, data in connection.execute(
        sa.select(outbox.c.id, outbox.c.data).where(outbox.c.job == job)
    ).all():
        event = _read(data)
        if event["type"] in ("transcript", REPORT):
            published(connection, [row])
        elif has_words(event):
            changed = sa.update(outbox).where(outbox.c.id == row)
            connection.execute(changed.values(data=_write(wordless(event))))


def name_rooms(connection: Connection, named: dict[str, str], now: float) -> None:
    """Store room names by LiveKit's ids; most spans have only the id."""
    upsert(connection, rooms, [{"sid": sid, "room": room, "at": now} for sid, room in named.items()])
    for sid, room in named.items():
        waiting = (jobs.c.room_sid == sid, jobs.c.room.is_(None))
        connection.execute(sa.update(jobs).where(*waiting).values(room=room))


def room_of(connection: Connection, sid: str | None) -> str | None:
    """Return a room's name by LiveKit's id; None if no webhook has named it."""
    return connection.execute(sa.select(rooms.c.room).where(rooms.c.sid == sid)).scalar()
