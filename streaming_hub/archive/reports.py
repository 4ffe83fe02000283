"""The `session_report`: the event that the hub publishes once for each ended session.

Its `event_id` is the same whichever node publishes it, so it is stored only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from streaming_hub.archive import queries
from streaming_hub.archive.reduce import REPORT

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

PREFIX: Final = "report:"
"""Prefix of a report's `event_id`, which posted events may not use."""
MOST_BYTES: Final = 48 * 1024
"""Maximum size of a report's transcript, in bytes of JSON."""
_encode = msgspec.json.Encoder().encode


def event_id(room: str | None, session_id: str) -> str:
    """Return the `event_id` of a session's report."""
    return f"{PREFIX}{quote(room or '', safe='')}:{quote(session_id, safe='')}"


def event_of(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    """Return the event, without `timestamp`."""
    found = queries.detail(connection, row)
    transcript, truncated = cut(found["transcript"])
    event = {
        "type": REPORT,
        "event_id": event_id(row.room, row.session_id),
        "session_id": row.session_id,
        "session": found["session"],
        "transcript": transcript,
    }
    if row.room is not None:
        event["room"] = row.room
    return event | ({"truncated": True} if truncated else {})


def cut(lines: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """Return the first lines that fit, and whether others were left out."""
    size = 2
    kept: list[dict[str, Any]] = []
    for line in lines:
        line.pop("operator_only", None)
        size += len(_encode(line)) + 1
        if size > MOST_BYTES:
            return kept, True
        kept.append(line)
    return kept, False
