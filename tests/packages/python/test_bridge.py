"""Every row of the bridge's table, with LiveKit's own payload types. Covers `streaming_hub_client.turn`."""

from __future__ import annotations

import asyncio
import json
from typing import Any, get_args

import pytest
from livekit.agents import llm, stt, tts
from livekit.agents.metrics import AgentSessionUsage, LLMModelUsage, STTModelUsage
from livekit.agents.voice import events as lk
from livekit.agents.voice.speech_handle import SpeechHandle
from streaming_hub_client import bridge
from streaming_hub_client.conversation import CALLS_REMEMBERED, Conversation, Event

DELIBERATELY_NOT_SENT = {
    "overlapping_speech",  # LiveKit's cloud only
    "function_tools_executed",  # says again what tool_execution_updated said
    "metrics_collected",  # deprecated, warns when subscribed
    "debug_message",
}


async def make_handle() -> SpeechHandle:
    return SpeechHandle.create()  # belongs to an event loop


class Session:
    """Feeds payloads to the bridge and keeps what comes out."""

    def __init__(self) -> None:
        self.memory = Conversation("S1", "room-1", user="alice", agent="bot")
        self.events: list[Event] = []

    def feed(self, payload: Any) -> list[Event]:
        events = bridge.translate(self.memory, payload.type, payload)
        self.events += events
        return events

    def user(self, new: Any, at: float, old: Any = "listening") -> list[Event]:
        return self.feed(lk.UserStateChangedEvent(old_state=old, new_state=new, created_at=at))

    def agent(self, new: Any, at: float, old: Any = "listening") -> list[Event]:
        return self.feed(lk.AgentStateChangedEvent(old_state=old, new_state=new, created_at=at))

    def heard(self, text: str, at: float, *, final: bool = False, **fields: Any) -> list[Event]:
        return self.feed(
            lk.UserInputTranscribedEvent(transcript=text, is_final=final, created_at=at, **fields)
        )

    def message(self, role: Any, text: str, at: float, **fields: Any) -> list[Event]:
        item = llm.ChatMessage(role=role, content=[text], **fields)
        return self.feed(lk.ConversationItemAddedEvent(item=item, created_at=at))

    def words(self, text: str, at: float) -> list[Event]:
        events = bridge.agent_words(self.memory, text, at)
        self.events += events
        return events

    def speech(self, at: float, *, user_initiated: bool = True) -> list[Event]:
        return self.feed(
            lk.SpeechCreatedEvent(
                user_initiated=user_initiated,
                source="generate_reply",
                speech_handle=asyncio.run(make_handle()),
                created_at=at,
            )
        )

    def tool(self, update: Any, at: float) -> list[Event]:
        return self.feed(lk.ToolExecutionUpdatedEvent(update=update, created_at=at))

    def close(self, reason: lk.CloseReason, at: float, error: Any = None) -> list[Event]:
        return self.feed(lk.CloseEvent(reason=reason, error=error, created_at=at))

    def greet(self) -> None:
        self.speech(1.0)
        self.agent("thinking", 1.1)
        self.agent("speaking", 1.5, "thinking")
        self.words("Hello there", 1.7)
        self.message("assistant", "Hello there", 2.0)
        self.agent("listening", 2.01, "speaking")

    def ask(self, text: str, at: float) -> None:
        self.user("speaking", at)
        self.heard(text, at + 0.5)
        self.user("listening", at + 0.8, "speaking")
        self.heard(text, at + 1.0, final=True)
        self.speech(at + 1.01)
        self.message("user", text, at + 1.1)

    def of_type(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]


@pytest.fixture
def session() -> Session:
    return Session()


def only(events: list[Event], kind: str) -> Event:
    found = [event for event in events if event["type"] == kind]
    assert len(found) == 1, events
    return found[0]


def test_every_livekit_event_has_a_row_or_is_left_out_on_purpose() -> None:
    known = set(get_args(lk.EventTypes))
    assert set(bridge.TABLE) <= known, "a misspelt name would be accepted by LiveKit and never fire"
    assert known - set(bridge.TABLE) == DELIBERATELY_NOT_SENT


def test_an_event_without_a_row_is_refused(session: Session) -> None:
    with pytest.raises(KeyError):
        bridge.translate(session.memory, "no_such_event", lk.CloseEvent(reason=lk.CloseReason.ERROR))


class TestSession:
    def test_the_first_event_is_preceded_by_session_started(self, session: Session) -> None:
        first = session.agent("listening", 5.0, "initializing")
        second = session.agent("thinking", 6.0)
        assert [event["type"] for event in first] == ["session_started", "agent_state"]
        assert first[0] == {
            "type": "session_started",
            "timestamp": 5.0,
            "room": "room-1",
            "session_id": "S1",
        }
        assert "session_started" not in [event["type"] for event in second]

    def test_close_ends_it_with_livekits_reason(self, session: Session) -> None:
        session.greet()
        ended = session.close(lk.CloseReason.PARTICIPANT_DISCONNECTED, 9.0)
        assert [event["type"] for event in ended] == ["session_ended"]
        assert ended[0]["reason"] == "participant_disconnected"

    def test_a_known_cause_replaces_livekits_reason(self, session: Session) -> None:
        session.memory.end_reason = "agent_stopped"
        ended = session.close(lk.CloseReason.USER_INITIATED, 9.0)
        assert only(ended, "session_ended")["reason"] == "agent_stopped"

    def test_an_error_stays_the_reason_and_says_what_it_was(self, session: Session) -> None:
        session.memory.end_reason = "agent_stopped"
        error = llm.LLMError(timestamp=1.0, label="x", error=RuntimeError("no model"), recoverable=False)
        ended = only(session.close(lk.CloseReason.ERROR, 9.0, error), "session_ended")
        assert (ended["reason"], ended["source"]) == ("error", "llm")
        assert ended["message"] == "RuntimeError('no model')"

    def test_nothing_follows_the_end(self, session: Session) -> None:
        session.close(lk.CloseReason.USER_INITIATED, 9.0)
        assert session.agent("listening", 10.0, "speaking") == []
        assert session.words("late", 10.0) == []

    def test_speech_that_is_open_at_the_end_is_finished_and_its_words_made_final(
        self, session: Session
    ) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "thinking")
        session.words("Hello", 1.7)
        ended = session.close(lk.CloseReason.USER_INITIATED, 2.0)
        assert [event["type"] for event in ended] == [
            "agent_speech_finished",
            "transcript",
            "session_ended",
        ]
        final = only(ended, "transcript")
        assert (final["text"], final["is_final"], final["interrupted"]) == ("Hello", True, True)

    def test_speech_that_the_closing_cut_is_interrupted(self, session: Session) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "thinking")
        session.words("Hello", 1.7)
        session.memory.end_reason = "agent_stopped"
        finished = session.agent("listening", 2.0, "speaking")
        final = only(session.close(lk.CloseReason.JOB_SHUTDOWN, 2.1), "transcript")
        assert only(finished, "agent_speech_finished")["interrupted"] is True
        assert session.of_type("interruption") == [], "the end of a session is nobody's interruption"
        assert (final["text"], final["interrupted"]) == ("Hello", True)

    def test_words_without_a_message_at_the_end_were_cut(self, session: Session) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "thinking")
        session.words("Hello", 1.7)
        session.agent("listening", 2.0, "speaking")
        assert only(session.close(lk.CloseReason.USER_INITIATED, 2.1), "transcript")["interrupted"] is True

    def test_timestamps_never_fall_behind(self, session: Session) -> None:
        session.agent("listening", 10.0, "initializing")
        started = only(session.user("speaking", 9.4), "user_speech_started")
        assert started["timestamp"] == 10.0
        assert started["started_at"] == 9.4
        session.greet()
        session.ask("What time is it?", 3.0)
        times = [event["timestamp"] for event in session.events]
        assert times == sorted(times)

    def test_created_at_is_the_timestamp_where_it_is_later(self, session: Session) -> None:
        assert session.heard("Hi", 7.25)[-1]["timestamp"] == 7.25


class TestStates:
    def test_user_state_and_speech(self, session: Session) -> None:
        session.agent("listening", 1.0, "initializing")
        started = session.user("speaking", 2.0)
        finished = session.user("listening", 3.0, "speaking")
        assert [event["type"] for event in started] == ["user_state", "user_speech_started"]
        assert [event["type"] for event in finished] == ["user_state", "user_speech_finished"]
        assert (started[0]["state"], started[0]["previous"]) == ("speaking", "listening")
        assert (finished[0]["state"], finished[0]["previous"]) == ("listening", "speaking")
        assert finished[1]["stopped_at"] == 3.0
        assert len({event["turn_id"] for event in started + finished}) == 1
        assert {event["participant"] for event in started + finished} == {"alice"}
        assert {event["role"] for event in started + finished} == {"user"}

    def test_away_is_a_state_without_speech(self, session: Session) -> None:
        session.agent("listening", 1.0, "initializing")
        assert [event["type"] for event in session.user("away", 16.0)] == ["user_state"]

    def test_agent_state_carries_the_previous_one(self, session: Session) -> None:
        state = only(session.agent("thinking", 2.0, "listening"), "agent_state")
        assert (state["state"], state["previous"]) == ("thinking", "listening")
        assert (state["role"], state["participant"]) == ("agent", "bot")

    def test_speech_starts_and_finishes_with_the_speaking_state(self, session: Session) -> None:
        session.greet()
        started, finished = (
            only(session.events, "agent_speech_started"),
            only(session.events, "agent_speech_finished"),
        )
        assert (started["timestamp"], finished["timestamp"]) == (1.5, 2.01)
        assert finished["interrupted"] is False
        assert started["turn_id"] == finished["turn_id"]
        assert session.of_type("interruption") == []

    def test_speech_that_ends_while_the_user_speaks_but_was_complete_is_not_interrupted(
        self, session: Session
    ) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "thinking")
        session.user("speaking", 1.9)
        session.message("assistant", "Hello", 2.0)
        assert (
            only(session.agent("listening", 2.0, "speaking"), "agent_speech_finished")["interrupted"] is False
        )

    def test_an_interruption_by_code_is_reported_by_the_message(self, session: Session) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "thinking")
        session.message("assistant", "Hel", 2.0, interrupted=True)
        events = session.agent("listening", 2.1, "speaking")
        assert only(events, "agent_speech_finished")["interrupted"] is True
        assert only(events, "interruption")["interrupted_at"] == 2.1

    def test_a_false_interruption_resumes_in_the_same_turn(self, session: Session) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "thinking")
        session.words("One", 1.6)
        session.user("speaking", 2.0)
        session.agent("listening", 2.5, "speaking")
        session.user("listening", 2.6, "speaking")
        event = lk.AgentFalseInterruptionEvent(resumed=True, created_at=4.5)
        false_alarm = only(session.feed(event), "agent_false_interruption")
        session.agent("speaking", 4.5)
        session.words(" two", 4.6)
        session.message("assistant", "One two", 5.0)
        finished = session.agent("listening", 5.0, "speaking")
        assert false_alarm["resumed"] is True
        assert only(finished, "agent_speech_finished")["interrupted"] is False
        agent_words = session.of_type("transcript")
        assert len({(event["turn_id"], event["segment_id"]) for event in agent_words}) == 1
        assert agent_words[-1]["text"] == "One two"
        assert "interrupted_at" not in agent_words[-1]
        assert len({event["turn_id"] for event in session.of_type("agent_speech_started")}) == 1


class TestUserWords:
    def test_interims_share_the_finals_segment_and_turn(self, session: Session) -> None:
        session.user("speaking", 1.0)
        session.heard("What", 1.2)
        session.heard("What time", 1.4)
        session.heard("What time?", 2.0, final=True, language="en")
        words = session.of_type("transcript")
        assert [(event["text"], event["is_final"]) for event in words] == [
            ("What", False),
            ("What time", False),
            ("What time?", True),
        ]
        assert len({(event["segment_id"], event["turn_id"]) for event in words}) == 1
        assert words[-1]["role"] == "user"
        assert words[-1]["participant"] == "alice"
        assert words[-1]["language"] == "en"

    def test_two_finals_of_one_utterance_are_two_segments_of_one_turn(self, session: Session) -> None:
        session.heard("Hello.", 1.0, final=True)
        session.heard("What time is it?", 2.0, final=True)
        first, second = session.of_type("transcript")
        assert first["turn_id"] == second["turn_id"]
        assert first["segment_id"] != second["segment_id"]

    def test_empty_words_send_nothing(self, session: Session) -> None:
        assert [event["type"] for event in session.heard("", 1.0)] == ["session_started"]
        assert session.heard("  ", 1.0, final=True) == []

    def test_an_empty_final_closes_the_segment_it_belongs_to(self, session: Session) -> None:
        session.heard("Mm", 1.0)
        final = only(session.heard("", 1.5, final=True), "transcript")
        assert (final["text"], final["is_final"]) == ("", True)

    def test_the_speaker_id_is_passed_on(self, session: Session) -> None:
        assert only(session.heard("Hi", 1.0, speaker_id="S2"), "transcript")["speaker_id"] == "S2"

    def test_a_typed_message_becomes_a_final_transcript(self, session: Session) -> None:
        events = session.message("user", "typed", 1.0)
        final = only(events, "transcript")
        assert (final["text"], final["role"], final["is_final"]) == ("typed", "user", True)

    def test_a_spoken_message_is_not_sent_twice(self, session: Session) -> None:
        session.ask("What time is it?", 1.0)
        assert len([event for event in session.of_type("transcript") if event["is_final"]]) == 1

    def test_words_known_only_from_an_interim_become_final_with_their_message(self, session: Session) -> None:
        session.heard("Is there", 1.0, final=True)
        session.heard("park", 1.5)
        final = only(
            session.message("user", "Is there parking?", 2.0, transcript_confidence=0.9), "transcript"
        )
        assert (final["text"], final["is_final"]) == ("parking?", True)
        assert final["segment_id"] == session.of_type("transcript")[1]["segment_id"]

    def test_words_of_another_item_close_those_before(self, session: Session) -> None:
        session.heard("Please cancel my", 1.0, item_id="i1")
        events = session.heard("The one", 2.0, item_id="i2")
        assert [(e["text"], e["is_final"]) for e in events] == [
            ("Please cancel my", True),
            ("The one", False),
        ]
        assert events[0]["segment_id"] != events[1]["segment_id"]

    def test_a_realtime_models_answer_closes_the_question_first(self, session: Session) -> None:
        session.heard("Please cancel my", 1.0, item_id="i1")
        session.speech(1.5, user_initiated=False)
        events = session.agent("speaking", 2.0)
        assert (events[0]["type"], events[0]["is_final"]) == ("transcript", True)
        assert events[0]["turn_id"] == events[1]["turn_id"]

    def test_speech_without_words(self, session: Session) -> None:
        event = lk.UserTranscriptionTimeoutEvent(
            speech_duration=1.5, vad_speech_started_at=2.0, created_at=6.0
        )
        sent = only(session.feed(event), "user_transcription_timeout")
        assert (sent["speech_duration"], sent["started_at"]) == (1.5, 2.0)


class TestAgentWords:
    def test_interims_grow_and_share_the_finals_segment(self, session: Session) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "thinking")
        for word in ("It", " is", " noon."):
            session.words(word, 1.6)
        session.message("assistant", "It is noon.", 2.0)
        words = session.of_type("transcript")
        assert [event["text"] for event in words] == ["It", "It is", "It is noon.", "It is noon."]
        assert [event["is_final"] for event in words] == [False, False, False, True]
        assert len({(event["segment_id"], event["turn_id"]) for event in words}) == 1
        assert {event["participant"] for event in words} == {"bot"}
        assert words[-1]["interrupted"] is False

    def test_the_finals_text_is_the_messages_not_the_taps(self, session: Session) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "thinking")
        session.words("It is noon", 1.6)
        final = only(session.message("assistant", "It is", 2.0, interrupted=True), "transcript")
        assert (final["text"], final["interrupted"]) == ("It is", True)

    def test_a_word_after_the_final_is_dropped(self, session: Session) -> None:
        session.greet()
        assert session.words(" late", 2.1) == []

    def test_empty_words_are_dropped(self, session: Session) -> None:
        session.agent("speaking", 1.5, "thinking")
        assert session.words("", 1.6) == []

    def test_a_message_without_tapped_words_still_gets_its_final(self, session: Session) -> None:
        session.speech(1.0)
        started = only(session.agent("speaking", 1.5, "thinking"), "agent_speech_started")
        final = only(session.message("assistant", "Hello", 2.0), "transcript")
        assert final["turn_id"] == started["turn_id"]

    def test_words_that_no_message_follows_get_a_final_when_the_next_speech_starts(
        self, session: Session
    ) -> None:
        session.speech(1.0)
        session.agent("speaking", 1.5, "listening")
        session.words("Aside", 1.6)
        session.agent("listening", 2.0, "speaking")
        session.speech(3.0)
        events = session.agent("speaking", 3.5, "listening")
        final = only(events, "transcript")
        assert (final["text"], final["is_final"]) == ("Aside", True)
        assert final["turn_id"] != only(events, "agent_speech_started")["turn_id"]

    def test_expressive_markup_is_not_shown(self, session: Session) -> None:
        session.agent("speaking", 1.5, "thinking")
        final = only(session.message("assistant", '<expr type="laugh"/>Hi', 2.0), "transcript")
        assert final["text"] == "Hi"

    def test_system_messages_are_not_sent(self, session: Session) -> None:
        session.agent("listening", 1.0, "initializing")
        assert session.message("system", "secret instructions", 2.0) == []


class TestTurns:
    def test_a_greeting_is_a_turn_of_its_own(self, session: Session) -> None:
        session.greet()
        greeting = {event["turn_id"] for event in session.of_type("transcript")}
        session.ask("What time is it?", 3.0)
        user = {event["turn_id"] for event in session.of_type("transcript") if event["role"] == "user"}
        assert (len(greeting), len(user)) == (1, 1)
        assert greeting != user

    def test_question_tool_answer_and_metrics_share_a_turn(self, session: Session) -> None:
        session.greet()
        before = len(session.events)
        session.ask("What time is it?", 3.0)
        session.agent("thinking", 4.2)
        call = llm.FunctionCall(call_id="c1", name="current_time", arguments='{"time_zone": "UTC"}')
        session.tool(lk.ToolCallStarted(function_call=call), 4.3)
        session.tool(lk.ToolCallEnded(id="c1", call_id="c1", message="noon", status="done"), 4.4)
        session.agent("speaking", 4.8, "thinking")
        session.words("Noon.", 4.9)
        session.message("assistant", "Noon.", 5.5, metrics={"e2e_latency": 1.0})
        session.agent("listening", 5.6, "speaking")
        turns = {event["turn_id"] for event in session.events[before:]}
        assert len(turns) == 1

    def test_speech_before_and_after_a_tool_is_one_turn_with_two_segments(self, session: Session) -> None:
        session.ask("What time is it?", 3.0)
        session.agent("thinking", 4.2)
        session.agent("speaking", 4.4, "thinking")
        session.words("Let me look.", 4.5)
        session.message("assistant", "Let me look.", 4.9)
        session.agent("thinking", 4.9, "speaking")
        session.agent("speaking", 5.4, "thinking")
        session.words("Noon.", 5.5)
        session.message("assistant", "Noon.", 5.9)
        finals = [e for e in session.of_type("transcript") if e["role"] == "agent" and e["is_final"]]
        assert len({event["turn_id"] for event in finals}) == 1
        assert len({event["segment_id"] for event in finals}) == 2

    def test_an_interrupted_answer_keeps_its_turn_although_it_arrives_after_the_next_words(
        self, session: Session
    ) -> None:
        session.ask("Tell me a story", 1.0)
        session.agent("thinking", 2.2)
        session.agent("speaking", 2.5, "thinking")
        session.words("Once upon a", 3.0)
        session.user("speaking", 3.5)
        session.heard("Stop", 3.8)
        cut = session.agent("listening", 4.0, "speaking")
        session.user("listening", 4.2, "speaking")
        session.heard("Stop it", 4.8, final=True)
        session.speech(4.81)
        late = session.message("assistant", "Once upon", 4.82, interrupted=True, metrics={"e2e_latency": 1})
        session.message("user", "Stop it", 4.9)
        session.agent("thinking", 4.91)
        answer = only(session.agent("speaking", 5.3, "thinking"), "agent_speech_started")

        users = [event for event in session.of_type("transcript") if event["role"] == "user"]
        story, stop = users[0]["turn_id"], users[-1]["turn_id"]
        assert story != stop
        assert only(cut, "agent_speech_finished")["interrupted"] is True
        assert only(cut, "interruption") == {
            "type": "interruption",
            "timestamp": 4.0,
            "room": "room-1",
            "session_id": "S1",
            "turn_id": story,
            "role": "agent",
            "participant": "bot",
            "interrupted_at": 4.0,
        }
        final = only(late, "transcript")
        assert (final["turn_id"], final["text"], final["interrupted"]) == (story, "Once upon", True)
        assert (final["timestamp"], final["interrupted_at"]) == (4.82, 4.0)
        assert only(late, "turn_metrics")["turn_id"] == story
        assert answer["turn_id"] == stop

    def test_words_during_thinking_open_the_next_turn(self, session: Session) -> None:
        session.ask("What time is it", 1.0)
        session.agent("thinking", 2.2)
        session.heard("in Paris", 2.5, final=True)
        first, second = [event for event in session.of_type("transcript") if event["is_final"]]
        assert first["turn_id"] != second["turn_id"]

    def test_noise_leaves_its_turn_to_the_next_words(self, session: Session) -> None:
        noise = only(session.user("speaking", 1.0), "user_speech_started")
        session.user("listening", 1.2, "speaking")
        session.user("speaking", 5.0)
        words = only(session.heard("Hello", 5.5), "transcript")
        assert words["turn_id"] == noise["turn_id"]

    def test_a_speech_of_the_agents_own_is_a_new_turn(self, session: Session) -> None:
        session.greet()
        session.speech(20.0)
        started = only(session.agent("speaking", 20.5), "agent_speech_started")
        assert started["turn_id"] != session.of_type("agent_speech_started")[0]["turn_id"]

    def test_an_answered_turn_is_not_answered_again(self, session: Session) -> None:
        session.ask("What time is it?", 1.0)
        session.agent("speaking", 2.5)
        session.message("assistant", "Noon.", 3.0)
        session.agent("listening", 3.0, "speaking")
        answered = session.of_type("agent_speech_started")[-1]["turn_id"]
        session.speech(10.0)
        session.agent("speaking", 10.5)
        session.agent("listening", 11.0, "speaking")
        session.agent("thinking", 12.0)
        assert answered not in {event["turn_id"] for event in session.of_type("agent_state")[-3:]}

    def test_a_realtime_models_answer_belongs_to_the_speech_it_answers(self, session: Session) -> None:
        started = only(session.user("speaking", 1.0), "user_speech_started")
        session.user("listening", 2.0, "speaking")
        session.speech(2.1, user_initiated=False)
        answer = only(session.agent("speaking", 2.2), "agent_speech_started")
        assert answer["turn_id"] == started["turn_id"]

    def test_a_realtime_model_that_speaks_about_a_tools_result_stays_in_the_turn(
        self, session: Session
    ) -> None:
        session.heard("How is the weather?", 1.0, final=True, item_id="i1")
        session.message("user", "How is the weather?", 1.0, id="i1", transcript_confidence=1.0)
        session.speech(1.1, user_initiated=False)
        call = llm.FunctionCall(call_id="c1", name="weather", arguments="{}")
        asked = only(session.tool(lk.ToolCallStarted(function_call=call), 1.2), "tool_call_started")
        session.tool(lk.ToolCallEnded(id="c1", call_id="c1", message="sunny", status="done"), 1.3)
        session.speech(1.4, user_initiated=False)
        assert only(session.agent("speaking", 1.5), "agent_speech_started")["turn_id"] == asked["turn_id"]

    def test_turn_and_segment_ids_begin_with_the_session(self, session: Session) -> None:
        session.ask("Hello", 1.0)
        for event in session.of_type("transcript"):
            assert event["turn_id"].startswith("S1.")
            assert event["segment_id"].startswith("S1.")


class TestTools:
    def call(self, arguments: str = '{"city": "Paris"}') -> lk.ToolCallStarted:
        call = llm.FunctionCall(call_id="c1", name="weather", arguments=arguments)
        return lk.ToolCallStarted(function_call=call)

    def test_started_updated_finished(self, session: Session) -> None:
        session.ask("How is the weather?", 1.0)
        started = only(session.tool(self.call(), 3.0), "tool_call_started")
        update = lk.ToolCallUpdated(id="c1", call_id="c1", message="looking", silent=False)
        updated = only(session.tool(update, 3.5), "tool_call_updated")
        end = lk.ToolCallEnded(id="c1", call_id="c1", message="sunny", status="done")
        finished = only(session.tool(end, 4.25), "tool_call_finished")
        assert (started["call_id"], started["name"]) == ("c1", "weather")
        assert started["arguments"] == {"city": "Paris"}
        assert (updated["call_id"], updated["message"]) == ("c1", "looking")
        assert (finished["status"], finished["output"], finished["duration"]) == ("done", "sunny", 1.25)
        assert finished["name"] == "weather"
        assert started["turn_id"] == updated["turn_id"] == finished["turn_id"]

    @pytest.mark.parametrize("status", ["error", "cancelled"])
    def test_a_call_that_fails_says_so(self, session: Session, status: Any) -> None:
        session.tool(self.call(), 3.0)
        end = lk.ToolCallEnded(id="c1", call_id="c1", message=None, status=status)
        finished = only(session.tool(end, 4.0), "tool_call_finished")
        assert (finished["status"], finished["output"]) == (status, None)

    @pytest.mark.parametrize("text", ["{not json", '{"x": NaN}', '{"x": Infinity}'])
    def test_arguments_that_are_not_json_stay_text(self, session: Session, text: str) -> None:
        started = only(session.tool(self.call(text), 3.0), "tool_call_started")
        assert started["arguments"] == text
        json.dumps(started, allow_nan=False)

    def test_a_reply_that_was_put_off_belongs_to_the_calls_turn(self, session: Session) -> None:
        session.ask("How is the weather?", 1.0)
        turn = only(session.tool(self.call(), 3.0), "tool_call_started")["turn_id"]
        session.tool(lk.ToolCallEnded(id="c1_final", call_id="c1", message="sunny", status="done"), 9.0)
        session.ask("And the time?", 10.0)
        session.agent("speaking", 11.5)
        session.agent("listening", 12.0, "speaking")
        session.speech(13.0)
        scheduled = lk.ToolReplyUpdated(update_ids=["c1_final"], status="scheduled", speech_id="sp1")
        assert session.tool(scheduled, 13.0) == []
        assert only(session.agent("speaking", 13.5), "agent_speech_started")["turn_id"] == turn

    def test_calls_are_not_remembered_forever(self, session: Session) -> None:
        for number in range(CALLS_REMEMBERED + 10):
            call = llm.FunctionCall(call_id=f"c{number}", name="weather", arguments="{}")
            session.tool(lk.ToolCallStarted(function_call=call), 3.0)
        assert len(session.memory.tools) == CALLS_REMEMBERED


class TestFigures:
    def test_metrics_keep_livekits_names(self, session: Session) -> None:
        session.user("speaking", 1.0)
        session.heard("Hi", 2.0, final=True)
        report: llm.MetricsReport = {"transcription_delay": 0.5, "end_of_turn_delay": 0.6}
        user = only(session.message("user", "Hi", 2.1, metrics=report), "turn_metrics")
        session.agent("speaking", 3.0, "thinking")
        report = {"llm_node_ttft": 0.2, "tts_node_ttfb": 0.1, "e2e_latency": 1.4}
        answer = session.message("assistant", "Hello", 4.0, metrics=report)
        agent = only(answer, "turn_metrics")
        assert (user["role"], user["transcription_delay"], user["end_of_turn_delay"]) == ("user", 0.5, 0.6)
        assert (agent["role"], agent["llm_node_ttft"], agent["e2e_latency"]) == ("agent", 0.2, 1.4)
        assert agent["turn_id"] == user["turn_id"]
        assert agent["segment_id"] == only(answer, "transcript")["segment_id"]

    def test_no_metrics_no_event(self, session: Session) -> None:
        assert session.message("assistant", "Hello", 2.0)[-1]["type"] == "transcript"

    def usage(self, tokens: int, at: float) -> lk.SessionUsageUpdatedEvent:
        models: list[Any] = [
            LLMModelUsage(provider="openai", model="m", input_tokens=tokens),
            STTModelUsage(provider="openai", model="s", audio_duration=1.5),
        ]
        return lk.SessionUsageUpdatedEvent(usage=AgentSessionUsage(model_usage=models), created_at=at)

    def test_usage_is_sent_only_when_it_changed(self, session: Session) -> None:
        first = only(session.feed(self.usage(10, 1.0)), "usage")
        assert session.feed(self.usage(10, 2.0)) == []
        second = only(session.feed(self.usage(12, 3.0)), "usage")
        assert [use["input_tokens"] for use in (first["model_usage"][0], second["model_usage"][0])] == [
            10,
            12,
        ]
        assert first["model_usage"][1]["audio_duration"] == 1.5


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "source"), [(llm.LLMError, "llm"), (stt.STTError, "stt"), (tts.TTSError, "tts")]
    )
    def test_an_error_says_what_and_where(self, session: Session, kind: Any, source: str) -> None:
        cause = kind(timestamp=1.0, label="openai.X", error=ValueError("bad key"), recoverable=True)
        sent = only(session.feed(lk.ErrorEvent(error=cause, source=object(), created_at=2.0)), "error")
        assert sent["source"] == source
        assert sent["message"] == "ValueError('bad key')"
        assert sent["recoverable"] is True
        assert sent["label"] == "openai.X"

    def test_an_error_whose_text_cannot_be_read_is_reported_as_well(self, session: Session) -> None:
        class Odd(Exception):
            def __repr__(self) -> str:
                raise ZeroDivisionError

        cause = llm.LLMError(timestamp=1.0, label="x", error=Odd(), recoverable=False)
        sent = only(session.feed(lk.ErrorEvent(error=cause, source=object(), created_at=2.0)), "error")
        ended = only(session.close(lk.CloseReason.ERROR, 9.0, cause), "session_ended")
        assert sent["message"] == ended["message"] == "[Odd cannot be read: ZeroDivisionError]"

    def test_a_bare_exception_is_reported_as_well(self, session: Session) -> None:
        event = lk.ErrorEvent(error=RuntimeError("boom"), source="custom", created_at=2.0)
        sent = only(session.feed(event), "error")
        assert (sent["source"], sent["message"], sent["recoverable"]) == (
            "RuntimeError",
            "RuntimeError('boom')",
            False,
        )


class TestHandoff:
    def test_a_handoff_names_both_agents(self, session: Session) -> None:
        item = llm.AgentHandoff(old_agent_id="greeter", new_agent_id="clerk")
        sent = only(session.feed(lk.ConversationItemAddedEvent(item=item, created_at=2.0)), "handoff")
        assert (sent["old_agent"], sent["new_agent"]) == ("greeter", "clerk")

    def test_the_first_agent_is_no_handoff(self, session: Session) -> None:
        item = llm.AgentHandoff(new_agent_id="assistant")
        sent = session.feed(lk.ConversationItemAddedEvent(item=item, created_at=2.0))
        assert [event["type"] for event in sent] == ["session_started"]


def test_everything_can_be_written_as_json(session: Session) -> None:
    session.greet()
    session.ask("Hello", 3.0)
    session.agent("speaking", 5.0)
    session.message("assistant", "Hi", 6.0, metrics={"llm_metadata": {"model_name": "m"}})
    session.close(lk.CloseReason.JOB_SHUTDOWN, 7.0)
    for event in session.events:
        assert json.loads(json.dumps(event, allow_nan=False)) == event
        assert event["session_id"] == "S1"
        assert event["room"] == "room-1"
