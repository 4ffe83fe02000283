"""What the stream told about one room, held against the turns that were spoken there.

Pure: takes events and turns, and raises AssertionError with the room, the turn and what is wrong with it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.livekit.dialogue import NOWHERE
from tests.stubs.script import GREETING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.livekit.dialogue import Turn

Event = dict[str, Any]

HEARD = [
    "user_state speaking",
    "user_speech_started",
    "user_state listening",
    "user_speech_finished",
    "user's metrics",
    "agent_state thinking",
]
TOOL = ["tool_call_started", "tool_call_finished"]
SPEAKING = ["agent_state speaking", "agent_speech_started", "agent's interims"]
SILENT = ["agent_state listening", "agent_speech_finished"]
WORDS = ["agent's words", "agent's metrics"]
WORDS_BEGUN = 2


def check_room(events: Sequence[Event], room: str, spoken: Sequence[Turn]) -> None:
    """Check everything that was told about a room.

    Args:
        events: All of the room's events, in the order of the stream.
        room: Its name.
        spoken: What was said in it, after the greeting.
    """
    _check_session(events, room)
    turns = list(dict.fromkeys(event["turn_id"] for event in events if "turn_id" in event))
    assert len(turns) == len(spoken) + 1, (
        f"{room}: {len(turns)} turns told, a greeting and {len(spoken)} spoken"
    )
    _check_greeting(_of(events, turns[0]), room)
    for number, (turn_id, turn) in enumerate(zip(turns[1:], spoken, strict=True), 1):
        of_turn = _of(events, turn_id)
        where = f"{room}, turn {number} ({turn.phrase!r}): "
        _check_order(of_turn, turn, where)
        _check_words(of_turn, turn, f"user-{room}", where)
        _check_tool(of_turn, turn, where)
        _check_metrics(of_turn, where)
    _check_pairs(events, room, "user")
    _check_pairs(events, room, "agent")


def _of(events: Sequence[Event], turn_id: str) -> list[Event]:
    return [event for event in events if event.get("turn_id") == turn_id]


def _check_order(of_turn: Sequence[Event], turn: Turn, where: str) -> None:
    """All of the turn's events in their order, but for two that have no fixed place.

    The transcript may be faster than the decision that the user is silent. And when the voice is cut, LiveKit's
    synchronizer still gives the word that was begun.
    """
    marks = [_mark(event) for event in of_turn]
    thinking = marks.index("agent_state thinking")
    assert "user's words" in marks[marks.index("user_speech_started") : thinking], where + str(marks)
    marks.remove("user's words")
    if "interruption" in marks:
        after = marks.index("interruption") + 1
        late = marks[after:].count("agent's interims")
        assert late <= WORDS_BEGUN, where + f"{late} words after the cut"
        marks[after:] = [mark for mark in marks[after:] if mark != "agent's interims"]
    told = [*HEARD, *(TOOL if turn.zone else []), *SPEAKING]
    expected = told + ([*SILENT, "interruption", *WORDS] if turn.cut else [*WORDS, *SILENT])
    assert _interims_as_one(marks) == expected, where + "out of order"


def _interims_as_one(marks: Sequence[str]) -> list[str]:
    return [mark for before, mark in pairwise(["", *marks]) if not before == mark == "agent's interims"]


def _mark(event: Event) -> str:
    kind = event["type"]
    if kind in ("agent_state", "user_state"):
        return f"{kind} {event['state']}"
    if kind == "transcript":
        return f"{event['role']}'s {'words' if event['is_final'] else 'interims'}"
    return f"{event['role']}'s metrics" if kind == "turn_metrics" else str(kind)


def _check_session(events: Sequence[Event], room: str) -> None:
    assert {event["room"] for event in events} == {room}
    sessions = {event["session_id"] for event in events if "session_id" in event}
    assert len(sessions) == 1, f"{room}: sessions {sessions}"
    (session,) = sessions
    alien = [event for event in events if not event.get("turn_id", session).startswith(session)]
    assert alien == [], f"{room}: turns of another session"
    assert [event["type"] for event in events].count("session_started") == 1
    times = [event["timestamp"] for event in events if "session_id" in event]
    assert times == sorted(times), f"{room}: timestamps go back"
    people = {event["participant"] for event in events if event.get("role") == "user"}
    assert people == {f"user-{room}"}, f"{room}: {people} spoke"


def _check_greeting(of_turn: Sequence[Event], room: str) -> None:
    marks = [mark for mark in map(_mark, of_turn) if mark != "agent_state thinking"]
    assert _interims_as_one(marks) == [*SPEAKING, *WORDS, *SILENT], f"{room}, greeting: out of order"
    _check_agent_words(of_turn, GREETING, f"{room}, greeting: ", cut=False)


def _check_words(of_turn: Sequence[Event], turn: Turn, user: str, where: str) -> None:
    (said,) = (event for event in of_turn if event["type"] == "transcript" and event["role"] == "user")
    assert (said["text"], said["participant"]) == (turn.phrase, user), where
    output = next((event["output"] for event in of_turn if event["type"] == "tool_call_finished"), "")
    _check_agent_words(of_turn, turn.answer.replace("{output}", output), where, cut=turn.cut)


def _check_agent_words(of_turn: Sequence[Event], answer: str, where: str, *, cut: bool) -> None:
    *interims, final = (
        event for event in of_turn if event["type"] == "transcript" and event["role"] == "agent"
    )
    assert {event["segment_id"] for event in interims} == {final["segment_id"]}, where + "segments"
    assert final["interrupted"] is cut, where
    words, wanted = final["text"].split(), answer.split()
    if cut:
        assert 0 < len(words) < len(wanted), where + final["text"]
        assert words == wanted[: len(words)], where + f"cut elsewhere than at a word: {final['text']!r}"
    else:
        assert final["text"] == answer, where
    growing = [[], *(event["text"].split() for event in interims)]
    for before, after in pairwise(growing):
        assert len(after) > len(before), where + f"no new word in {after}"
        assert after[: len(before)] == before, where + f"{before} taken back by {after}"
    # On a busy machine LiveKit hands the last words over with the end.
    assert growing[-1] == words[: len(growing[-1])], where + "the final takes words of the interims back"
    assert len(interims) > len(words) / 2, where + "words came in lumps, not as they were spoken"
    finished = next(event for event in of_turn if event["type"] == "agent_speech_finished")
    assert finished["interrupted"] is cut, where


def _check_tool(of_turn: Sequence[Event], turn: Turn, where: str) -> None:
    if turn.zone is None:  # that nothing was called is held by the order
        return
    started, finished = (event for event in of_turn if event["type"] in TOOL)
    assert (started["name"], started["arguments"]) == ("current_time", {"time_zone": turn.zone}), where
    assert (finished["call_id"], finished["name"]) == (started["call_id"], "current_time"), where
    assert finished["status"] == ("error" if turn.zone == NOWHERE else "done"), where
    assert finished["output"], where


def _check_metrics(of_turn: Sequence[Event], where: str) -> None:
    user, agent = (event for event in of_turn if event["type"] == "turn_metrics")
    assert user["transcription_delay"] > 0, where
    assert 0 < agent["e2e_latency"] < 10, where


def _check_pairs(events: Sequence[Event], room: str, who: str) -> None:
    """No end without a beginning, no beginning before the last end, each state follows the one it names."""
    speech = [event for event in events if event["type"].startswith(f"{who}_speech_")]
    kinds = [event["type"].rpartition("_")[2] for event in speech]
    assert kinds == ["started", "finished"] * (len(kinds) // 2), f"{room}: the {who}'s speech {kinds}"
    for started, finished in zip(speech[::2], speech[1::2], strict=True):
        assert started["turn_id"] == finished["turn_id"], f"{room}: the {who}'s speech spans turns"
    states = [event for event in events if event["type"] == f"{who}_state"]
    for before, after in pairwise(states):
        assert after["previous"] == before["state"], f"{room}: {before} is not followed by {after}"
