"""Raw events in the archive: compressed parts of NDJSON, of live sessions and, as recordings, of ended ones."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from streaming_hub.archive.tables import live_events, recordings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

LEVELS: Final = {live_events: 1, recordings: 6}
"""zlib levels: raw events of live sessions are compressed again when the session ends."""
PART_BYTES: Final = 1 << 20
"""Maximum bytes of raw events in a part of a recording and in a result of `raw_page`; a larger event is on its own."""


def add_parts(connection: Connection, table: sa.Table, lines_of: Mapping[int, Sequence[bytes]]) -> None:
    """Append raw events to those that a table already has of their sessions.

    Args:
        connection: to the archive.
        table: one of `LEVELS`.
        lines_of: `sessions.id` -> events as JSON, without line breaks.
    """
    if not lines_of:
        return
    place = (
        sa.select(sa.func.coalesce(sa.func.max(table.c.position) + 1, 0))
        .where(table.c.session == sa.bindparam("row"))
        .scalar_subquery()
    )
    insert = sa.insert(table).values(
        session=sa.bindparam("row"), position=place, events=sa.bindparam("count"), data=sa.bindparam("raw")
    )
    rows = [
        {"row": row, "count": len(lines), "raw": _compressed(table, lines)} for row, lines in lines_of.items()
    ]
    connection.execute(insert, rows)


def close_session(connection: Connection, row: int, *, keep: bool) -> bool:
    """Remove the raw events of a session that has just ended, or turn them into its recording.

    Args:
        connection: to the archive.
        row: `sessions.id`.
        keep: whether there are recordings.

    Returns:
        Whether it has one now.
    """
    recorded = False
    if keep:
        lines = (line for part in _parts(connection, live_events, row) for line in part.splitlines())
        for piece in _pieces(lines):
            add_parts(connection, recordings, {row: piece})
            recorded = True
    connection.execute(sa.delete(live_events).where(live_events.c.session == row))
    return recorded


def rewrite(connection: Connection, row: int, change: Callable[[bytes], bytes | None]) -> None:
    """Change the raw events that the archive has of a session.

    Args:
        connection: to the archive.
        row: `sessions.id`.
        change: returns what to store instead of an event; None removes it.
    """
    for table in LEVELS:
        positions = sa.select(table.c.position).where(table.c.session == row)
        for position in connection.execute(positions).scalars().all():
            part = sa.and_(table.c.session == row, table.c.position == position)
            stored = zlib.decompress(connection.execute(sa.select(table.c.data).where(part)).scalar_one())
            lines = [changed for line in stored.splitlines() if (changed := change(line)) is not None]
            if lines:
                values = {"events": len(lines), "data": _compressed(table, lines)}
                connection.execute(sa.update(table).where(part).values(values))
            else:
                connection.execute(sa.delete(table).where(part))


def raw_events(connection: Connection, row: int) -> Iterator[bytes]:
    """Yield all raw events that the archive has of a session, in parts: NDJSON, in order."""
    yield from _parts(connection, recordings, row)
    yield from _parts(connection, live_events, row)


def raw_page(connection: Connection, row: int, after: int) -> tuple[bytes, int]:
    """Return some of a session's raw events, and the number of the last one.

    A live session's events move into its recording when it ends; their numbers do not change.

    Args:
        connection: to the archive.
        row: `sessions.id`.
        after: how many events to skip.

    Returns:
        NDJSON, in order; empty at the end.
    """
    passed = 0
    for table in (recordings, live_events):
        parts = sa.select(table.c.position, table.c.events).where(table.c.session == row)
        for position, count in connection.execute(parts.order_by(table.c.position)).all():
            if passed + count > after:
                data = sa.select(table.c.data).where(table.c.session == row, table.c.position == position)
                lines = zlib.decompress(connection.execute(data).scalar_one()).splitlines(keepends=True)
                piece = next(_pieces(lines[after - passed :]))
                return b"".join(piece), after + len(piece)
            passed += count
    return b"", passed


def _parts(connection: Connection, table: sa.Table, row: int) -> Iterator[bytes]:
    found = connection.execute(
        sa.select(table.c.data).where(table.c.session == row).order_by(table.c.position)
    )
    return (zlib.decompress(part[0]) for part in found)


def _compressed(table: sa.Table, lines: Iterable[bytes]) -> bytes:
    return zlib.compress(b"".join(line + b"\n" for line in lines), LEVELS[table])


def _pieces(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Split raw events into the parts of a recording."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > PART_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(line)
        size += len(line) + 1
    if piece:
        yield piece
