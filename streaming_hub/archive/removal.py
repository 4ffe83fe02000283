"""Removes sessions from the archive, on request or by age, in small steps.

SQLite overwrites what it deletes (`secure_delete`), but FTS5 only marks an entry as deleted until it merges its
segments, which `merge_words` does step by step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from streaming_hub.archive.stats import forget_stats
from streaming_hub.archive.store import mark
from streaming_hub.archive.tables import (
    OF_SESSION,
    erased,
    jobs,
    room_key,
    rooms,
    sessions,
    states,
)
from streaming_hub.archive.uploads import telemetry
from streaming_hub.archive.word_index import forget_words
from streaming_hub.sidecar.dialects import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

    from streaming_hub.archive.messages import Wanted
    from streaming_hub.archive.store import Key
    from streaming_hub.sidecar.database import Database

STEP: Final = 50
"""Sessions removed per transaction."""
MERGE_PAGES: Final = 500
"""Pages of the search index merged per step, which takes some milliseconds."""


def erase(database: Database, wanted: Wanted, now: float) -> list[Key]:
    """Remove sessions, and drop their events that arrive later.

    Returns:
        The sessions: those that had rows, and the known ones.

    Raises:
        Away: the database cannot be used; what has been removed so far stays removed.
    """
    keys = {(session_id, room or None) for session_id, room in wanted.known}
    with database.writing() as connection:
        _keep_out(connection, keys, now)
        _erase_jobs(connection, wanted, now)
    while True:
        with database.writing() as connection:
            rows = connection.execute(_chosen(wanted).limit(STEP)).all()
            found = {(row.session_id, row.room) for row in rows}
            _keep_out(connection, found, now)
            keep_jobs_out(connection, {row.job_id for row in rows if row.job_id}, now)
            _remove(connection, [(row.id, row.started) for row in rows])
        keys |= found
        if len(rows) < STEP:
            return list(keys)


class Expired(NamedTuple):
    """What one step removed.

    Attributes:
        sessions: their keys; empty if none are left.
        jobs: how many jobs without a session.
        ages: how many seconds old each session's end was, by the session's own timestamps, when its newest event
            was stored.
    """

    sessions: list[Key]
    jobs: int
    ages: list[float]


def expire(database: Database, before: float, forget_erased: float) -> Expired:
    """Remove some of the sessions that ended before a time, and jobs that have none.

    Args:
        database: the archive.
        before: seconds since 1970. A session whose newest event was stored before it has ended before it, whatever
            time its end claims.
        forget_erased: erasures before this time may be forgotten.
    """
    columns = sessions.c
    chosen = sa.select(
        columns.id, columns.started, columns.session_id, columns.room, columns.ended, columns.touched
    )
    old = chosen.where(sessions.c.ended < before).order_by(sessions.c.ended).limit(STEP)
    # An agent whose clock is ahead must not prolong this. Such sessions are among those with the smallest ids, the
    # others of their age being gone; no index is needed to find them.
    first = sa.select(sessions.c.id).order_by(sessions.c.id).limit(STEP)
    ahead = chosen.where(sessions.c.id.in_(first), sessions.c.ended >= before, sessions.c.touched < before)
    with database.reading() as connection:
        rows = connection.execute(old).all() or connection.execute(ahead).all()
        stale = connection.execute(
            sa.select(erased.c.key).where(erased.c.at < forget_erased).limit(1)
        ).first()
        stray = _stray_jobs(connection, before)
    if not rows and not stray and stale is None:
        return Expired([], 0, [])
    with database.writing() as connection:
        _remove(connection, [(row.id, row.started) for row in rows])
        telemetry.remove(connection, stray)
        connection.execute(sa.delete(erased).where(erased.c.at < forget_erased))
        connection.execute(sa.delete(rooms).where(rooms.c.at < before))
    ages = [row.touched - row.ended for row in rows]
    return Expired([(row.session_id, row.room) for row in rows], len(stray), ages)


def erased_since(database: Database, at: float) -> bool:
    """Return whether anything was erased since a time, in seconds since 1970."""
    with database.reading() as connection:
        return (
            connection.execute(sa.select(erased.c.key).where(erased.c.at >= at).limit(1)).first() is not None
        )


def merge_words(database: Database) -> bool:
    """Overwrite a part of what the search index still holds of removed sessions.

    Returns:
        Whether there is more to do.
    """
    if not database.sqlite:
        # Deleted with the rows; VACUUM overwrites it (docs/explanation/privacy.md).
        return False
    with database.writing() as connection:
        changes = "SELECT total_changes()"
        before = connection.exec_driver_sql(changes).scalar_one()
        # Negative: also merges a single segment, so the result is one segment without leftovers.
        connection.exec_driver_sql(
            f"INSERT INTO archive_words (archive_words, rank) VALUES ('merge', -{MERGE_PAGES})"
        )
        after: int = connection.exec_driver_sql(changes).scalar_one()
    # Fewer than two changes: nothing was merged (FTS5 documentation, "The 'merge' Command").
    return bool(after - before >= 2)


def _chosen(wanted: Wanted) -> sa.Select[Any]:
    chosen = sa.select(
        sessions.c.id, sessions.c.started, sessions.c.session_id, sessions.c.room, sessions.c.job_id
    )
    if wanted.room is not None:
        return chosen.where(sessions.c.room == wanted.room)
    chosen = chosen.where(sessions.c.session_id == wanted.session_id)
    return chosen if wanted.rooms is None else chosen.where(room_key.in_(wanted.rooms))


def _erase_jobs(connection: Connection, wanted: Wanted, now: float) -> None:
    """Remove jobs whose session the archive does not know: it may never have begun, or has not been read yet."""
    chosen = sa.select(jobs.c.id, jobs.c.job)
    if wanted.room is not None:
        chosen = chosen.where(jobs.c.room == wanted.room)
    elif wanted.rooms is None:
        keep_jobs_out(connection, [wanted.session_id or ""], now)
        chosen = chosen.where(jobs.c.key == telemetry.mark(wanted.session_id or ""))
    else:
        chosen = chosen.where(
            jobs.c.key == telemetry.mark(wanted.session_id or ""),
            sa.func.coalesce(jobs.c.room, sa.literal_column("''")).in_(wanted.rooms),
        )
    rows = connection.execute(chosen).all()
    keep_jobs_out(connection, [row.job for row in rows], now)
    telemetry.remove(connection, [row.id for row in rows])


def keep_jobs_out(connection: Connection, names: Iterable[str], now: float) -> None:
    """Remember jobs, to drop later uploads of them."""
    _remember(connection, [telemetry.mark(name) for name in names], now)


def _stray_jobs(connection: Connection, before: float) -> list[int]:
    """Return some jobs without a session and without uploads since a time."""
    known = sa.select(sessions.c.id).where(sessions.c.job_id == jobs.c.job)
    chosen = sa.select(jobs.c.id).where(jobs.c.touched < before, ~known.exists())
    return list(connection.execute(chosen.order_by(jobs.c.touched).limit(STEP)).scalars())


def _keep_out(connection: Connection, keys: Iterable[Key], now: float) -> None:
    _remember(connection, [mark(key) for key in keys], now)


def _remember(connection: Connection, marks: Iterable[str], now: float) -> None:
    upsert(connection, erased, [{"key": one, "at": now} for one in marks])


def _remove(connection: Connection, rows: Sequence[tuple[int, float]]) -> None:
    ids = [row for row, _ in rows]
    if not ids:
        return
    forget_words(connection, ids)
    of_jobs = sa.select(jobs.c.id).where(
        jobs.c.job.in_(sa.select(sessions.c.job_id).where(sessions.c.id.in_(ids)))
    )
    telemetry.remove(connection, list(connection.execute(of_jobs).scalars()))
    for table in OF_SESSION:
        connection.execute(sa.delete(table).where(table.c.session.in_(ids)))
    connection.execute(sa.delete(states).where(states.c.session.in_(ids)))
    connection.execute(sa.delete(sessions).where(sessions.c.id.in_(ids)))
    forget_stats(connection, {started for _, started in rows})
