"""Events of uploads in both databases, until the hub has published them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from streaming_hub.archive import tables
from streaming_hub.archive.uploads import outbox, telemetry
from streaming_hub.archive.uploads.otlp import Span
from streaming_hub.archive.uploads.recording import Message
from tests.streaming_hub.archive.calls import Line, archived

if TYPE_CHECKING:
    from streaming_hub.sidecar.database import Database

NOW = 1_795_430_000.0
LATER = NOW + 60


def event(number: int, kind: str = "x", **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "timestamp": NOW,
        "session_id": "AJ_1",
        "event_id": f"upload:AJ_1:{number}",
        **fields,
    }


def a_job(
    database: Database, *, room: str | None = "hall", name: str = "AJ_1", sid: str | None = None
) -> int:
    with database.writing() as connection:
        job = telemetry.job_of(connection, name, NOW)
        changed = sa.update(tables.jobs).where(tables.jobs.c.id == job.id)
        connection.execute(changed.values(room=room, room_sid=sid))
        outbox.put(connection, job.id, [event(1), event(2)])
    return job.id


def due(database: Database, now: float = LATER) -> outbox.Due:
    with database.writing() as connection:
        return outbox.due(connection, now)


def test_they_wait_in_order_until_they_are_published(database: Database) -> None:
    a_job(database)
    first = due(database)
    assert first.events == [event(1) | {"room": "hall"}, event(2) | {"room": "hall"}]
    assert due(database) == first
    with database.writing() as connection:
        outbox.published(connection, first.ids[:1])
    assert due(database).events == first.events[1:]


def test_they_wait_for_attach_and_for_their_room(database: Database) -> None:
    a_job(database, room=None, sid="RM_1")
    assert due(database) == outbox.Due([], [], more=True)
    with database.writing() as connection:
        outbox.name_rooms(connection, {"RM_2": "elsewhere", "RM_1": "hall"}, NOW)
    assert due(database, NOW) == outbox.Due([], [], more=True)
    assert [one["room"] for one in due(database).events] == ["hall", "hall"]


def test_a_room_that_was_named_before_is_known(database: Database) -> None:
    with database.writing() as connection:
        outbox.name_rooms(connection, {"RM_1": "old"}, NOW)
        outbox.name_rooms(connection, {"RM_1": "hall"}, NOW)
        assert outbox.room_of(connection, "RM_1") == "hall"
        assert outbox.room_of(connection, "RM_2") is outbox.room_of(connection, None) is None


def test_those_of_a_session_that_attach_reports_are_dropped(database: Database) -> None:
    a_job(database)
    other = a_job(database, name="AJ_2")
    line = Line()
    line.add("session_started", NOW, session_id="theirs", room="hall", job_id="AJ_1")
    # What uploads made themselves has the job's name, and is no such session.
    line.add("session_started", NOW, session_id="AJ_2", room="hall", job_id="AJ_2")
    archived(database, line)
    assert len(due(database).ids) == 2
    with database.reading() as connection:
        assert set(connection.execute(sa.select(tables.outbox.c.job)).scalars()) == {other}


def reported(database: Database, *, ended: bool) -> None:
    """Let the archive know of a session that `attach` reports, and of uploads that tell its end."""
    job = a_job(database)
    line = Line()
    line.add("session_started", NOW, session_id="theirs", room="hall", job_id="AJ_1")
    if ended:
        line.add("session_ended", NOW + 5, session_id="theirs", room="hall", reason="agent_stopped")
    archived(database, line)
    with database.writing() as connection:
        outbox.put(connection, job, [event(3, "session_ended", reason="participant_disconnected")])


def test_an_end_that_nobody_else_tells_is_that_of_the_reported_session(database: Database) -> None:
    reported(database, ended=False)
    soon = due(database, NOW + outbox.END_SECONDS - 1)
    assert (soon.ids, soon.events, soon.more) == ([], [], True)
    (ended,) = due(database).events
    assert (ended["type"], ended["session_id"], ended["room"]) == ("session_ended", "theirs", "hall")
    assert (ended["reason"], ended["event_id"]) == ("participant_disconnected", "upload:AJ_1:3")


def test_an_end_that_was_told_is_not_told_again(database: Database) -> None:
    reported(database, ended=True)
    assert due(database) == outbox.Due([], [])


def a_live_session_of_uploads(database: Database) -> None:
    keeper = telemetry.Telemetry(prompts=False, texts=True)
    span = Span(
        "AJ_1", "t", "1", "", "user_turn", NOW, NOW + 1, None, {"lk.pii.room_name": "hall", "room_id": "RM_1"}
    )
    with database.writing() as connection:
        keeper.add_spans(connection, [span], NOW)
    found = due(database)
    assert next(one["type"] for one in found.events) == "session_started"
    line = Line()
    for one in found.events:
        line.add(one.pop("type"), one.pop("timestamp"), **one)
    archived(database, line)
    with database.writing() as connection:
        outbox.published(connection, found.ids)


def ends(database: Database, now: float) -> list[tuple[float, str]]:
    with database.writing() as connection:
        telemetry.end_lost(connection, now)
    return [
        (one["timestamp"], one["reason"])
        for one in due(database, now).events
        if one["type"] == "session_ended"
    ]


@pytest.mark.parametrize(("names", "sids"), [(["AJ_1"], []), ([], ["RM_1"])])
def test_a_killed_job_ends_once_its_agent_has_left(
    database: Database, names: list[str], sids: list[str]
) -> None:
    a_live_session_of_uploads(database)
    with database.writing() as connection:
        outbox.note_gone(connection, ["AJ_2"], ["RM_2"], NOW + 10)
    assert ends(database, NOW + 600) == []
    with database.writing() as connection:
        outbox.note_gone(connection, names, sids, NOW + 20)
        outbox.note_gone(connection, names, sids, NOW + 40)
    assert ends(database, NOW + 20 + telemetry.GONE_SECONDS - 1) == []
    for _ in range(2):
        assert ends(database, NOW + 20 + telemetry.GONE_SECONDS) == [(NOW + 20, "worker_lost")]


def test_a_session_of_uploads_ends_when_something_else_begins_to_report_the_job(database: Database) -> None:
    a_live_session_of_uploads(database)

    def replaced() -> list[dict[str, Any]]:
        with database.writing() as connection:
            telemetry.end_replaced(connection, NOW + 40)
        return due(database, NOW + 40).events

    assert replaced() == []
    line = Line()
    line.add("session_started", NOW + 30, session_id="theirs", room="hall", job_id="AJ_1")
    archived(database, line)
    for _ in range(2):
        ended = replaced()[0]
        assert (ended["session_id"], ended["room"], ended["reason"]) == ("AJ_1", "hall", "replaced")
    line = Line()
    line.add(ended.pop("type"), ended.pop("timestamp"), **ended)
    archived(database, line)
    ids = due(database, NOW + 40).ids
    with database.writing() as connection:
        outbox.published(connection, ids)
    assert replaced() == []


def test_a_job_that_says_nothing_for_an_hour_ends_without_a_webhook(database: Database) -> None:
    a_live_session_of_uploads(database)
    assert ends(database, NOW + telemetry.SILENT_SECONDS - 1) == []
    assert ends(database, NOW + telemetry.SILENT_SECONDS) == [(NOW, "abandoned")]


def test_a_report_waits_for_the_operators_hook(database: Database) -> None:
    job = a_job(database)
    said = [Message("user", "secret", NOW)]
    with database.writing() as connection:
        outbox.put_report(connection, job, said)
    found = due(database)
    assert [(one.job, one.room, one.messages) for one in found.reports] == [
        ("AJ_1", "hall", [{"role": "user", "text": "secret", "at": NOW, "interrupted": False}])
    ]
    assert len(found.ids) == 3
    with database.writing() as connection:
        telemetry.keep_report(connection, "AJ_1", [Message("user", "***", NOW)])
        row = telemetry.row_of(connection, "AJ_1")
    assert row is not None
    assert telemetry.messages_of(row) == [Message("user", "***", NOW)]


def test_redaction_takes_out_what_was_said(database: Database) -> None:
    job = a_job(database)
    with database.writing() as connection:
        outbox.put(
            connection,
            job,
            [
                event(3, "transcript", text="secret"),
                event(4, "tool_call_started", name="f", arguments={"x": "secret"}),
                event(5, "tool_call_finished", name="f", output="secret"),
            ],
        )
        outbox.redact(connection, job)
    found = due(database).events
    assert "secret" not in str(found)
    assert [one["type"] for one in found] == ["x", "x", "tool_call_started", "tool_call_finished"]
