"""Events made from uploads, stored until the hub has published them. In the archive's process.

They are written with the spans they come from, so each is made once. An event that is published twice because the hub
was killed in between is stored once, by its `event_id`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa

from streaming_hub.archive.tables import jobs, outbox, rooms, sessions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

Event = dict[str, Any]

MOST_DUE: Final = 200
"""Events published at a time."""
ATTACH_SECONDS: Final = 1.0
"""How long a job's first events wait: if `attach` reports its session, they are not published."""

_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(dict[str, Any]).decode


class Due(msgspec.Struct):
    """Events to publish: their rows, the events, and whether there are more."""

    ids: list[int]
    events: list[Event]
    more: bool = False


def put(connection: Connection, job: int, events: Iterable[Event]) -> None:
    """Store events until the hub publishes them."""
    rows = [{"job": job, "data": _write(event)} for event in events]
    if rows:
        connection.execute(sa.insert(outbox), rows)


def due(connection: Connection, now: float) -> Due:
    """Return some of the events to publish, in order; drop those of jobs that `attach` reports.

    A job's events wait until its room is known and `attach` has had time to report the same session.
    """
    of_job = outbox.join(jobs, jobs.c.id == outbox.c.job)
    chosen = sa.select(outbox.c.id, outbox.c.data, jobs.c.job, jobs.c.room).select_from(of_job)
    ready = (jobs.c.room.is_not(None), jobs.c.begun <= now - ATTACH_SECONDS)
    rows = connection.execute(chosen.where(*ready).order_by(outbox.c.id).limit(MOST_DUE)).all()
    reported = {name for name in {row.job for row in rows} if attached(connection, name)}
    published(connection, [row.id for row in rows if row.job in reported])
    rows = [row for row in rows if row.job not in reported]
    events = [_read(row.data) | {"room": row.room} for row in rows]
    more = connection.execute(sa.select(outbox.c.id).limit(1)).first() is not None
    return Due([row.id for row in rows], events, more=more)


def published(connection: Connection, ids: Sequence[int]) -> None:
    """Remove events that the hub has published or will never publish."""
    if ids:
        connection.execute(sa.delete(outbox).where(outbox.c.id.in_(ids)))


def attached(connection: Connection, job: str) -> bool:
    """Return whether a job's session is reported by something other than uploads."""
    chosen = sa.select(sessions.c.id).where(sessions.c.job_id == job, sessions.c.session_id != job)
    return connection.execute(chosen.limit(1)).first() is not None


def redact(connection: Connection, job: int) -> None:
    """Remove what was said from a job's events."""
    for row, data in connection.execute(
        sa.select(outbox.c.id, outbox.c.data).where(outbox.c.job == job)
    ).all():
        event = _read(data)
        if event["type"] == "transcript":
            published(connection, [row])
        elif hidden := {name: None for name in ("arguments", "output") if name in event}:
            changed = sa.update(outbox).where(outbox.c.id == row)
            connection.execute(changed.values(data=_write(event | hidden)))


def name_rooms(connection: Connection, named: dict[str, str], now: float) -> None:
    """Store room names by LiveKit's ids; most spans have only the id."""
    for sid, room in named.items():
        known = connection.execute(sa.update(rooms).where(rooms.c.sid == sid).values(room=room, at=now))
        if not known.rowcount:
            connection.execute(sa.insert(rooms).values(sid=sid, room=room, at=now))
        waiting = (jobs.c.room_sid == sid, jobs.c.room.is_(None))
        connection.execute(sa.update(jobs).where(*waiting).values(room=room))


def room_of(connection: Connection, sid: str | None) -> str | None:
    """Return a room's name by LiveKit's id; None if no webhook has named it."""
    return connection.execute(sa.select(rooms.c.room).where(rooms.c.sid == sid)).scalar()
