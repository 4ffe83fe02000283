"""Statistics against a slow version, and stored results against fresh ones, whatever changes in between."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from streaming_hub.archive import removal, stats, tables
from streaming_hub.archive.figures import percentiles
from streaming_hub.archive.messages import BUCKETS, Asked, Wanted
from streaming_hub.archive.store import Store
from streaming_hub.archive.tables import ARCHIVE
from streaming_hub.sidecar.database import Database
from tests.streaming_hub.archive.calls import START, Line, archived, call, expected, send, some_calls

NOW = START + 30 * 86_400
DAY = {"since": START, "until": START + 86_400}


def slowly(line: Line, asked: Asked) -> list[dict[str, Any]]:
    found = []
    for start in stats.starts(asked):
        end = start + BUCKETS[asked.bucket]
        chosen = []
        for key in line.sessions():
            detail = expected(line, *key)
            session = detail["session"]
            if (
                max(start, asked.since) <= session["started"] < min(end, asked.until)
                and (asked.allowed is None or session["room"] in asked.allowed)
                and (not asked.room or (session["room"] or "") in asked.room)
                and (not asked.agent or session["agent"] in asked.agent)
            ):
                chosen.append(detail)
        turns = [turn for detail in chosen for turn in detail["turns"]]
        sums = ("turns", "interruptions", "tool_calls", "tool_failures", "errors")
        found.append(
            {
                "start": start,
                "sessions": len(chosen),
                "minutes": pytest.approx(sum(one["session"]["duration"] for one in chosen) / 60, abs=1e-6),
                **{name: sum(one["session"][name] for one in chosen) for name in sums},
                "heard_latency": percentiles(turn["heard_latency"] for turn in turns),
                "latency": percentiles(turn["e2e_latency"] for turn in turns),
                **{
                    name: percentiles(turn[name] for turn in turns)
                    for name in ("transcription_delay", "end_of_turn_delay", "llm_node_ttft", "tts_node_ttfb")
                },
            }
        )
    return found


ASKED = [
    Asked(**DAY),
    Asked(**DAY, bucket="day"),
    Asked(since=START + 600, until=START + 4000, bucket="minute"),
    Asked(since=START + 600, until=START + 4000, bucket="hour"),
    Asked(since=START - 86_400, until=START + 3600, bucket="day"),
    Asked(**DAY, room=["support-1"]),
    Asked(**DAY, room=[""]),
    Asked(**DAY, agent=["sales"]),
    Asked(**DAY, allowed=["support-2"]),
    Asked(since=START, until=START),
]


@pytest.mark.parametrize("asked", ASKED, ids=repr)
def test_buckets(database: Database, asked: Asked) -> None:
    line = some_calls(1, 30)
    archived(database, line)
    for _ in range(2):
        assert stats.buckets(database, asked, NOW) == slowly(line, asked)


def test_stored_results_are_used(database: Database) -> None:
    line = some_calls(2, 20)
    archived(database, line)
    first = stats.buckets(database, Asked(**DAY), NOW)
    with database.writing() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.stats)).scalar_one() == 24
        # Behind the store's back: only a fresh look would see it.
        connection.execute(sa.delete(tables.turns))
    assert stats.buckets(database, Asked(**DAY), NOW) == first


def test_open_buckets_and_cut_ones_are_not_stored(database: Database) -> None:
    archived(database, some_calls(3))
    stats.buckets(database, Asked(since=START, until=START + 7200), START + 5400)
    stats.buckets(database, Asked(since=START + 1, until=START + 3599), NOW)
    stats.buckets(database, Asked(since=START, until=START + 3600, bucket="minute"), NOW)
    with database.reading() as connection:
        assert [row.start for row in connection.execute(sa.select(tables.stats))] == [START]


@pytest.mark.parametrize("what", ["late", "erased", "expired", "abandoned"])
def test_a_change_is_seen_in_stored_results(database: Database, what: str) -> None:
    line = some_calls(4, 20)
    store = archived(database, line)
    for bucket in ("hour", "day"):
        stats.buckets(database, Asked(**DAY, bucket=bucket), NOW)
    if what == "late":
        key = line.sessions()[0]
        before = len(line.events)
        common = {"session_id": key[0]} | ({"room": key[1]} if key[1] else {})
        line.add("interruption", START + 8000, **common)
        line.add("turn_metrics", START + 8000, e2e_latency=77.0, turn_id="new", **common)
        send(store, line, [10], after=before)
    elif what == "erased":
        removal.erase(database, Wanted(room="support-1"), START)
        line.events = [one for one in line.events if one.get("room") != "support-1"]
    elif what == "expired":
        gone = removal.expire(database, START + 4000, 0.0).sessions
        assert gone
        line.events = [one for one in line.events if (one["session_id"], one.get("room")) not in gone]
    else:
        # Its calls that never ended now count as failed.
        assert store.abandon(START + 1, [])
        for key in line.sessions():
            if expected(line, *key)["session"]["ended"] is None:
                newest = max(one["timestamp"] for one in line.of(*key))
                common = {"session_id": key[0]} | ({"room": key[1]} if key[1] else {})
                line.add("session_ended", newest, **common)
    for bucket in ("hour", "day"):
        asked = Asked(**DAY, bucket=bucket)
        assert stats.buckets(database, asked, NOW) == slowly(line, asked)


def test_a_change_while_a_result_is_worked_out_is_not_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = some_calls(5, 10)
    store = archived(database, line)
    before = len(line.events)
    call(line, random.Random(1), "late", "support-1", START + 60, turns=2, ends=True)
    computed = stats._computed

    def meanwhile(*arguments: Any) -> dict[int, dict[str, Any]]:
        found = computed(*arguments)
        monkeypatch.setattr(stats, "_computed", computed)
        if database.sqlite:
            send(store, line, [100], after=before)
        else:
            send(Store(another(database), recordings=True), line, [100], after=before)
        # And another reader has begun to compute it again.
        asked = Asked(**DAY)
        stats._mark(database, "hour", stats._scope(asked), stats.starts(asked), stats.MARK + b"another")
        return found

    monkeypatch.setattr(stats, "_computed", meanwhile)
    stats.buckets(database, Asked(**DAY), NOW)
    assert stats.buckets(database, Asked(**DAY), NOW) == slowly(line, Asked(**DAY))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_change_that_is_committed_after_the_computation_began_is_not_lost(database: Database) -> None:
    line = some_calls(6, 10)
    archived(database, line)
    before = len(line.events)
    key = line.sessions()[0]
    common = {"session_id": key[0]} | ({"room": key[1]} if key[1] else {})
    line.add("interruption", START + 8000, **common)
    began, go_on = threading.Event(), threading.Event()

    class Held(Store):
        def _move(self, *arguments: Any) -> None:
            # Stored results have been dropped, and nothing is committed yet.
            began.set()
            assert go_on.wait(60)
            super()._move(*arguments)

    writer = threading.Thread(
        target=lambda: send(Held(another(database), recordings=True), line, [10], after=before)
    )
    answers: list[Any] = []
    reader = threading.Thread(target=lambda: answers.append(stats.buckets(database, Asked(**DAY), NOW)))
    writer.start()
    assert began.wait(60)
    reader.start()
    # Long enough to compute and to store, if nothing makes it wait.
    reader.join(2)
    go_on.set()
    writer.join(60)
    reader.join(60)
    assert len(answers) == 1, "a write that takes long is waited for"
    assert stats.buckets(database, Asked(**DAY), NOW) == slowly(line, Asked(**DAY))


def another(database: Database) -> Database:
    """A second set of connections, as of another thread: opening the database would claim it as another hub does."""
    other = Database(database.url.render_as_string(hide_password=False), ARCHIVE)
    other._engine = other._make_engine()
    return other
