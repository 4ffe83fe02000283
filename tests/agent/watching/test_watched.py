"""What one agent's session looks like from within the room, without a room: recorded calls, and the odd moments."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from livekit.protocol.agent_pb import agent_session as pb

from agent.watching.watched import Watched
from tests.uploads import replay
from tests.uploads.watch import events_of

Event = dict[str, Any]
Report = pb.AgentSessionEvent
AT = 1795429986.0


def message(at: float, **event: Any) -> tuple[bytes, float]:
    told = Report(**event)
    told.created_at.FromNanoseconds(int(at * 1e9))
    return pb.AgentSessionMessage(event=told).SerializeToString(), at


def state(at: float, old: str, new: str) -> tuple[bytes, float]:
    named = {name: getattr(pb, f"AS_{name.upper()}") for name in (old, new)}
    return message(
        at, agent_state_changed=Report.AgentStateChanged(old_state=named[old], new_state=named[new])
    )


def said(at: float, role: int, text: str) -> tuple[bytes, float]:
    item = pb.ChatContext.ChatItem(
        message=pb.ChatMessage(id=f"item_{at}", role=role, content=[pb.ChatMessage.ChatContent(text=text)])  # type: ignore[arg-type]
    )
    return message(at, conversation_item_added=Report.ConversationItemAdded(item=item))


def watched(found: str | None = None) -> Watched:
    about = {"job_id": "AJ_1", "room_sid": "RM_1"}
    one = Watched("s", "kitchen", "agent-AJ_1", about, unknown=Counter(), state=found)
    one.linked("alice")
    return one


def test_a_state_that_the_messages_still_report_is_reported_once() -> None:
    one = watched("thinking")
    for old, new in (("initializing", "listening"), ("listening", "thinking"), ("thinking", "speaking")):
        assert one.message(*state(AT, old, new)) == []
    events = one.release()
    states = [event["state"] for event in events if event["type"] == "agent_state"]
    assert states == ["listening", "thinking", "speaking"]
    assert len({event["turn_id"] for event in events if "turn_id" in event}) == 1


def kinds(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


def finals(events: list[Event], role: str = "") -> list[tuple[str, str, int]]:
    """Return role, words and turn (by its number of appearance) of each final."""
    turns: dict[str, int] = {}
    return [
        (one["role"], one["text"], turns.setdefault(one["turn_id"], len(turns)))
        for one in events
        if one["type"] == "transcript" and one["is_final"] and one["role"].startswith(role)
    ]


ENDED_BY_WATCHING = {"1.8.0-watched": {"tool_call_finished"}}
"""Types by recording that `attach` lacks: 1.8.0 does not report a tool's end to it, but sums calls up in the room."""


@pytest.mark.parametrize("version", ["1.8.9-watched", "1.8.0-watched"])
def test_a_recorded_call_is_told_as_attach_told_it(version: str) -> None:
    unknown: Counter[str] = Counter()
    ours, theirs = events_of(version, unknown), replay.attached(version)
    assert finals(ours) == finals(theirs)
    # That also means as many words while they were spoken.
    counts = [Counter(kinds(events)) for events in (ours, theirs)]
    assert counts[0] - counts[1] == Counter(ENDED_BY_WATCHING.get(version, ()))
    assert counts[1] - counts[0] == {}
    assert unknown == {}


def test_a_recorded_call_of_a_node_agent_has_its_words_and_turns() -> None:
    unknown: Counter[str] = Counter()
    events = events_of("node-1.9.0", unknown)
    assert finals(events, "user") == [
        ("user", "Hello there.", 0),
        ("user", "What is the current time in London?", 1),
        ("user", "Tell me a long story about the sea.", 2),
        ("user", "Stop please.", 3),
    ]
    said = {turn: words for role, words, turn in finals(events) if role == "agent"}
    asked = {turn: words for role, words, turn in finals(events) if role == "user"}
    answers = {asked.get(turn): words for turn, words in said.items()}
    assert answers[None] == "Hello, how can I help you?"
    assert answers["Hello there."] == "You said: Hello there."
    assert answers["What is the current time in London?"] == 'It is "noon in Europe/London".'
    assert answers["Tell me a long story about the sea."].startswith("Once upon a time")
    assert answers["Stop please."] == "You said: Stop please."
    assert unknown == {}


class TestTheHold:
    def test_nothing_is_told_before_its_end(self) -> None:
        one = watched()
        assert one.message(*state(AT, "initializing", "listening")) == []
        assert one.message(*state(AT + 0.1, "listening", "thinking")) == []
        assert not one.live
        events = one.release()
        assert kinds(events) == ["session_started", "agent_state", "agent_state"]
        started = events[0]
        assert (started["source"], started["job_id"], started["room_sid"]) == ("watcher", "AJ_1", "RM_1")
        assert one.live

    def test_an_attach_in_time_leaves_no_trace(self) -> None:
        one = watched()
        one.message(*state(AT, "initializing", "listening"))
        assert one.replaced(AT + 1) == []
        assert one.release() == []
        assert one.message(*state(AT + 3, "listening", "thinking")) == []

    def test_a_late_attach_ends_it(self) -> None:
        one = watched()
        one.message(*state(AT, "initializing", "listening"))
        one.message(*state(AT + 0.1, "listening", "thinking"))
        one.release()
        (ended,) = one.replaced(AT + 5)
        assert (ended["type"], ended["reason"]) == ("session_ended", "replaced")
        assert one.message(*state(AT + 6, "listening", "thinking")) == []

    def test_an_agent_that_does_nothing_has_no_session(self) -> None:
        one = watched("listening")
        assert one.close("participant_disconnected", AT) == []

    def test_an_end_within_it_publishes_all(self) -> None:
        one = watched()
        one.message(*state(AT, "initializing", "listening"))
        one.message(*state(AT + 0.1, "listening", "thinking"))
        events = one.close("agent_left", AT + 1)
        assert kinds(events)[0] == "session_started"
        assert (kinds(events)[-1], events[-1]["reason"]) == ("session_ended", "agent_left")

    def test_an_agent_that_speaks_already_is_told_as_speaking(self) -> None:
        one = watched("speaking")
        one.message(*said(AT, pb.ASSISTANT, "Hello."))
        one.message(*state(AT + 0.1, "speaking", "listening"))
        assert kinds(one.release()) == [
            "session_started",
            "agent_state",
            "agent_speech_started",
            "transcript",
            "agent_state",
            "agent_speech_finished",
        ]


def agents_that_send_messages() -> Watched:
    one = watched()
    one.message(*state(AT, "initializing", "listening"))
    one.message(*state(AT + 0.1, "listening", "thinking"))
    one.release()
    return one


class TestTurns:
    def test_a_say_that_answers_nobody_is_a_turn_of_its_own(self) -> None:
        one = agents_that_send_messages()
        turns = []
        for number, text in enumerate(("Hello.", "By the way.")):
            at = AT + 1 + number
            events = one.message(*state(at, "listening", "speaking"))
            events += one.message(*said(at + 0.3, pb.ASSISTANT, text))
            events += one.message(*state(at + 0.4, "speaking", "listening"))
            turns.append({event["turn_id"] for event in events})
        assert all(len(turn) == 1 for turn in turns)
        assert turns[0] != turns[1]

    def test_a_speech_that_resumes_stays_one_turn(self) -> None:
        one = agents_that_send_messages()
        events = one.message(*state(AT + 1, "thinking", "speaking"))
        events += one.words("ST_1", "Once ", AT + 1.1)
        events += one.message(*state(AT + 2, "speaking", "listening"))
        events += one.message(*state(AT + 3, "listening", "speaking"))
        events += one.words("ST_1", "upon a time", AT + 3.1)
        events += one.message(*said(AT + 4, pb.ASSISTANT, "Once upon a time"))
        assert len({event["turn_id"] for event in events if "turn_id" in event}) == 1
        final = events[-1]
        assert (final["type"], final["is_final"], final["text"]) == ("transcript", True, "Once upon a time")

    def test_words_that_overtake_their_state_belong_to_its_turn(self) -> None:
        one = agents_that_send_messages()
        one.message(*said(AT + 0.5, pb.ASSISTANT, "Hello."))
        one.message(*state(AT + 0.6, "thinking", "listening"))
        events = one.words("ST_2", "By ", AT + 1)
        events += one.message(*state(AT + 1.01, "listening", "speaking"))
        events += one.words("ST_2", "the way", AT + 1.2)
        events += one.message(*said(AT + 2, pb.ASSISTANT, "By the way"))
        assert len({event["turn_id"] for event in events}) == 1
        assert [event["text"] for event in events if event["type"] == "transcript"] == [
            "By",
            "By the way",
            "By the way",
        ] or [event["text"].strip() for event in events if event["type"] == "transcript"] == [
            "By",
            "By the way",
            "By the way",
        ]


class TestWithoutSessionMessages:
    """A Node agent, or one with `session_host=False`: words and states are all there is."""

    def test_words_and_states_make_turns(self) -> None:
        one = watched("listening")
        one.state("thinking", AT)
        one.state("speaking", AT + 0.2)
        one.words("ST_1", "Hello ", AT + 0.3)
        one.words("ST_1", "you.", AT + 0.4)
        one.words_ended("ST_1", AT + 0.6)
        one.state("listening", AT + 0.7)
        events = one.release()
        events += one.heard("bob", "SG_1", "What ", AT + 3, is_final=False)
        events += one.heard("bob", "SG_1", "What time?", AT + 3.2, is_final=True)
        events += one.state("thinking", AT + 3.4)
        events += one.state("speaking", AT + 3.6)
        events += one.words("ST_2", "Noon.", AT + 3.7)
        events += one.words_ended("ST_2", AT + 3.8)
        events += one.state("listening", AT + 3.9)
        finals = [event for event in events if event["type"] == "transcript" and event["is_final"]]
        assert [(one["role"], one["text"]) for one in finals] == [
            ("agent", "Hello you."),
            ("user", "What time?"),
            ("agent", "Noon."),
        ]
        assert finals[1]["participant"] == "bob"
        assert finals[1]["turn_id"] == finals[2]["turn_id"] != finals[0]["turn_id"]
        assert (
            kinds(events).count("agent_speech_started") == kinds(events).count("agent_speech_finished") == 2
        )

    def test_an_agent_that_thinks_before_the_words_are_final_answers_them(self) -> None:
        one = watched("listening")
        one.state("speaking", AT)
        one.release()
        one.state("listening", AT + 1)
        events = one.heard("bob", "SG_1", "What", AT + 3, is_final=False)
        assert one.state("thinking", AT + 3.1) == []
        assert one.waits
        events += one.heard("bob", "SG_1", "What time?", AT + 3.11, is_final=True)
        assert not one.waits
        assert [(one["type"], one.get("is_final")) for one in events] == [
            ("transcript", False),
            ("transcript", True),
            ("agent_state", None),
        ]
        assert len({event["turn_id"] for event in events}) == 1

    def test_a_final_that_does_not_come_holds_nothing_up(self) -> None:
        one = watched("listening")
        one.state("speaking", AT)
        one.release()
        one.state("listening", AT + 1)
        one.heard("bob", "SG_1", "What", AT + 3, is_final=False)
        one.state("thinking", AT + 3.1)
        one.state("speaking", AT + 3.2)
        assert kinds(one.settle()) == ["transcript", "agent_state", "agent_state", "agent_speech_started"]

    def test_a_first_message_that_reaches_everybody_is_not_the_beginning_of_others(self) -> None:
        one = watched()
        one.message(*state(AT, "initializing", "listening"))
        one.state("listening", AT + 0.01)
        one.release()
        assert kinds(one.state("thinking", AT + 4)) == ["agent_state"]

    def test_messages_that_come_after_all_are_not_told_twice(self) -> None:
        one = watched("listening")
        one.state("thinking", AT)
        one.release()
        one.message(*state(AT + 3, "thinking", "listening"))
        one.message(*state(AT + 4, "listening", "thinking"))
        events = one.heard("alice", "SG_1", "Hi.", AT + 5, is_final=True)
        heard = Report.UserInputTranscribed(transcript="Hi.", is_final=True)
        events += one.message(*message(AT + 5.01, user_input_transcribed=heard))
        events += one.message(*state(AT + 6, "listening", "speaking"))
        assert [event["text"] for event in events if event["type"] == "transcript"] == ["Hi."]
        assert kinds(events)[-1] == "agent_speech_started"
