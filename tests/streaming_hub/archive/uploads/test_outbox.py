"""Events of uploads in both databases, until the hub has published them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from streaming_hub.archive import tables
from streaming_hub.archive.uploads import outbox, telemetry
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
    with database.reading() as connection:
        assert outbox.attached(connection, "AJ_1")
        assert not outbox.attached(connection, "AJ_2")
    assert len(due(database).ids) == 2
    with database.reading() as connection:
        assert set(connection.execute(sa.select(tables.outbox.c.job)).scalars()) == {other}


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
