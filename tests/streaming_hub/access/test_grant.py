"""The rooms of a grant."""

import pytest

from streaming_hub.access import Grant, require_room
from streaming_hub.errors import Forbidden


def grant(*rooms: str, everywhere: bool = False) -> Grant:
    return Grant(
        "jwt:alice", frozenset({"publish"}), None if everywhere else frozenset(rooms), "viewer", None
    )


@pytest.mark.parametrize("room", ["a", "b", "", None])
def test_all_rooms_include_no_room(room: str | None) -> None:
    require_room(grant(everywhere=True), room)


@pytest.mark.parametrize(
    ("rooms", "room", "allowed"),
    [
        (["a", "b"], "b", True),
        (["a"], "b", False),
        (["a"], "A", False),
        (["a"], "", False),
        ([], "a", False),
        (["a"], None, False),
        (["abc"], "b", False),
    ],
)
def test_named_rooms_are_the_only_ones(rooms: list[str], room: str | None, allowed: bool) -> None:
    assert grant(*rooms).allows_room(room) is allowed
    if allowed:
        require_room(grant(*rooms), room)
    else:
        with pytest.raises(Forbidden) as refused:
            require_room(grant(*rooms), room)
        assert refused.value.extra == {"field": "room"}, "a poster leaves this one event, not its key"


def test_the_refusal_names_the_room_and_cuts_a_long_one() -> None:
    with pytest.raises(Forbidden, match="'kitchen'"):
        require_room(grant("a"), "kitchen")
    with pytest.raises(Forbidden) as refused:
        require_room(grant("a"), "x" * 60_000)
    assert len(refused.value.detail) < 200


def test_a_grant_cannot_be_widened() -> None:
    with pytest.raises(AttributeError):
        grant("a").rooms = None  # type: ignore[misc]  # the attempt is what is tested
