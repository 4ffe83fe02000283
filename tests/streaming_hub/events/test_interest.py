"""Filters and views, looked at from memory and from SQL: both must choose the same events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming_hub.events.interest import EVERYTHING, Interest, keys_of
from streaming_hub.history.page import Limit
from streaming_hub.history.sqlite import SqliteHistory
from tests.streaming_hub.making import (
    NOW,
    memory,
    posted,
    seqs_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming_hub.history.memory import MemoryHistory

SOME = frozenset({"a", "b"})
choice = st.none() | st.frozensets(st.sampled_from(["a", "b", "c", "", "A", "a'; --", "usage"]), max_size=3)
interests = st.builds(Interest, choice, choice, choice, choice, choice, st.booleans())
value = st.sampled_from([None, "a", "b", "", "a'; --"])


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MemoryHistory, SqliteHistory]]:
    """Every mixture of fields, in both stores."""
    path = tmp_path_factory.mktemp("interest") / "events.db"
    disk = SqliteHistory(path, max_events=10_000, max_age=1e6, sync="normal", now=NOW)
    ram = memory(10_000)
    events = [
        posted(kind, **{k: v for k, v in fields.items() if v is not None})
        for kind in ("a", "b", "usage", "error")
        for room in (None, "a", "b", "", "a'; --")
        for participant in (None, "a", "")
        for session in (None, "b")
        for audience in (None, "operator", "viewer")
        for fields in [
            {"room": room, "participant": participant, "session_id": session, "audience": audience}
        ]
    ]
    disk.append(events, NOW)
    ram.append(events, NOW)
    yield ram, disk
    disk.close()


def test_everything_is_everything() -> None:
    assert EVERYTHING.everything
    for narrowed in (
        Interest(operator=False),
        Interest(rooms=SOME),
        Interest(allowed_rooms=SOME),
        Interest(types=frozenset()),
    ):
        assert not narrowed.everything


@pytest.mark.parametrize(
    ("rooms", "allowed", "keys"),
    [
        (None, None, None),
        (SOME, None, SOME),
        (None, SOME, SOME),
        (SOME, frozenset({"b", "c"}), frozenset({"b"})),
        (SOME, frozenset({"c"}), frozenset()),
    ],
)
def test_room_keys_are_what_is_asked_for_and_allowed(
    rooms: frozenset[str] | None, allowed: frozenset[str] | None, keys: frozenset[str] | None
) -> None:
    assert Interest(rooms=rooms, allowed_rooms=allowed).room_keys() == keys


def test_an_event_without_the_field_does_not_match() -> None:
    history = memory()
    history.append([posted("a"), posted("a", room=""), posted("a", room="a")], NOW)
    page = history.since(0, Interest(rooms=frozenset({"a", ""})), Limit())
    assert seqs_of(page.entries) == [2, 3]


def test_viewers_do_not_see_what_is_for_operators() -> None:
    history = memory()
    kinds = ["transcript", "tool_call_started", "turn_metrics", "usage", "error", "events_dropped", "my_own"]
    history.append([*(posted(kind) for kind in kinds), posted("my_own", audience="operator")], NOW)
    page = history.since(0, Interest(operator=False), Limit())
    assert [entry.type for entry in page.entries] == ["transcript", "my_own"]
    assert seqs_of(page.entries) == [1, 7]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(interests)
def test_memory_and_disk_choose_the_same(
    stored: tuple[MemoryHistory, SqliteHistory], interest: Interest
) -> None:
    ram, disk = stored
    limit = Limit(events=100_000, size=10_000_000)
    every = ram.since(0, EVERYTHING, limit).entries
    expected = [entry.seq for entry in every if interest.matches(entry)]
    keys = interest.room_keys()
    assert keys is None or all(entry.room in keys for entry in every if interest.matches(entry))
    assert seqs_of(ram.since(0, interest, limit).entries) == expected
    assert seqs_of(disk.since(0, interest, limit).entries) == expected
    assert seqs_of(disk.before(10**6, interest, Limit(7))) == expected[-7:]
    assert seqs_of(ram.before(10**6, interest, Limit(7))) == expected[-7:]


@given(interest=interests)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_matches_is_found_by_its_keys(
    interest: Interest, stored: tuple[MemoryHistory, SqliteHistory]
) -> None:
    keys = interest.index_keys()
    for entry in stored[0].since(0, interest, Limit(10_000, 10**9)).entries:
        assert keys is None or keys & set(keys_of(entry))
