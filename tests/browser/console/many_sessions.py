"""An archive with many sessions, made at once: posting their events would take minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from streaming_hub.archive.tables import ARCHIVE, sessions
from streaming_hub.sidecar.database import Database

if TYPE_CHECKING:
    from pathlib import Path

START = 1_795_000_000.0
SECONDS = 10.0
"""Between the starts of two sessions."""


def make(path: Path, count: int) -> None:
    """Write an archive whose sessions are named by their place in time: `s00000` and so on."""
    database = Database(f"sqlite:///{path}", ARCHIVE)
    database.open()
    try:
        with database.writing() as connection:
            connection.execute(sa.insert(sessions), [_row(number) for number in range(count)])
    finally:
        database.close()


def _row(number: int) -> dict[str, Any]:
    zero = dict.fromkeys(
        (
            "turns",
            "user_talk",
            "agent_talk",
            "overlap",
            "user_words",
            "agent_words",
            "interruptions",
            "false_interruptions",
            "tool_calls",
            "tool_failures",
            "errors",
            "latency_count",
            "heard_latency_count",
            "missing_events",
        ),
        0,
    )
    started = START + number * SECONDS
    return {
        **zero,
        "session_id": f"s{number:05d}",
        "room": f"room-{number % 7}",
        "agent": "helper",
        "started": started,
        "ended": started + 5,
        "duration": 5.0,
        "silence": 5.0,
        "reason": "participant_disconnected",
        "incomplete": False,
        "recorded": False,
        "first_id": f"e-{number + 1}",
        "last_id": f"e-{number + 1}",
        "touched": started,
        "reported": True,
    }
