"""Statistics by time of start: sessions, minutes, latencies over all turns, interruptions, tools, errors.

The rows of a range are read once and put into buckets here, since percentiles by nearest rank need all values. The
result of a closed hour or day is stored, and a change to a session drops the stored results of the hour and the day in
which it began, in the same transaction (`forget_stats`). To miss no change between reading and storing, a marker
is stored first; the result replaces it only if the marker is still there.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa

from streaming_hub.archive.figures import percentiles
from streaming_hub.archive.messages import BUCKETS, Asked
from streaming_hub.archive.queries import not_replaced
from streaming_hub.archive.tables import in_rooms, sessions, stats, turns
from streaming_hub.sidecar.dialects import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

    from streaming_hub.sidecar.database import Database

Fields = dict[str, Any]

STORED: Final = frozenset({"hour", "day"})
MARK: Final = b"?"
"""Placeholder for a result that is being computed."""
MOST_STORED: Final = 100_000
"""Maximum number of stored results; beyond it the oldest buckets are dropped."""
LATENCIES: Final = {
    "heard_latency": turns.c.heard_latency,
    "latency": turns.c.e2e_latency,
    "transcription_delay": turns.c.transcription_delay,
    "end_of_turn_delay": turns.c.end_of_turn_delay,
    "llm_node_ttft": turns.c.llm_node_ttft,
    "tts_node_ttfb": turns.c.tts_node_ttfb,
}
_SUMS: Final = {
    "turns": sessions.c.turns,
    "interruptions": sessions.c.interruptions,
    "tool_calls": sessions.c.tool_calls,
    "tool_failures": sessions.c.tool_failures,
    "errors": sessions.c.errors,
}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def starts(asked: Asked) -> list[int]:
    """Return when the buckets begin, seconds since 1970."""
    size = BUCKETS[asked.bucket]
    first = _start(asked.since, size)
    return list(range(first, max(first, int(-(-asked.until // size) * size)), size))


def forget_stats(connection: Connection, begun: Iterable[float]) -> None:
    """Drop the stored results of the hours and days in which these sessions began."""
    changed = {_start(at, BUCKETS[bucket]) for at in begun for bucket in STORED}
    connection.execute(sa.delete(stats).where(stats.c.start.in_(changed)))


def buckets(database: Database, asked: Asked, now: float) -> list[Fields]:
    """Return every bucket of the range, including empty ones, and store the results of closed buckets.

    Args:
        database: the archive.
        asked: which statistics.
        now: seconds since 1970; a bucket is closed once it is over.
    """
    size = BUCKETS[asked.bucket]
    if asked.from_first:
        with database.reading() as connection:
            first = connection.execute(
                sa.select(sa.func.min(sessions.c.started)).where(
                    *_conditions(asked, asked.since, asked.until)
                )
            ).scalar_one()
        if first is None:
            return []
        # Return the whole bucket, as it is stored: it has nothing before the first session.
        asked = msgspec.structs.replace(asked, since=float(_start(first, size)))
    wanted = starts(asked)
    # The range covers only a part of this bucket; stored results are of whole ones.
    whole = [
        start
        for start in wanted
        if asked.bucket in STORED and start >= asked.since and start + size <= min(asked.until, now)
    ]
    scope = _scope(asked)
    with database.reading() as connection:
        known = _stored(connection, asked.bucket, scope, whole) if whole else {}
    keep = [start for start in whole if start not in known]
    mark = MARK + secrets.token_bytes(8)
    if keep:
        _mark(database, asked.bucket, scope, keep, mark)
    with database.reading() as connection:
        missing = [start for start in wanted if start not in known]
        fresh: dict[int, Fields] = {}
        for first, last in _stretches(missing, size):
            fresh |= _computed(connection, asked, first, last + size)
    found = known | {start: fresh.get(start) or _empty(start) for start in missing}
    if keep:
        _keep(database, asked.bucket, scope, {start: found[start] for start in keep}, mark)
    return [found[start] for start in wanted]


def _computed(connection: Connection, asked: Asked, first: int, end: int) -> dict[int, Fields]:
    """Compute the buckets between two times, without empty ones."""
    size = BUCKETS[asked.bucket]
    conditions = _conditions(asked, max(first, asked.since), min(end, asked.until))
    found: dict[int, Fields] = {}
    start_of: dict[int, int] = {}
    columns = (sessions.c.id, sessions.c.started, sessions.c.duration, *_SUMS.values())
    for row, started, duration, *sums in connection.execute(sa.select(*columns).where(*conditions)):
        start = start_of[row] = _start(started, size)
        fields = found.get(start)
        if fields is None:
            fields = found[start] = _empty(start)
        fields["sessions"] += 1
        fields["minutes"] += duration / 60
        for name, value in zip(_SUMS, sums, strict=True):
            fields[name] += value
    values: dict[int, list[list[float]]] = {start: [[] for _ in LATENCIES] for start in found}
    timed = sa.select(turns.c.session, *LATENCIES.values()).join(sessions, sessions.c.id == turns.c.session)
    for row, *latencies in connection.execute(timed.where(*conditions)):
        lists = values[start_of[row]]
        for place, latency in enumerate(latencies):
            if latency is not None:
                lists[place].append(latency)
    for start, lists in values.items():
        found[start]["minutes"] = round(found[start]["minutes"], 6)
        for name, one in zip(LATENCIES, lists, strict=True):
            found[start][name] = percentiles(one)
    return found


def _conditions(asked: Asked, since: float, until: float) -> list[sa.ColumnElement[bool]]:
    """Return the condition for sessions that began from `since` (inclusive) to `until` (exclusive)."""
    conditions = [sessions.c.started >= since, sessions.c.started < until, not_replaced]
    if asked.allowed is not None:
        conditions.append(sessions.c.room.in_(asked.allowed))
    if asked.room:
        conditions.append(in_rooms(asked.room))
    if asked.agent:
        conditions.append(sessions.c.agent.in_(asked.agent))
    return conditions


def _start(at: float, size: int) -> int:
    return int(at // size * size)


def _empty(start: int) -> Fields:
    return {
        "start": start,
        "sessions": 0,
        "minutes": 0.0,
        "turns": 0,
        **dict.fromkeys(LATENCIES),
        "interruptions": 0,
        "tool_calls": 0,
        "tool_failures": 0,
        "errors": 0,
    }


def _stretches(starts: Iterable[int], size: int) -> list[tuple[int, int]]:
    """Return the first and last of each run of consecutive buckets."""
    found: list[tuple[int, int]] = []
    for start in starts:
        if found and found[-1][1] + size == start:
            found[-1] = (found[-1][0], start)
        else:
            found.append((start, start))
    return found


def _scope(asked: Asked) -> str:
    """Return the key of stored results for a set of filters."""
    filters = [
        sorted(asked.room),
        sorted(asked.agent),
        None if asked.allowed is None else sorted(asked.allowed),
    ]
    return hashlib.sha256(_encode(filters)).hexdigest()


def _stored(connection: Connection, bucket: str, scope: str, whole: list[int]) -> dict[int, Fields]:
    chosen = sa.select(stats.c.start, stats.c.data).where(
        stats.c.bucket == bucket, stats.c.scope == scope, stats.c.start.between(whole[0], whole[-1])
    )
    wanted = set(whole)
    return {
        start: _decode(data)
        for start, data in connection.execute(chosen)
        if start in wanted and data[:1] != MARK
    }


def _mark(database: Database, bucket: str, scope: str, starts: list[int], mark: bytes) -> None:
    rows = [{"bucket": bucket, "start": start, "scope": scope, "data": mark} for start in starts]
    with database.writing() as connection:
        if not database.sqlite:
            # Wait for transactions that have dropped stored results and are not committed yet: what they change would
            # be missing from what is computed, and they would not drop the result. They may take longer than other
            # locks are waited for.
            connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
            connection.execute(sa.text("LOCK TABLE archive_stats IN SHARE ROW EXCLUSIVE MODE"))
        upsert(connection, stats, rows)
        count = connection.execute(sa.select(sa.func.count()).select_from(stats)).scalar_one()
        if count > MOST_STORED:
            oldest = sa.select(stats.c.start).order_by(stats.c.start).offset(count - MOST_STORED).limit(1)
            connection.execute(sa.delete(stats).where(stats.c.start < oldest.scalar_subquery()))


def _keep(database: Database, bucket: str, scope: str, found: dict[int, Fields], mark: bytes) -> None:
    update = (
        sa.update(stats)
        .where(
            stats.c.bucket == bucket,
            stats.c.scope == scope,
            stats.c.start == sa.bindparam("first"),
            stats.c.data == mark,
        )
        .values(data=sa.bindparam("result"))
    )
    with database.writing() as connection:
        connection.execute(
            update, [{"first": start, "result": _encode(fields)} for start, fields in found.items()]
        )
