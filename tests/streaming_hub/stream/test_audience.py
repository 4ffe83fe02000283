"""The audience: groups by interest, and those that an event may concern."""

from __future__ import annotations

from streaming_hub.events.interest import EVERYTHING, Interest
from streaming_hub.events.stored import Entry, encode
from streaming_hub.stream.audience import Audience
from streaming_hub.stream.subscriber import Subscriber
from tests.streaming_hub.making import NOW, posted

ROOM_A = Interest(rooms=frozenset({"a"}))
ROOMS = Interest(rooms=frozenset({"a", "b"}))
NOTES_OF_A = Interest(rooms=frozenset({"a"}), types=frozenset({"note"}))


def entry(room: str | None) -> Entry:
    return encode("epoch", 1, posted(room=room) if room else posted(), NOW)


def reader(interest: Interest, address: str = "") -> Subscriber:
    subscriber = Subscriber(interest, 0, 16)
    subscriber.address = address
    return subscriber


def filled(*interests: Interest) -> Audience:
    audience = Audience()
    for interest in interests:
        audience.add(reader(interest))
    return audience


def test_equal_interests_are_one_group() -> None:
    audience = filled(ROOM_A, ROOM_A, EVERYTHING)
    assert [group.interest for group in audience.groups()] == [ROOM_A, EVERYTHING]
    found = audience.group(ROOM_A)
    assert found is not None
    assert len(found.members) == 2
    assert len(audience) == len(list(audience)) == 3


def test_only_groups_that_an_event_may_concern_are_looked_at() -> None:
    audience = filled(*(Interest(rooms=frozenset({f"room {n}"})) for n in range(1000)), ROOMS, EVERYTHING)
    assert [group.interest for group in audience.candidates([entry("b")])] == [EVERYTHING, ROOMS]
    assert [group.interest for group in audience.candidates([entry(None)])] == [EVERYTHING]


def test_readers_of_several_events_count_once() -> None:
    audience = filled(ROOM_A, ROOMS, NOTES_OF_A, EVERYTHING)
    assert audience.count_readers([entry("a"), entry("a"), entry("b")]) == 4
    assert audience.count_readers([entry("b")]) == 2
    assert audience.count_readers([entry(None)]) == 1


def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    audience = Audience()
    readers = [reader(interest, "10.0.0.1") for interest in (ROOMS, ROOMS, EVERYTHING)]
    for one in readers:
        audience.add(one)
    audience.go_live(readers[0])
    assert audience.addresses == {"10.0.0.1": 3}
    for one in readers:
        audience.remove(one)
        audience.remove(one)
    audience.remove(reader(ROOM_A))
    assert vars(audience) == vars(Audience())


def test_a_live_subscriber_is_in_its_group() -> None:
    audience = Audience()
    readers = [reader(ROOM_A), reader(ROOM_A)]
    for one in readers:
        audience.add(one)
    audience.go_live(readers[1])
    (group,) = audience.groups()
    assert list(group.live) == [readers[1]]
    assert [one.live for one in readers] == [False, True]
