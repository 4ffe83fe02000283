"""What was said, as rows of a SQLite table: `uv run examples/into_database.py transcripts.db`.

Begins with all that the hub has stored. The position is written in the same transaction as the row, so that each final
transcript is in the table once, whatever is killed when. While another program has the file locked, this one waits. A
field that is no text or number is stored as JSON. Needs livekit-streaming-hub-client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sqlite3
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from streaming_hub_client import Gap, Refused, afollow

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

SCHEMA = """
CREATE TABLE IF NOT EXISTS transcripts (
    id TEXT PRIMARY KEY, at REAL, room TEXT, session_id TEXT, role TEXT, participant TEXT, text TEXT, cut_off INTEGER);
CREATE TABLE IF NOT EXISTS stream (position TEXT);
"""
FIELDS = ("id", "timestamp", "room", "session_id", "role", "participant", "text")
ALL_STORED = 100_000
IDLE = 1.0
"""Seconds without an event after which the position is saved: it moves on with others' events, too."""
PAUSE = 1.0
"""Seconds between two looks at a database that another program has locked."""


def once_unlocked(work: Callable[[], Result]) -> Result:
    """Do work on the database, again and again for as long as another program has it locked."""
    told = False
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if not told:
                print("the database is locked by another program; waiting for it", file=sys.stderr)
            told = True
            time.sleep(PAUSE)


def position_in(db: sqlite3.Connection) -> str | None:
    """Return where the last run ended."""
    row = db.execute("SELECT position FROM stream").fetchone()
    return row[0] if row else None


def column(value: Any) -> str | float | None:
    """Return what a column can hold of a field; what it cannot hold is written as JSON."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    # Half of a surrogate pair has no form in UTF-8.
    return value.encode(errors="replace").decode() if isinstance(value, str) else json.dumps(value)


def take(db: sqlite3.Connection, event: dict[str, Any] | None, position: str | None) -> None:
    """Store an event and the position after it, both or none."""
    with db:
        if event and event["type"] == "transcript" and event.get("is_final", True):
            row = (*(column(event.get(name)) for name in FIELDS), bool(event.get("interrupted")))
            db.execute("INSERT OR IGNORE INTO transcripts VALUES (?,?,?,?,?,?,?,?)", row)
        if position:
            db.execute("DELETE FROM stream")
            db.execute("INSERT INTO stream VALUES (?)", (position,))


def report_gap(gap: Gap) -> None:
    """Say that events are missing: the hub had deleted them before this program came for them."""
    print(
        f"{'some' if gap.missed is None else gap.missed} events were missed ({gap.reason})", file=sys.stderr
    )


async def write(hub: str, db: sqlite3.Connection) -> None:
    """Write what the stream brings."""
    saved = once_unlocked(lambda: position_in(db))
    key = os.environ.get("STREAM_KEY")
    async with afollow(hub, key=key, since=saved, types="transcript", replay=ALL_STORED) as stream:
        while True:
            item = None
            with contextlib.suppress(asyncio.TimeoutError):
                item = await asyncio.wait_for(anext(stream), IDLE)
            if isinstance(item, Gap):
                report_gap(item)
                item = None
            if stream.position != saved:
                saved = stream.position
                once_unlocked(partial(take, db, item, saved))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a hub's final transcripts into a SQLite database.")
    parser.add_argument("database", help="the file; made where it is missing")
    parser.add_argument(
        "--hub",
        default=os.environ.get("STREAM_URL") or "http://localhost:5000",
        help="its address; STREAM_URL by default",
    )
    options = parser.parse_args()
    with contextlib.closing(sqlite3.connect(options.database)) as db:
        once_unlocked(lambda: db.executescript(SCHEMA))
        asyncio.run(write(options.hub, db))


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(f"The hub refuses, {error} A subscribe key goes into STREAM_KEY.")
    except KeyboardInterrupt:
        print()
