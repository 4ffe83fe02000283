"""What was said, as rows of a SQLite table: `uv run examples/into_database.py transcripts.db`.

Begins with all that the hub has stored. The position is written in the same transaction as the row, so that each final
transcript is in the table once, whatever is killed when.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from hub_stream import Refused, follow

if TYPE_CHECKING:
    from hub_stream import Received

SCHEMA = """
CREATE TABLE IF NOT EXISTS transcripts (
    id TEXT PRIMARY KEY, at REAL, room TEXT, session_id TEXT, role TEXT, participant TEXT, text TEXT, cut_off INTEGER);
CREATE TABLE IF NOT EXISTS stream (position TEXT);
"""
FIELDS = ("id", "timestamp", "room", "session_id", "role", "participant", "text")
ALL_STORED = 100_000


def position_in(db: sqlite3.Connection) -> str | None:
    """Return where the last run ended."""
    row = db.execute("SELECT position FROM stream").fetchone()
    return row[0] if row else None


def take(db: sqlite3.Connection, received: Received) -> None:
    """Store one event and its position, both or none."""
    event = received.event
    with db:
        if event["type"] == "transcript" and event.get("is_final", True):
            row = (*(event.get(name) for name in FIELDS), bool(event.get("interrupted")))
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
        db.executescript(SCHEMA)
        for received in follow(
            options.hub,
            key=os.environ.get("STREAM_KEY"),
            position=position_in(db),
            type="transcript",
            replay=ALL_STORED,
        ):
            if received.event["type"] == "stream_reset":
                tell_gap(received.event)
            take(db, received)


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print()
