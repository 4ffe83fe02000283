"""Which rooms a reader's snapshot describes, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming_hub.events.interest import EVERYTHING, Interest
from streaming_hub.rooms.current import RoomStates
from tests.streaming_hub.making import hub_over, posted

if TYPE_CHECKING:
    import pytest


def states_of(*rooms: str) -> RoomStates:
    """The states of rooms with one event each."""
    hub = hub_over()
    hub.publish([posted(room=room) for room in rooms])
    return RoomStates(hub, lambda function: function())


def visible(states: RoomStates, interest: Interest) -> list[str]:
    """The names of the rooms in a reader's snapshot."""
    rooms, _ = states.current()
    return [state["room"] for state in states.visible(rooms, interest)]


def test_a_snapshot_has_all_rooms_the_newest_first() -> None:
    states = states_of("a", "b", "c", "d", "e", "a")
    assert visible(states, EVERYTHING) == ["a", "e", "d", "c", "b"]
    assert visible(states, Interest(rooms=frozenset("bc"))) == ["c", "b"]
    assert visible(states, Interest(rooms=frozenset("bx"), allowed_rooms=frozenset("abc"))) == ["b"]
    assert visible(states, Interest(allowed_rooms=frozenset())) == []


def test_a_snapshot_looks_at_no_room_that_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    states = states_of(*(f"{number}" for number in range(500)))
    rooms, _ = states.current()
    looked_at: list[str] = []
    describe = rooms.describe

    def noted(room: str, *, viewer: bool) -> object:
        looked_at.append(room)
        return describe(room, viewer=viewer)

    monkeypatch.setattr(rooms, "describe", noted)
    monkeypatch.setattr(rooms, "names", None)
    assert visible(states, Interest(rooms=frozenset({"7"}))) == ["7"]
    assert looked_at == ["7"]
