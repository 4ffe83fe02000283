"""What was said, as rows of a SQLite table: `uv run examples/into_database.py transcripts.db`.

Starts with everything the hub has stored. The position is written in the same transaction as the row, so each final
transcript is in the table once, wherever the program is killed. A field that is neither text nor a number is stored as
JSON. Needs livekit-streaming-hub-client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sqlite3
import sys
from typing import Any

from streaming_hub_client import Gap, Refused, afollow

SCHEMA = """
CREATE TABLE IF NOT EXISTS transcripts (
    id TEXT PRIMARY KEY, at REAL, room TEXT, session_id TEXT, role TEXT, participant TEXT, text TEXT, cut_off INTEGER);
CREATE TABLE IF NOT EXISTS stream (position TEXT);
"""
FIELDS = ("id", "timestamp", "room", "session_id", "role", "participant", "text")
ALL_STORED = 100_000
IDLE = 1.0
"""Seconds without an event after which the position is saved: events that the filter leaves out move it, too."""
LOCKED = 60.0
"""Seconds to wait while another program has the database locked."""


def column(value: Any) -> str | float | None:
    """Return a field as a column can hold it: anything but text and numbers as JSON."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    # A lone surrogate cannot be encoded as UTF-8.
    return value.encode(errors="replace").decode() if isinstance(value, str) else json.dumps(value)


def store(db: sqlite3.Connection, event: dict[str, Any] | None, position: str) -> None:
    """Store an event and the position after it, both or none."""
    with db:
        if event and event["type"] == "transcript" and event.get("is_final", True):
            row = (*(column(event.get(name)) for name in FIELDS), bool(event.get("interrupted")))
            db.execute("INSERT OR IGNORE INTO transcripts VALUES (?,?,?,?,?,?,?,?)", row)
        db.execute("DELETE FROM stream")
        db.execute("INSERT INTO stream VALUES (?)", (position,))


async def write(hub: str, db: sqlite3.Connection) -> None:
    """Follow the stream, and store its transcripts."""
    row = db.execute("SELECT position FROM stream").fetchone()
    saved = row[0] if row else None
    key = os.environ.get("STREAM_KEY")
    async with afollow(hub, key=key, since=saved, types="transcript", replay=ALL_STORED) as stream:
        while True:
            item = None
            with contextlib.suppress(asyncio.TimeoutError):
                item = await asyncio.wait_for(anext(stream), IDLE)
            if isinstance(item, Gap):
                missed = "some" if item.missed is None else item.missed
                print(f"{missed} events are missing ({item.reason})", file=sys.stderr)
                item = None
            if stream.position != saved:
                saved = stream.position
                store(db, item, saved)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a hub's final transcripts into a SQLite database.")
    parser.add_argument("database", help="the file; created if it is missing")
    parser.add_argument(
        "--hub",
        default=os.environ.get("STREAM_URL") or "http://localhost:5000",
        help="its address; STREAM_URL by default",
    )
    options = parser.parse_args()
    with contextlib.closing(sqlite3.connect(options.database, timeout=LOCKED)) as db:
        db.executescript(SCHEMA)
        asyncio.run(write(options.hub, db))


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(f"Refused by the hub: {error} Put a subscribe key into STREAM_KEY.")
    except KeyboardInterrupt:
        print()
