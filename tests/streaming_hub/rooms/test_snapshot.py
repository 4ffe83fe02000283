"""Snapshots: every room, in events of a bounded length; what does not fit is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming_hub.events import sse
from streaming_hub.rooms.snapshot import MOST_BYTES, snapshots

MOST_LINE = 256_000


def state(room: str, **more: Any) -> dict[str, Any]:
    return {
        "room": room,
        "last_seq": 1,
        "updated": 1.5,
        "participants": [],
        "agent_state": None,
        "speaking": [],
        "user_state": None,
        "turn": None,
        "transcript": [],
        "sessions": [],
        "tools": [],
        **more,
    }


def line(number: int, text: str) -> dict[str, Any]:
    return {"segment_id": f"s{number}", "role": "user", "text": text, "is_final": True, "timestamp": number}


def sent(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events as a reader gets them; checks what holds for all."""
    found = []
    for fields in snapshots("e-7", states):
        frame = sse.control_frame(fields)
        assert len(frame) < MOST_LINE
        assert len(frame.decode().splitlines()) == 2
        found.append(json.loads(frame[6:]))
    assert [one["part"] for one in found] == list(range(1, len(found) + 1))
    assert [one["more"] for one in found] == [True] * (len(found) - 1) + [False]
    assert {one["as_of"] for one in found} == {"e-7"}
    return found


def test_without_rooms_there_is_one_event() -> None:
    assert sent([]) == [{"type": "snapshot", "as_of": "e-7", "part": 1, "more": False, "rooms": []}]


@pytest.mark.parametrize("text", ["words " * 30, "\u2028" * 60, "\x01" * 30])
def test_all_rooms_are_reported_in_events_of_a_bounded_length(text: str) -> None:
    states = [state(f"r{n}", transcript=[line(m, text) for m in range(50)]) for n in range(300)]
    events = sent(states)
    assert len(events) > 5
    assert [room for event in events for room in event["rooms"]] == states


def test_small_rooms_share_one_event() -> None:
    assert len(sent([state(f"r{n}") for n in range(500)])) == 1


@pytest.mark.parametrize("letter", ["x", "\u2028", "\x01", "é"])
def test_a_room_that_is_too_large_is_cut_and_says_so(letter: str) -> None:
    long = letter * 60_000
    whole = state(
        "big",
        transcript=[line(n, letter * 6_000) for n in range(50)],
        turn={"turn_id": "t", "session_id": None, "user": "hi", "agent": long},
        tools=[{"call_id": f"c{n}", "output": long} for n in range(10)],
        participants=[{"identity": f"p{n}", "role": "user"} for n in range(200)],
        agent_state=long,
    )
    before, cut, after = [room for event in sent([state("a"), whole, state("b")]) for room in event["rooms"]]
    assert (before, after) == (state("a"), state("b"))
    left = cut["left_out"]
    assert cut["participants"] == whole["participants"]
    assert cut["transcript"] == whole["transcript"][left["transcript"] :] != []
    assert len(cut["tools"]) + left["tools"] == 10
    assert len(cut["turn"]["agent"]) + left["turn"] == 60_000
    assert len(cut["agent_state"]) + left["agent_state"] == 60_000
    assert "participants" not in left
    if letter == "x":
        assert len(json.dumps(cut, separators=(",", ":"))) > MOST_BYTES / 2, (
            "much of the room there is stays unused"
        )


def test_an_entry_that_is_too_large_alone_is_left_out() -> None:
    (event,) = sent([state("big", tools=[{"call_id": "c", "output": "x" * 400_000}])])
    assert event["rooms"][0]["tools"] == []
    assert event["rooms"][0]["left_out"] == {"tools": 1}
