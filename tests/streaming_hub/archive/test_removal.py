"""Erased and expired sessions leave nothing: no rows, recordings, index entries or bytes in SQLite's files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import sqlalchemy as sa

from streaming_hub.archive import queries, removal, tables
from streaming_hub.archive.messages import Page, Search, Wanted
from streaming_hub.archive.store import Store
from streaming_hub.archive.tables import ARCHIVE
from streaming_hub.sidecar.database import Database
from tests.streaming_hub.archive.calls import EPOCH, START, Line, archived, call, expected, send, some_calls
from tests.streaming_hub.archive.test_store import found

SECRET = "xylophone"


def with_secret(seed: int, **options: int) -> Line:
    line = some_calls(seed, **options)
    for session_id, room in line.sessions():
        common = {"session_id": session_id} | ({"room": room} if room else {})
        line.add(
            "transcript",
            START,
            text=f"{SECRET} {session_id}",
            role="user",
            participant=SECRET,
            turn_id=SECRET,
            **common,
        )
        line.add("error", START, message=SECRET, source=SECRET, **common)
        line.add("tool_call_started", START, call_id=SECRET, name=SECRET, arguments=SECRET, **common)
    return line


def rows_of_all_tables(database: Database) -> int:
    with database.reading() as connection:
        counted = [
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (tables.sessions, tables.states, *tables.OF_SESSION)
        ]
        if not database.sqlite:
            counted.append(connection.exec_driver_sql("SELECT count(*) FROM archive_words").scalar_one())
    return sum(counted)


def find(database: Database, q: str) -> list[str]:
    with database.reading() as connection:
        return [one["session_id"] for one in queries.find(connection, Search(q=q, limit=200))[0]]


def merge(database: Database) -> None:
    while removal.merge_words(database):
        pass
    database.empty_log()


def test_an_erased_session_is_gone_and_the_others_are_not(database: Database) -> None:
    line = with_secret(1)
    store = archived(database, line, sizes=[20] * 100)
    session_id, room = line.sessions()[2]
    keys = removal.erase(database, Wanted(session_id=session_id), START)
    store.drop(keys)
    assert keys == [(session_id, room)]
    assert session_id not in find(database, SECRET)
    others = [key for key in line.sessions() if key != (session_id, room)]
    assert sorted(find(database, SECRET)) == sorted(key[0] for key in others)
    for key in others:
        assert found(database, *key) == expected(line, *key)


@pytest.mark.parametrize("recordings", [True, False])
def test_nothing_of_what_was_erased_is_left(database: Database, recordings: bool) -> None:
    line = with_secret(2, live=4)
    store = archived(database, line, recordings=recordings, sizes=[20] * 100)
    for session_id, room in line.sessions():
        wanted = Wanted(room=room) if room else Wanted(session_id=session_id)
        store.drop(removal.erase(database, wanted, START))
    assert rows_of_all_tables(database) == 0
    assert find(database, SECRET) == []
    if database.sqlite:
        merge(database)
        for path in Path(database.path).parent.glob("archive.db*"):
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            for word in ("hello", "Straße", "明日", "helper", "look_up"):
                assert word.encode() not in content, (path, word)


def test_the_secret_would_be_found_in_the_files(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/archive.db", ARCHIVE)
    database.open()
    archived(database, with_secret(2))
    merge(database)
    assert SECRET.encode() in (tmp_path / "archive.db").read_bytes()
    database.close()


def test_late_events_of_an_erased_session_are_dropped(database: Database) -> None:
    line = with_secret(3)
    store = archived(database, line)
    key = line.sessions()[0]
    store.drop(removal.erase(database, Wanted(session_id=key[0], known=[key, ("unread", "r")]), START))
    before = len(line.events)
    common = {"session_id": key[0]} | ({"room": key[1]} if key[1] else {})
    line.add("transcript", START, text=SECRET, role="user", **common)
    line.add("transcript", START, text=SECRET, role="user", session_id="unread", room="r")
    line.add("transcript", START, text="kept", role="user", session_id="unread", room="another")
    for one in (store, Store(database, recordings=True)):
        before = send(one, line, [1], after=before)
    send(Store(database, recordings=True), line, [10], after=before)
    assert key[0] not in find(database, SECRET)
    assert find(database, "kept") == ["unread"]
    with database.reading() as connection:
        assert [row.room for row in queries.rows_of(connection, "unread", None)] == ["another"]


def test_only_the_rooms_that_the_caller_may_erase(database: Database) -> None:
    line = Line()
    for room in ("a", "b", None):
        call(line, random.Random(1), "same", room, START, turns=1, ends=True)
    archived(database, line)
    assert removal.erase(database, Wanted(session_id="same", rooms=["a"]), START) == [("same", "a")]
    with database.reading() as connection:
        assert {row.room for row in queries.rows_of(connection, "same", None)} == {"b", None}
    removal.erase(database, Wanted(session_id="same"), START)
    with database.reading() as connection:
        assert queries.rows_of(connection, "same", None) == []


def test_more_sessions_than_one_step_takes(database: Database) -> None:
    line = Line()
    for number in range(removal.STEP * 2 + 3):
        line.add("session_started", START, session_id=f"s{number}", room="r")
    archived(database, line)
    assert len(removal.erase(database, Wanted(room="r"), START)) == removal.STEP * 2 + 3
    assert rows_of_all_tables(database) == 0


def test_sessions_expire_by_their_end_and_live_ones_do_not(database: Database) -> None:
    line = with_secret(4, live=3)
    archived(database, line, at=START + 86_400)
    ends = {key: expected(line, *key)["session"]["ended"] for key in line.sessions()}
    middle = sorted(end for end in ends.values() if end is not None)[4]
    gone: list = []
    while step := removal.expire(database, middle, 0.0).sessions:
        gone += step
    assert set(gone) == {key for key, end in ends.items() if end is not None and end < middle}
    assert set(find(database, SECRET)) == {key[0] for key in line.sessions() if key not in gone}


def test_an_end_in_the_future_keeps_no_session_for_longer(database: Database) -> None:
    line = Line()
    for number in range(3):
        common = {"session_id": f"s{number}", "room": "r"}
        line.add("session_started", START, **common)
        if number:
            line.add("session_ended", START + number * 86_400 * 365, **common)
    archived(database, line)
    assert removal.expire(database, START, START).sessions == []
    assert sorted(removal.expire(database, START + 1, START).sessions) == [("s1", "r"), ("s2", "r")]
    assert removal.expire(database, START + 1, START).sessions == []


def test_old_erasures_are_forgotten_with_the_archives_age(database: Database) -> None:
    archived(database, some_calls(5, 2, live=0))
    removal.erase(database, Wanted(session_id="gone", known=[("gone", None)]), START)
    assert removal.expire(database, 0.0, START).sessions == []
    with database.reading() as connection:
        assert connection.execute(sa.select(tables.erased)).all() != []
    removal.expire(database, 0.0, START + 1)
    with database.reading() as connection:
        assert connection.execute(sa.select(tables.erased)).all() == []


def test_the_position_does_not_move_with_an_erasure(database: Database) -> None:
    line = some_calls(6)
    store = archived(database, line)
    removal.erase(database, Wanted(room="support-1"), START)
    end = len(line.events)
    store.write(Page(EPOCH, end, end + 1, START, []))
