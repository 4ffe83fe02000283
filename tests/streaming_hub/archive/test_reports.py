"""The report of a session: its name, and what fits into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streaming_hub.archive import queries, reports
from tests.streaming_hub.archive.calls import START, Line, archived

if TYPE_CHECKING:
    from streaming_hub.sidecar.database import Database


def test_its_name_is_made_of_room_and_session() -> None:
    assert reports.event_id("support 7/a", "job:1") == "report:support%207%2Fa:job%3A1"
    assert reports.event_id(None, "x") == "report::x"
    # No two sessions share one.
    assert reports.event_id("a:b", "c") != reports.event_id("a", "b:c")


def test_a_long_transcript_is_cut_to_whole_lines(database: Database) -> None:
    line = Line()
    for number in range(60):
        line.add("transcript", START + number, text="é" * 1000, role="user", session_id="s")
    line.add("session_ended", START + 60, session_id="s")
    archived(database, line)
    with database.reading() as connection:
        (row,) = queries.due_reports(connection, 10)
        event = reports.event_of(connection, row)
    assert event["truncated"] is True
    size = len(msgspec.json.encode(event["transcript"]))
    one = len(msgspec.json.encode(event["transcript"][0]))
    assert reports.MOST_BYTES - one - 1 < size <= reports.MOST_BYTES
    assert "room" not in event


def test_a_short_one_is_whole(database: Database) -> None:
    line = Line()
    line.add("transcript", START, text="Hi.", role="user", session_id="s", room="r")
    line.add("session_ended", START + 1, session_id="s", room="r")
    archived(database, line)
    with database.reading() as connection:
        (row,) = queries.due_reports(connection, 10)
        event = reports.event_of(connection, row)
    assert "truncated" not in event
    assert [one["text"] for one in event["transcript"]] == ["Hi."]
    assert event["room"] == "r"


def test_it_is_due_until_the_archive_has_seen_it(database: Database) -> None:
    line = Line()
    line.add("session_started", START, session_id="s", room="r")
    line.add("session_ended", START + 1, session_id="s", room="r")
    line.add("session_report", START + 2, session_id="s", room="r", event_id="report:r:s")
    archived(database, line)
    with database.reading() as connection:
        assert queries.due_reports(connection, 10) == []
        (row,) = queries.rows_of(connection, "s", None)
    assert row.last_id == "epoch-2"
