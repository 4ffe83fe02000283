"""Which sessions die with their process or lease, and what late events of the dead may not do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.agents.leases import (
    AFTERMATH,
    DEFAULT_LEASE,
    MAX_LIVE,
    MAX_REMEMBERED,
    Session,
    Sessions,
)
from streaming_hub.events import posted as events
from tests.streaming_hub.making import posted


def started(name: str = "s1", **fields: Any) -> events.Event:
    return posted("session_started", session_id=name, room="hall", **fields)


def said(name: str = "s1") -> events.Event:
    return posted("transcript", session_id=name, room="hall", text="hello")


def ended(name: str = "s1", reason: str = "user_initiated") -> events.Event:
    return posted("session_ended", session_id=name, room="hall", reason=reason)


def told(sessions: list[Session]) -> list[dict[str, Any]]:
    return [events.fields_of(session.end()) for session in sessions]


def test_sessions_of_the_dead_process_end_and_others_continue() -> None:
    table = Sessions()
    table.take(said("ours"), 0, supervised=True)
    table.take(started("theirs", lease=15), 0, supervised=False)
    table.take(said("script"), 0, supervised=False)
    assert told(table.worker_lost()) == [
        {"type": "session_ended", "session_id": "ours", "reason": "worker_lost", "room": "hall"}
    ]
    assert table.worker_lost() == []
    assert len(table) == 1


def test_session_that_has_published_its_end_is_not_ended_again() -> None:
    table = Sessions()
    table.take(said(), 0, supervised=True)
    assert table.take(ended(), 1, supervised=True) is not None
    assert table.worker_lost() == []


def test_lease_that_is_not_renewed_ends_the_session() -> None:
    table = Sessions()
    table.take(started(lease=15), 100, supervised=False)
    assert table.waiting
    assert table.expired(114.9) == []
    assert told(table.expired(115)) == [
        {"type": "session_ended", "session_id": "s1", "reason": "lease_expired", "room": "hall"}
    ]
    assert table.expired(1000) == []
    assert not table.waiting


@pytest.mark.parametrize("how", ["renewal", "event"])
def test_renewals_and_events_keep_a_leased_session_alive(how: str) -> None:
    table = Sessions()
    table.take(started(lease=10), 0, supervised=False)
    if how == "renewal":
        assert table.renew("s1", None, 10, 9)
    else:
        table.take(said(), 9, supervised=False)
    assert table.expired(18.9) == []
    assert [session.room for session in table.expired(19)] == ["hall"]


def test_renewal_alone_begins_a_lease() -> None:
    table = Sessions()
    assert table.renew("s1", "hall", 5, 0)
    assert told(table.expired(5))[0]["room"] == "hall"


def test_a_session_that_is_not_tracked_is_never_ended() -> None:
    table = Sessions()
    table.take(started(), 0, supervised=False)
    table.take(said(), 1, supervised=False)
    assert table.expired(1e9) == []
    assert table.worker_lost() == []


def test_a_renewal_after_the_end_revives_nothing() -> None:
    table = Sessions()
    table.take(started(lease=15), 0, supervised=False)
    table.take(ended(), 1, supervised=False)
    assert not table.renew("s1", "hall", 15, 2)
    assert table.expired(1000) == []


def test_another_room_with_the_same_id_ends_renews_and_moves_nothing() -> None:
    table = Sessions()
    table.take(started(lease=15), 0, supervised=False)
    elsewhere = {"session_id": "s1", "room": "cellar"}
    assert table.take(posted("session_ended", reason="bye", **elsewhere), 1, supervised=False) is None
    assert table.renew("s1", "hall", 15, 2), "the other room's end is not this one's"
    table.take(posted("transcript", **elsewhere), 16, supervised=False)
    table.renew("s1", "garden", 100, 16)
    assert told(table.expired(17)) == [
        {"type": "session_ended", "session_id": "s1", "reason": "lease_expired", "room": "hall"}
    ]


def test_an_earlier_end_in_another_room_does_not_hide_a_session() -> None:
    table = Sessions()
    table.take(posted("session_ended", session_id="s1", room="cellar", reason="bye"), 0, supervised=False)
    table.take(said(), 1, supervised=True)
    assert [session.room for session in table.worker_lost()] == ["hall"]


def test_session_whose_room_is_named_later_is_the_same_session() -> None:
    table = Sessions()
    table.renew("s1", None, 5, 0)
    table.take(said(), 1, supervised=False)
    assert len(table) == 1
    assert told(table.expired(6))[0]["room"] == "hall"


def test_session_that_comes_back_after_its_lease_can_end_again() -> None:
    table = Sessions()
    table.take(started(lease=15), 0, supervised=False)
    table.expired(15)
    assert table.renew("s1", None, 15, 60)
    assert told(table.expired(75))[0]["reason"] == "lease_expired"


def test_late_words_of_a_dead_process_are_followed_by_another_end() -> None:
    table = Sessions()
    table.take(said(), 0, supervised=True)
    table.worker_lost()
    table.take(said(), 10, supervised=True)
    assert table.worker_lost() == [], "the words came from the next process's spool, not from its sessions"
    assert table.expired(10 + AFTERMATH - 0.1) == []
    assert told(table.expired(10 + AFTERMATH))[0]["reason"] == "worker_lost"


def test_late_end_of_a_dead_process_is_the_last_word() -> None:
    table = Sessions()
    table.take(said(), 0, supervised=True)
    table.worker_lost()
    table.take(said(), 10, supervised=True)
    table.take(ended(), 10, supervised=True)
    assert table.expired(1000) == []


def test_dead_process_cannot_renew() -> None:
    table = Sessions()
    table.take(said(), 0, supervised=True)
    table.worker_lost()
    assert not table.renew("s1", "hall", 15, 1)
    assert table.expired(1000) == []


@pytest.mark.parametrize("lease", [0, -3, True, "15", None, [15]])
def test_a_lease_that_is_not_a_number_of_seconds_is_ignored(lease: object) -> None:
    table = Sessions()
    table.take(started(lease=lease), 0, supervised=False)
    assert not table.waiting


def test_erased_sessions_are_not_reported_again() -> None:
    table = Sessions()
    for name in ("one", "two"):
        table.take(said(name), 0, supervised=True)
    table.forget(session_id="one")
    table.forget(room="elsewhere")
    assert [session.session_id for session in table.worker_lost()] == ["two"]
    table.forget(room="hall")
    table.take(said("two"), 5, supervised=False)
    assert table.expired(1000) == []


def test_rebuilding_ends_the_supervised_and_waits_for_the_leased() -> None:
    stored = [
        events.fields_of(one)
        for one in (
            started("done", lease=15, supervised=True),
            ended("done"),
            started("ours", lease=15, supervised=True),
            started("theirs", lease=20),
            started("script"),
        )
    ]
    table = Sessions()
    assert [session.session_id for session in table.rebuild(stored, 100)] == ["ours"]
    assert table.expired(119.9) == []
    assert [session.session_id for session in table.expired(120)] == ["theirs"]


def test_rebuilding_remembers_dead_sessions() -> None:
    table = Sessions()
    lost, away = ended("lost", reason="worker_lost"), ended("away", reason="lease_expired")
    assert table.rebuild([events.fields_of(lost), events.fields_of(away)], 0) == []
    for name in ("lost", "away"):
        table.take(said(name), 0, supervised=False)
    assert [one.session_id for one in table.expired(AFTERMATH)] == ["lost"]
    assert [one.session_id for one in table.expired(DEFAULT_LEASE)] == ["away"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["session_started", "session_ended", 7]),
                "session_id": st.sampled_from(["a", "b", None, 3, {}]),
                "room": st.sampled_from(["r", None, 4]),
                "lease": st.sampled_from([15, "x", 1e300, None]),
                "supervised": st.sampled_from([True, "yes"]),
                "reason": st.sampled_from(["worker_lost", None, 5]),
            },
        )
    )
)
def test_rebuilding_takes_whatever_is_stored(stored: list[dict[str, Any]]) -> None:
    table = Sessions()
    dead = table.rebuild(stored, 0) + table.expired(1e9)
    assert {session.end().session_id for session in dead} <= {"a", "b"}


def test_invented_sessions_cost_bounded_memory() -> None:
    table = Sessions()
    for number in range(MAX_LIVE + 10):
        table.renew(str(number), None, 1, 0)
    assert len(table) == MAX_LIVE
    assert len(table.expired(2)) == MAX_LIVE
    for number in range(MAX_REMEMBERED + 10):
        table.take(ended(str(number)), 3, supervised=False)
    assert table.renew("0", None, 1, 4), "the oldest ends are forgotten"
    assert not table.renew(str(MAX_REMEMBERED + 9), None, 1, 4)
