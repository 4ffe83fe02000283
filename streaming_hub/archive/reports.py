"""The `session_report` of a session that has ended: the event that the hub publishes once.

That it exists once is the `event_id`'s doing: whoever publishes it uses the same one.
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
"""How the `event_id` of a report begins; posted ones may not."""
MOST_BYTES: Final = 48 * 1024
"""Bytes of JSON of a report's transcript."""
_encode = msgspec.json.Encoder().encode


def event_id(room: str | None, session_id: str) -> str:
    """Return the name of a session's report."""
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
    """Return as many lines as fit, from the first one, and whether some were left out."""
    size = 2
    kept: list[dict[str, Any]] = []
    for line in lines:
        line.pop("operator_only", None)
        size += len(_encode(line)) + 1
        if size > MOST_BYTES:
            return kept, True
        kept.append(line)
    return kept, False
