"""What was said, as rows of a SQLite table: `uv run examples/into_database.py transcripts.db`.

Begins with all that the hub has stored. The position is written in the same transaction as the row, so that each final
transcript is in the table once, whatever is killed when. While another program has the file locked, this one waits. A
field that is no text or number is stored as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from hub_stream import Refused, follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub_stream import Received

Result = TypeVar("Result")

SCHEMA = """
CREATE TABLE IF NOT EXISTS transcripts (
    id TEXT PRIMARY KEY, at REAL, room TEXT, session_id TEXT, role TEXT, participant TEXT, text TEXT, cut_off INTEGER);
CREATE TABLE IF NOT EXISTS stream (position TEXT);
"""
FIELDS = ("id", "timestamp", "room", "session_id", "role", "participant", "text")
ALL_STORED = 100_000


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


def take(db: sqlite3.Connection, received: Received) -> None:
    """Store one event and its position, both or none."""
    event = received.event
    with db:
        if event["type"] == "transcript" and event.get("is_final", True):
            row = (*(column(event.get(name)) for name in FIELDS), bool(event.get("interrupted")))
            db.execute("INSERT OR IGNORE INTO transcripts VALUES (?,?,?,?,?,?,?,?)", row)
        if received.position:
            db.execute("DELETE FROM stream")
            db.execute("INSERT INTO stream VALUES (?)", (received.position,))


def tell_gap(event: dict[str, Any]) -> None:
    """Say that events are missing: the hub had deleted them before this program came for them."""
    missed = "some" if event["missed"] is None else event["missed"]
    print(f"{missed} events were missed ({event['reason']})", file=sys.stderr)


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
        for received in follow(
            options.hub,
            key=os.environ.get("STREAM_KEY"),
            position=once_unlocked(lambda: position_in(db)),
            type="transcript",
            replay=ALL_STORED,
        ):
            if received.event["type"] == "stream_reset":
                tell_gap(received.event)
            once_unlocked(lambda received=received: take(db, received))  # type: ignore[misc]


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print()
