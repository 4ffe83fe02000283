"""What is in the archive is what the pure functions say, however the events arrive and whatever is killed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import sqlalchemy as sa

from streaming_hub.archive import queries, tables
from streaming_hub.archive import raw as raws
from streaming_hub.archive.messages import Page
from streaming_hub.archive.raw import raw_events, raw_page
from streaming_hub.archive.store import Behind, Position, Store
from streaming_hub.archive.uploads import telemetry
from streaming_hub.events.wordless import wordless
from tests.streaming_hub.archive.calls import EPOCH, START, Line, archived, call, expected, send, some_calls

if TYPE_CHECKING:
    from streaming_hub.sidecar.database import Database

ONLY_ARCHIVED = ("recorded", "incomplete", "missing_events", "audio", "recording_start")


def found(database: Database, session_id: str, room: str | None) -> dict[str, Any]:
    with database.reading() as connection:
        row = next(one for one in queries.rows_of(connection, session_id, None) if one.room == room)
        detail = queries.detail(connection, row)
    for line in detail["transcript"]:
        del line["operator_only"]
    for name in ONLY_ARCHIVED:
        del detail["session"][name]
    return detail


def assert_archived(database: Database, line: Line) -> None:
    for session_id, room in line.sessions():
        assert found(database, session_id, room) == expected(line, session_id, room)


def count(database: Database, table: sa.Table) -> int:
    with database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


@pytest.mark.parametrize("recordings", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_any_pages_give_the_same_rows(database: Database, seed: int, recordings: bool) -> None:
    line = some_calls(seed)
    rng = random.Random(seed)
    store = Store(database, recordings=recordings)
    store.begin_epoch(EPOCH, 0)
    after = 0
    while after < len(line.events):
        after = send(store, line, [rng.randint(1, 40)], after=after)
        if rng.random() < 0.3:
            # A process that was killed and started again.
            store = Store(database, recordings=recordings)
    assert_archived(database, line)
    assert count(database, tables.sessions) == len(line.sessions())


def test_a_page_counts_once(database: Database) -> None:
    line = some_calls(1)
    store = archived(database, line)
    with pytest.raises(Behind) as raised:
        store.write(Page(EPOCH, 0, 5, START, []))
    assert raised.value.position == Position(EPOCH, len(line.events))
    assert_archived(database, line)


def test_a_page_that_fails_half_way_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = some_calls(2)
    store = Store(database, recordings=True)
    store.begin_epoch(EPOCH, 0)
    after = send(store, line, [30])
    move = store._move
    monkeypatch.setattr(store, "_move", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        send(store, line, [20], after=after)
    monkeypatch.setattr(store, "_move", move)
    assert store.position() == Position(EPOCH, after)
    send(store, line, [len(line.events)], after=after)
    assert_archived(database, line)


@pytest.mark.parametrize("recordings", [True, False])
def test_events_after_the_end_count_and_the_end_stays(database: Database, recordings: bool) -> None:
    line = Line()
    call(line, random.Random(3), "s", "r", START, turns=3, ends=True)
    store = archived(database, line, recordings=recordings)
    ended = expected(line, "s", "r")["session"]["ended"]
    before = len(line.events)
    call(line, random.Random(4), "s", "r", START + 1, turns=2, ends=True)
    store = Store(database, recordings=recordings)
    send(store, line, [5, 100], after=before)
    assert_archived(database, line)
    assert found(database, "s", "r")["session"]["ended"] == ended
    # And once more, by a new process.
    before = len(line.events)
    call(line, random.Random(5), "s", "r", START + 2, turns=1, ends=False)
    send(Store(database, recordings=recordings), line, [100], after=before)
    assert_archived(database, line)


def test_recordings_switched_off_and_on_again(database: Database) -> None:
    line = Line()
    for number, recordings in enumerate([False, True, False, True]):
        before = len(line.events)
        call(line, random.Random(number), "s", "r", START, turns=2, ends=number == 0)
        store = Store(database, recordings=recordings)
        if not before:
            store.begin_epoch(EPOCH, 0)
        send(store, line, [100], after=before)
        assert_archived(database, line)


def test_the_recording_is_every_event_as_it_was(database: Database) -> None:
    line = some_calls(5)
    archived(database, line, sizes=[7] * 200)
    for session_id, room in line.sessions():
        with database.reading() as connection:
            row = next(one for one in queries.rows_of(connection, session_id, None) if one.room == room)
            raw = b"".join(raw_events(connection, row.id))
        assert [msgspec.json.decode(one) for one in raw.splitlines()] == line.of(session_id, room)
        assert row.recorded is (row.ended is not None)
        assert (row.first_id, row.last_id) == (
            line.of(session_id, room)[0]["id"],
            line.of(session_id, room)[-1]["id"],
        )


def test_raw_events_come_in_pages_that_continue_when_the_session_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raws, "PART_BYTES", 1000)
    line = some_calls(5, 1, live=0)
    ((session_id, room),) = line.sessions()
    store = archived(database, line, sizes=[len(line.events) - 1])
    pages: list[bytes] = []
    upto = 0
    while True:
        with database.reading() as connection:
            row = next(one for one in queries.rows_of(connection, session_id, None) if one.room == room)
            page, upto = raw_page(connection, row.id, upto)
        if not page:
            break
        assert len(page) <= 1000
        pages.append(page)
        if len(pages) == 2:
            # It ends: what was live moves into its recording.
            send(store, line, [1], after=len(line.events) - 1)
    assert len(pages) > 3
    raw = b"".join(pages)
    assert [msgspec.json.decode(one) for one in raw.splitlines()] == line.of(session_id, room)
    assert count(database, tables.recordings) > 3


def test_without_recordings_no_raw_event_of_an_ended_session_is_left(database: Database) -> None:
    line = some_calls(6, live=0)
    archived(database, line, recordings=False, sizes=[9] * 200)
    assert count(database, tables.recordings) == count(database, tables.live_events) == 0


def test_what_the_history_forgot_is_counted_for_the_sessions_that_were_live(database: Database) -> None:
    line = some_calls(7)
    store = archived(database, line)
    end = len(line.events)
    store.write(Page(EPOCH, end, end + 10, START, [], skipped=10))
    store.write(Page(EPOCH, end + 10, end + 13, START, [], skipped=3))
    with database.reading() as connection:
        for row in connection.execute(sa.select(tables.sessions)):
            live = row.ended is None
            assert (row.incomplete, row.missing_events) == (live, 13 if live else 0)


def test_another_history_leaves_the_number_open(database: Database) -> None:
    line = some_calls(8)
    store = archived(database, line)
    store.begin_epoch("other", 4)
    assert store.position() == Position("other", 4)
    with database.reading() as connection:
        for row in connection.execute(sa.select(tables.sessions)):
            live = row.ended is None
            assert (row.incomplete, row.missing_events) == (live, None if live else 0)


def test_a_session_without_an_end_is_abandoned(database: Database) -> None:
    line = some_calls(9, live=3)
    store = archived(database, line)
    live = [key for key in line.sessions() if expected(line, *key)["session"]["ended"] is None]
    assert len(live) == 3
    assert store.abandon(START, []) is False
    assert store.abandon(START + 1, live[:1]) is True
    for key in live:
        session = found(database, *key)["session"]
        if key == live[0]:
            assert session["ended"] is None
        else:
            newest = max(one["timestamp"] for one in line.of(*key))
            assert (session["ended"], session["reason"]) == (newest, "abandoned")
    # It died silently, and its last events arrive late.
    before = len(line.events)
    line.add(
        "session_ended",
        START + 9e5,
        reason="late",
        session_id=live[1][0],
        **({"room": live[1][1]} if live[1][1] else {}),
    )
    send(Store(database, recordings=True), line, [10], after=before)
    assert found(database, *live[1])["session"]["reason"] == "abandoned"


def test_odd_events_are_archived_with_null(database: Database) -> None:
    line = Line()
    common = {"session_id": "s", "room": "r"}
    line.add("transcript", START, text=["Good morning."], role="user", participant="a", **common)
    line.add("transcript", START, text="a\0b", role="user", participant="a", **common)
    line.add("tool_call_started", START, call_id="c", name="n\0", arguments={"a": "\0", "b": [1]}, **common)
    line.add("tool_call_finished", START, call_id=4, status={"a": 1}, output="\0", duration=1e300, **common)
    line.add("error", START, message=["\0"], source=1, recoverable=1, **common)
    line.add("usage", START, model_usage=[{"a": "\0"}], **common)
    line.add("session_ended", START, reason="\0", **common)
    archived(database, line)
    assert_archived(database, line)


def test_large_numbers_survive_in_a_stored_state(database: Database) -> None:
    line = Line()
    line.add("usage", START, session_id="s", model_usage=[{"tokens": 10**30}])
    line.add("session_ended", START, session_id="s")
    archived(database, line, recordings=False)
    line.add("interruption", START, session_id="s")
    send(Store(database, recordings=False), line, [1], after=2)
    session = found(database, "s", None)["session"]
    assert (session["usage"], session["interruptions"]) == ([{"tokens": 1e30}], 1)


def test_a_session_id_in_two_rooms_is_two_sessions(database: Database) -> None:
    line = Line()
    for room in ("a", "b", None):
        call(line, random.Random(1), "same", room, START, turns=1, ends=True)
    archived(database, line)
    assert_archived(database, line)
    assert count(database, tables.sessions) == 3


@pytest.mark.parametrize("recordings", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_redacted_session_is_what_its_events_without_words_give(
    database: Database, seed: int, recordings: bool
) -> None:
    line = some_calls(seed)
    half = len(line.events) // 2
    store = Store(database, recordings=recordings)
    store.begin_epoch(EPOCH, 0)
    send(store, line, [7] * (half // 7))
    session_id, room = line.sessions()[0]
    others = [key for key in line.sessions() if key[0] != session_id]
    with database.writing() as connection:
        job = telemetry.job_of(connection, session_id, START)
        marked = sa.update(tables.jobs).where(tables.jobs.c.id == job.id)
        connection.execute(marked.values(redacted=True))
    store.redact(session_id)
    # A process that was killed and started again takes in the rest.
    send(Store(database, recordings=recordings), line, [len(line.events)], after=half // 7 * 7)
    detail = found(database, session_id, room)
    with database.reading() as connection:
        row = next(one for one in queries.rows_of(connection, session_id, None) if one.room == room)
        raw, upto = raw_page(connection, row.id, 0)
        while (page := raw_page(connection, row.id, upto))[0]:
            raw, upto = raw + page[0], page[1]
    kept = recordings or row.ended is None
    assert [msgspec.json.decode(one) for one in raw.splitlines()] == [
        wordless(one) for one in line.of(session_id, room) if kept and one["type"] != "transcript"
    ]
    assert detail["transcript"] == []
    assert all(turn["user_text"] is None and turn["agent_text"] is None for turn in detail["turns"])
    assert all(call["arguments"] is None and call["output"] is None for call in detail["tools"])
    assert all(failure["message"] is None for failure in detail["errors"])
    Store(database, recordings=recordings).redact(session_id)
    assert found(database, session_id, room) == detail
    for other, place in others:
        assert found(database, other, place) == expected(line, other, place)
