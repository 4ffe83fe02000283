"""What the webhooks' database holds after pages, outcomes, erasures: in SQLite and in PostgreSQL.

Covers

    streaming_hub.outlets.webhooks.log
    streaming_hub.outlets.webhooks.migrations
    streaming_hub.outlets.webhooks.reports
    streaming_hub.outlets.webhooks.rows
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import sqlalchemy as sa

from streaming_hub.outlets.webhooks import log, messages, rows
from streaming_hub.outlets.webhooks import store as stores
from streaming_hub.outlets.webhooks.endpoints import Endpoint, Secret, key_of, message_of
from streaming_hub.outlets.webhooks.messages import Asked, Ended, Line, Page, Taken, Tried
from streaming_hub.outlets.webhooks.store import Store
from streaming_hub.outlets.webhooks.tables import WEBHOOKS, deliveries, lanes
from streaming_hub.sidecar.database import Database
from streaming_hub.sidecar.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Kept:
    """A store, and pages that follow each other."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, WEBHOOKS)
        self.database.open()
        self.clock = Clock()
        self.store = Store(self.database, disable_after=100.0, clock=self.clock)
        self.store.begin_epoch("e", 0)
        self.seq = 0

    def endpoint(self, name: str = "one", **fields: Any) -> None:
        given = {
            "url": "https://hook.example/",
            "types": ["*"],
            "secrets": [Secret("whsec_x")],
            "created": 1.0,
            "after": self.seq,
            **fields,
        }
        self.store.save(Endpoint(id=name, **given))

    def line(self, room: str | None = "a", *, hidden: bool = False, **fields: Any) -> Line:
        self.seq += 1
        event = {"id": f"e-{self.seq}", "type": "note", "timestamp": 5.0, **fields}
        if room is not None:
            event["room"] = room
        return Line(self.seq, 5.0, hidden, json.dumps(event).encode())

    def page(self, *lines: Line, after: int | None = None, **fields: Any) -> set[str]:
        return self.take(*lines, after=after, **fields).endpoints

    def take(self, *lines: Line, after: int | None = None, **fields: Any) -> Taken:
        before = lines[0].seq - 1 if lines else self.seq
        given = {
            "version": self.store.version,
            "epoch": "e",
            "after": before if after is None else after,
            "upto": self.seq,
            "lines": list(lines),
            **fields,
        }
        return self.store.take(Page(**given))

    def due(self, name: str = "one", *, busy: Any = (), most: int = 16, now: float = 1e9) -> log.Due:
        return log.due(self.database, {name: log.Slots(busy, most)}, now).get(name, log.Due({}, None))

    def rows(self, name: str = "one") -> list[dict[str, Any]]:
        return log.page(self.database, Asked(name, 200))[0]

    def states(self, name: str = "one") -> list[str]:
        return [one["state"] for one in reversed(self.rows(name))]

    def tried(self, state: str, *, room: str = "a", gone: bool = False, name: str = "one") -> set[str]:
        """End the first pending delivery of a room with an outcome."""
        first = self.due(name).lanes[room][0]
        wait = self.clock.now + 5 if state == "pending" else None
        tried = Tried(name, room, first.id, first.size, state, [*first.attempts, {"status": 1}], wait, gone)
        return self.store.record([tried, Ended(name, room)])

    def notices(self) -> list[tuple[str, bool]]:
        return [(event["reason"], event["recoverable"]) for _, event in self.store.due_notices()]


@pytest.fixture
def kept(url: str) -> Iterator[Kept]:
    found = Kept(url)
    yield found
    found.database.close()


def test_deliveries_and_position_are_written_together(kept: Kept) -> None:
    kept.endpoint()
    assert kept.page(kept.line(), kept.line("b")) == {"one"}
    assert kept.store.position() == ("e", 2)
    assert {lane: [one.event_id for one in found] for lane, found in kept.due().lanes.items()} == {
        "a": ["e-1"],
        "b": ["e-2"],
    }
    broken = Line(3, 5.0, False, b"no JSON")
    with pytest.raises(Exception, match="JSON"):
        kept.page(broken, after=2)
    assert kept.store.position() == ("e", 2)
    with pytest.raises(Refusal) as caught:
        kept.page(after=7)
    assert (caught.value.name, caught.value.extra) == ("behind", ("e", 2))


def test_the_position_stays_where_deliveries_cannot_be_stored(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.endpoint()

    def fail(*_arguments: Any) -> None:
        raise RuntimeError("the disk is full")

    line = kept.line()
    with monkeypatch.context() as patched:
        patched.setattr(rows, "insert", fail)
        with pytest.raises(RuntimeError):
            kept.page(line)
    assert kept.store.position() == ("e", 0)
    kept.store.reload()
    kept.page(line)
    assert kept.states() == ["pending"]


def test_a_lane_takes_a_few_deliveries_and_few_bytes_at_a_time(kept: Kept) -> None:
    kept.endpoint()
    kept.page(*(kept.line() for _ in range(messages.RUN_LENGTH + 1)), *(kept.line("b") for _ in range(2)))
    assert [one.event_id for one in kept.due().lanes["a"]] == [
        f"e-{number}" for number in range(1, messages.RUN_LENGTH + 1)
    ]
    assert sorted(kept.due().lanes) == ["a", "b"]
    assert sorted(kept.due(busy=["a"]).lanes) == ["b"]
    assert len(kept.due(most=1).lanes) == 1
    half = "x" * (messages.RUN_BYTES // 2)
    kept.page(*(kept.line("c", text=text) for text in (half, "", half, half)))
    assert len(kept.due().lanes["c"]) == 2
    kept.page(kept.line("d", text=half * 3), kept.line("d"))
    assert len(kept.due().lanes["d"]) == 1


def test_what_a_page_brings_to_an_endpoint_that_keeps_up_needs_no_second_read(kept: Kept) -> None:
    kept.endpoint("one")
    kept.endpoint("two", rooms=["b"])
    fresh = kept.take(kept.line(), kept.line("b", session_id="s"), kept.line()).fresh
    assert {name: [*lanes] for name, lanes in fresh.items()} == {"one": ["a", "b"], "two": ["b"]}
    assert fresh == {name: kept.due(name).lanes for name in ("one", "two")}
    # Both have something pending now, which comes first.
    assert kept.take(kept.line("c")).fresh == {}
    kept.tried("delivered", room="b", name="two")
    assert {*kept.take(kept.line("b")).fresh} == {"two"}


def test_a_page_hands_on_no_more_than_a_lane_may_have_in_memory(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.endpoint("one")
    kept.endpoint("two")
    half = "x" * (messages.RUN_BYTES // 2)
    many = [kept.line() for _ in range(messages.RUN_LENGTH + 1)]
    big = [kept.line("b", text=half), kept.line("b", text=half), kept.line("b")]
    fresh = kept.take(*many, *big).fresh
    assert fresh == {name: kept.due(name).lanes for name in ("one", "two")}
    assert [len(queued) for queued in fresh["one"].values()] == [messages.RUN_LENGTH, 1]
    monkeypatch.setattr(stores, "MOST_FRESH", 3)
    for name in ("three", "four"):
        kept.endpoint(name)
    taken = kept.take(kept.line(), kept.line())
    assert (taken.endpoints, taken.fresh) == ({"one", "two", "three", "four"}, {})


def test_a_transaction_that_fails_leaves_nothing_in_mind(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.endpoint()

    def fail(*_arguments: Any) -> None:
        raise RuntimeError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(rows, "move", fail)
        with pytest.raises(RuntimeError):
            kept.page(kept.line())
    assert kept.rows() == []
    kept.store.reload()
    assert kept.store.pending == (0, 0)


def test_a_page_for_other_endpoints_is_refused(kept: Kept) -> None:
    version = kept.store.version
    kept.endpoint()
    with pytest.raises(Refusal) as caught:
        kept.page(kept.line(), version=version)
    assert caught.value.name == "stale"


def test_who_gets_what() -> None:
    def wants(event: dict[str, Any], *, hidden: bool = False, **fields: Any) -> bool:
        line = json.dumps({"id": "e-1", "type": "note", **event}).encode()
        given = {"url": "", "types": ["*"], "secrets": [], "created": 0.0, "after": 0, **fields}
        return Endpoint(id="one", **given).wants(message_of(Line(1, 5.0, hidden, line)))

    assert wants({})
    assert not wants({}, types=["other"])
    assert not wants({}, rooms=["a"])
    assert wants({"room": "a"}, rooms=["a", "b"])
    assert not wants({}, hidden=True, view="viewer")
    assert wants({}, hidden=True)
    interim = {"type": "transcript", "is_final": False}
    assert not wants(interim)
    assert wants(interim, interims=True)
    about = {"type": "error", "source": "webhook", "webhook_id": "one"}
    assert not wants(about)
    assert wants(about | {"webhook_id": "two"})


def test_a_room_of_any_length_has_a_key() -> None:
    assert key_of(None) == ""
    assert key_of("a") == "a"
    assert len(key_of("x" * 100_000)) < 100
    assert key_of("x" * 1000) != key_of("x" * 1001)


def test_long_rooms_are_kept_in_both_databases(kept: Kept) -> None:
    kept.endpoint()
    kept.page(kept.line("r" * 5000, session_id="s" * 5000))
    assert kept.rows()[0]["room"] == "r" * 5000
    kept.store.erase(room=None, session_id="s" * 5000, rooms=["r" * 5000])
    assert kept.rows() == []


def test_success_failure_and_waiting(kept: Kept) -> None:
    kept.endpoint()
    kept.page(kept.line(), kept.line(), kept.line())
    kept.tried("pending")
    assert kept.due(now=kept.clock.now + 4).lanes == {}
    assert kept.due(now=kept.clock.now + 4).next_try == kept.clock.now + 5
    assert log.next_tries(kept.database) == {"one": kept.clock.now + 5}
    assert kept.store.endpoints["one"].failing_since == kept.clock.now
    kept.tried("failed")
    assert kept.notices() == [("failing", True)]
    kept.tried("failed")
    assert kept.notices() == [("failing", True)]
    kept.tried("delivered")
    assert kept.store.endpoints["one"].failing_since is None
    assert kept.states() == ["failed", "failed", "delivered"]
    with kept.database.reading() as connection:
        assert connection.execute(sa.select(lanes)).all() == []
    assert kept.store.pending == (0, 0)


def test_410_disables_at_once_and_the_event_stays_pending(kept: Kept) -> None:
    kept.endpoint()
    kept.page(kept.line(), kept.line())
    assert kept.tried("pending", gone=True) == {"one"}
    one = kept.store.endpoints["one"]
    assert (one.enabled, one.reason, one.behind) == (False, "gone", 2)
    assert kept.states() == ["pending", "pending"]
    assert kept.notices() == [("gone", False)]
    assert kept.page(kept.line()) == set()
    assert kept.states() == ["pending", "pending"]


def test_no_success_for_too_long_disables(kept: Kept) -> None:
    kept.endpoint()
    kept.page(kept.line())
    kept.tried("pending")
    kept.clock.now += 99
    assert kept.tried("pending") == set()
    kept.clock.now += 2
    assert kept.tried("pending") == {"one"}
    assert kept.notices() == [("no_success", False)]
    names = [name for name, _ in kept.store.due_notices()]
    kept.store.published(names)
    assert kept.notices() == []


def test_a_disabled_endpoint_reads_on_where_it_stood(kept: Kept) -> None:
    kept.endpoint()
    kept.page(kept.line())
    kept.tried("pending", gone=True)
    missed = [kept.line(), kept.line("b")]
    kept.page(*missed)
    one = kept.store.endpoints["one"]
    kept.endpoint(enabled=True, behind=one.behind, after=one.after)
    assert kept.store.catching_up == [("one", 1)]
    assert kept.page(missed[0], after=1, upto=2, endpoint="one") == {"one"}
    assert kept.page(missed[0], after=1, upto=2, endpoint="one") == set()
    kept.page(kept.line())
    assert kept.page(missed[1], after=2, upto=9, endpoint="one") == {"one"}
    assert kept.store.catching_up == []
    assert [one["event_id"] for one in reversed(kept.rows())] == ["e-1", "e-2", "e-3"]


def test_what_the_history_dropped_is_counted_and_reported(kept: Kept) -> None:
    kept.endpoint()
    kept.seq = 9
    kept.page(after=0, upto=9, skipped=9)
    assert kept.store.endpoints["one"].missed == 9
    assert kept.notices() == [("history_moved_on", True)]


def test_too_much_pending_is_skipped_counted_and_reported_once(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MOST_PENDING", 4)
    monkeypatch.setattr(stores, "MOST_SKIPPED_ROWS", 3)
    kept.endpoint()
    kept.page(*(kept.line() for _ in range(6)))
    kept.page(*(kept.line() for _ in range(4)))
    assert kept.states() == ["pending"] * 4 + ["skipped"] * 3
    assert kept.store.endpoints["one"].missed == 6
    assert kept.notices() == [("overflow", True)]
    for _ in range(3):
        kept.tried("delivered")
    kept.page(*(kept.line() for _ in range(4)))
    assert kept.store.endpoints["one"].missed == 7
    assert kept.notices() == [("overflow", True)] * 2


def test_bytes_are_bounded_too(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MOST_BYTES", 1000)
    kept.endpoint()
    kept.page(kept.line(text="x" * 700), kept.line(text="x" * 700))
    assert kept.states() == ["pending", "skipped"]


def test_erasing_removes_copies_and_log_and_nothing_comes_back(kept: Kept) -> None:
    kept.endpoint()
    kept.endpoint("two", types=["note"])
    kept.page(kept.line("a", session_id="s"), kept.line("b", session_id="s"), kept.line("b", session_id="t"))
    first = kept.due().lanes["a"][0]
    erasures = kept.store.erasures
    kept.store.erase(room=None, session_id="s", rooms=["a"])
    assert kept.store.erasures > erasures
    assert [one["event_id"] for one in kept.rows("two")] == ["e-3", "e-2"]
    # The request was in flight.
    kept.store.record([Tried("one", "a", first.id, first.size, "pending", [{}], 1.0), Ended("one", "a")])
    assert sorted(kept.due().lanes) == ["b"]
    assert kept.store.held("one") == 2
    kept.store.erase(room="b", session_id=None, rooms=None)
    assert kept.rows() + kept.rows("two") == []
    kept.page(kept.line("c"))
    assert int(kept.rows()[0]["id"]) > first.id + 5


def bodies(kept: Kept) -> list[bool]:
    """Whether each delivery still has its body."""
    with kept.database.reading() as connection:
        found = connection.execute(sa.select(deliveries).order_by(deliveries.c.id))
        return [row.body is not None for row in found]


def test_deliveries_are_sent_again_in_the_order_of_their_events(kept: Kept) -> None:
    kept.endpoint()
    kept.page(*(kept.line(number=number) for number in range(3)))
    kept.tried("delivered")
    kept.tried("failed")
    ids = [int(one["id"]) for one in reversed(kept.rows())]
    # The third one is pending: it is only tried at once.
    assert kept.store.resend("one", ids[::-1]) == (3, [])
    assert kept.states() == ["delivered", "failed", "pending", "pending", "pending"]
    assert [one.event_id for one in kept.due().lanes["a"]] == ["e-3", "e-1", "e-2"]
    assert [one.attempts for one in kept.due().lanes["a"]] == [[], [], []]
    assert json.loads(kept.due().lanes["a"][1].body)["data"]["number"] == 0
    with pytest.raises(Refusal, match="no delivery 999"):
        kept.store.resend("one", [999])


def test_a_body_that_the_log_no_longer_has_comes_from_the_history(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.endpoint()
    lines = [kept.line(number=number) for number in range(3)]
    kept.page(*lines)
    for _ in range(3):
        kept.tried("delivered")
    monkeypatch.setattr(stores, "KEPT_BYTES", 250)
    monkeypatch.setattr(stores, "STEP", 1)
    while kept.store.clean():
        pass
    assert bodies(kept) == [False, False, True]
    ids = [int(one["id"]) for one in reversed(kept.rows())]
    assert kept.store.resend("one", ids) == (0, ["e-1", "e-2"])
    assert kept.states() == ["delivered"] * 3
    assert kept.store.resend("one", ids, lines[1:2]) == (2, ["e-1"])
    assert [one.event_id for one in kept.due().lanes["a"]] == ["e-2", "e-3"]
    assert kept.store.replay("one", lines[:1], filtered=False) == 1
    assert [one.event_id for one in kept.due().lanes["a"]] == ["e-2", "e-3", "e-1"]


def test_all_that_failed_is_sent_again_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "STEP", 2)
    kept.endpoint()
    kept.endpoint("two")
    kept.page(*(kept.line() for _ in range(6)))
    for state in ("failed", "failed", "delivered", "failed", "failed"):
        kept.tried(state)
    kept.tried("failed", name="two")

    def again() -> int:
        total, after, upto = 0, 0, None
        while after is not None:
            count, after, upto = kept.store.resend_failed("one", after, upto)
            total += count
        return total

    assert again() == 4
    assert [one.event_id for one in kept.due().lanes["a"]] == ["e-6", "e-1", "e-2", "e-4", "e-5"]
    assert again() == 0
    kept.tried("delivered")
    kept.tried("failed")
    assert again() == 1
    assert kept.states("two").count("pending") == 5


def test_a_delivery_is_shown_with_its_requests(kept: Kept) -> None:
    kept.endpoint()
    kept.page(kept.line(text="ü"))
    queued = kept.due().lanes["a"][0]
    attempt = {"at": 1.0, "status": 500, "duration": 0.1, "answer": "", "error": None}
    sent = {"url": "https://hook.example/", "headers": {"webhook-signature": "v1,x"}}
    tried = Tried(
        "one", "a", queued.id, queued.size, "delivered", [attempt, attempt | {"request": sent}], None
    )
    kept.store.record([tried])
    assert kept.rows()[0]["attempts"] == [attempt, attempt]
    found = log.one(kept.database, "one", queued.id)
    assert found is not None
    assert found["body"] == queued.body
    assert found["attempts"] == [{**attempt, "request": None}, {**attempt, "request": sent}]
    assert log.one(kept.database, "two", queued.id) is None
    assert log.one(kept.database, "one", queued.id + 1) is None


def test_old_rows_go_and_pending_ones_stay(kept: Kept) -> None:
    kept.endpoint()
    kept.page(kept.line(), kept.line())
    kept.tried("delivered")
    kept.clock.now += stores.LOG_SECONDS - 1
    kept.store.clean()
    assert kept.states() == ["delivered", "pending"]
    kept.clock.now += 2
    kept.store.clean()
    assert kept.states() == ["pending"]


def test_copies_end_with_the_retention_and_are_counted(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "STEP", 3)
    kept.store = Store(kept.database, disable_after=100.0, max_age=50.0, clock=kept.clock)
    kept.store.reload()
    kept.endpoint()
    # Accepted at 5.
    kept.clock.now = 10.0
    kept.page(*(kept.line() for _ in range(6)), kept.line("b"))
    kept.tried("delivered")
    kept.tried("pending", gone=True)
    kept.clock.now = 54.9
    assert not kept.store.clean()
    assert kept.states().count("pending") == 6
    kept.clock.now = 55.1
    while kept.store.clean():
        pass
    assert kept.rows() == []
    assert kept.due().lanes == {}
    assert log.next_tries(kept.database) == {}
    assert kept.store.endpoints["one"].missed == 6
    assert kept.store.pending == (0, 0)
    assert kept.notices() == [("gone", False), ("expired", True)]
    # Re-enabled, and reported again only after the next success.
    one = kept.store.endpoints["one"]
    kept.store.save(msgspec.structs.replace(one, enabled=True, reason=None, behind=None))
    kept.page(kept.line())
    kept.store.clean()
    assert kept.store.endpoints["one"].missed == 7
    assert len(kept.notices()) == 2
    kept.page(kept.line())
    kept.tried("delivered")
    kept.page(kept.line())
    kept.store.clean()
    assert [reason for reason, _ in kept.notices()] == ["gone", "expired", "expired"]
    again = Store(kept.database, disable_after=100.0, max_age=50.0)
    again.reload()
    assert again.endpoints["one"].missed == 8
    assert again.pending == (0, 0)


def test_a_database_of_the_first_version_is_migrated_with_what_it_holds(url: str) -> None:
    kept = Kept(url)
    kept.endpoint()
    kept.page(kept.line())
    expected = kept.rows()
    with kept.database.writing() as connection:
        for name in ("failed", "kept", "by_acceptance"):
            connection.execute(sa.text(f"DROP INDEX webhook_deliveries_{name}"))
        connection.execute(sa.text("ALTER TABLE webhook_deliveries DROP COLUMN accepted"))
        connection.execute(sa.text("ALTER TABLE webhook_endpoints DROP COLUMN expiring"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    kept.database.open()
    kept.store.reload()
    assert kept.rows() == expected
    assert kept.store.endpoints["one"].expiring is False
    with kept.database.reading() as connection:
        assert connection.execute(sa.select(deliveries.c.accepted)).scalar() == kept.clock.now
        found = {one["name"] for one in sa.inspect(connection).get_indexes("webhook_deliveries")}
        assert found >= {f"webhook_deliveries_{name}" for name in ("failed", "kept", "by_acceptance")}
    kept.page(kept.line())
    kept.database.close()


def test_endpoints_and_what_is_pending_are_read_again(kept: Kept) -> None:
    kept.endpoint(rooms=["a"], types=["note"], description="x")
    kept.page(kept.line())
    again = Store(kept.database, disable_after=100.0)
    again.reload()
    assert again.endpoints == kept.store.endpoints
    assert again.pending == kept.store.pending
    assert again.wanted == ["note"]
    again.delete("one")
    assert kept.rows() == []


def test_another_history_starts_over_and_reports_it(kept: Kept) -> None:
    kept.endpoint()
    kept.store.begin_epoch("f", 3)
    assert kept.store.position() == ("f", 3)
    assert kept.notices() == [("history_lost", True)]
    assert kept.store.endpoints["one"].after == 3


def test_the_health_of_many_endpoints_takes_one_transaction(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "off"):
        kept.endpoint(name, rooms=None if name == "one" else ["b"], enabled=name != "off")
    kept.page(kept.line("a"))
    begun: list[None] = []
    reading = kept.database.reading

    def counted() -> Any:
        begun.append(None)
        return reading()

    monkeypatch.setattr(kept.database, "reading", counted)
    pending = {name: kept.store.held(name) for name in ("one", "two", "off")}
    found = log.health(kept.database, pending, {"one", "two"})
    nothing = {"success_rate": None, "oldest_pending": None, "next_try": None}
    assert found == {
        "one": nothing | {"oldest_pending": found["one"]["oldest_pending"]},
        "two": nothing,
        "off": nothing,
    }
    assert found["one"]["oldest_pending"] is not None
    assert len(begun) == 1
