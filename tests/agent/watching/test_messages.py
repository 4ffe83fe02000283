"""LiveKit's session messages as payloads of the bridge, against what LiveKit's own encoder makes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from livekit.agents._proto import encode_chat_item, encode_session_usage
from livekit.agents.llm import AgentHandoff, ChatMessage, LLMError
from livekit.agents.metrics import AgentSessionUsage, LLMModelUsage
from livekit.protocol.agent_pb import agent_session as pb

from agent.watching.messages import Messages, seconds

AT = 1795429986.25
Event = pb.AgentSessionEvent


def read(event: pb.AgentSessionEvent | bytes, unknown: Counter[str] | None = None) -> list[tuple[str, Any]]:
    if not isinstance(event, bytes):
        event.created_at.FromNanoseconds(int(AT * 1e9))
        event = pb.AgentSessionMessage(event=event).SerializeToString()
    return Messages(Counter() if unknown is None else unknown).read(event, AT)


def test_states_are_named_as_livekit_names_them() -> None:
    told = Event(
        agent_state_changed=Event.AgentStateChanged(old_state=pb.AS_INITIALIZING, new_state=pb.AS_SPEAKING)
    )
    ((name, payload),) = read(told)
    assert (name, payload.old_state, payload.new_state) == ("agent_state_changed", "initializing", "speaking")
    assert payload.created_at == pytest.approx(AT, abs=1e-6)
    told = Event(user_state_changed=Event.UserStateChanged(old_state=pb.US_SPEAKING, new_state=pb.US_AWAY))
    ((name, payload),) = read(told)
    assert (name, payload.old_state, payload.new_state) == ("user_state_changed", "speaking", "away")


def test_a_message_has_its_words_and_metrics() -> None:
    message = ChatMessage(
        id="item_1",
        role="assistant",
        content=["One.", "Two."],
        interrupted=True,
        metrics={"e2e_latency": 0.5, "started_speaking_at": AT},
    )
    told = Event(conversation_item_added=Event.ConversationItemAdded(item=encode_chat_item(message)))
    ((name, payload),) = read(told)
    item = payload.item
    assert (name, item.type, item.id, item.role) == (
        "conversation_item_added",
        "message",
        "item_1",
        "assistant",
    )
    assert (item.text_content, item.interrupted, item.transcript_confidence) == (
        message.text_content,
        True,
        None,
    )
    assert item.metrics == pytest.approx({"e2e_latency": 0.5, "started_speaking_at": AT})


@pytest.mark.parametrize("old", [None, "greeter"])
def test_a_handoff_names_both_agents(old: str | None) -> None:
    item = encode_chat_item(AgentHandoff(old_agent_id=old, new_agent_id="clerk"))
    ((_, payload),) = read(Event(conversation_item_added=Event.ConversationItemAdded(item=item)))
    assert (payload.item.old_agent_id, payload.item.new_agent_id) == (old, "clerk")


def test_usage_is_what_livekits_model_dumps() -> None:
    usage = LLMModelUsage(provider="p", model="m", input_tokens=3, output_tokens=4)
    encoded = encode_session_usage(AgentSessionUsage(model_usage=[usage]))
    ((_, payload),) = read(Event(session_usage_updated=Event.SessionUsageUpdated(usage=encoded)))
    (found,) = payload.usage.model_usage
    assert found.model_dump().items() <= usage.model_dump().items()


def test_an_error_is_read_from_livekits_text() -> None:
    cause = LLMError(timestamp=AT, label="openai.LLM", error=ValueError("boom"), recoverable=True)
    ((_, payload),) = read(Event(error=Event.Error(message=str(cause))))
    told = payload.error
    assert (told.type, told.label, told.recoverable) == ("llm_error", "openai.LLM", True)
    assert "boom" in repr(told.error)
    ((_, payload),) = read(Event(error=Event.Error(message="something else")))
    assert (payload.error.recoverable, repr(payload.error.error)) == (False, "something else")


def test_calls_that_are_only_summed_up_are_told_once() -> None:
    messages = Messages(Counter())
    updated = Event.ToolExecutionUpdated
    started = Event(
        tool_execution_updated=updated(
            started=updated.Started(function_call=pb.FunctionCall(call_id="a", name="x"))
        )
    )
    summed = Event(
        function_tools_executed=Event.FunctionToolsExecuted(
            function_calls=[
                pb.FunctionCall(call_id="a", name="x"),
                pb.FunctionCall(call_id="b", name="y", arguments="{}"),
            ],
            function_call_outputs=[pb.FunctionCallOutput(call_id="b", output="no", is_error=True)],
        )
    )
    told = [
        payload.update
        for event in (started, summed)
        for _, payload in messages.read(pb.AgentSessionMessage(event=event).SerializeToString(), AT)
    ]
    assert [update.type for update in told] == ["tool_call_started", "tool_call_started", "tool_call_ended"]
    assert (told[1].function_call.name, told[2].status, told[2].message) == ("y", "error", "no")


@pytest.mark.parametrize(("told", "taken"), [(0, AT), (2**40, AT), (-(2**40), AT), (AT - 3600, AT - 3600)])
def test_a_time_that_no_clock_shows_is_that_of_the_arrival(told: float, taken: float) -> None:
    event = Event(user_input_transcribed=Event.UserInputTranscribed(transcript="a"))
    event.created_at.seconds, event.created_at.nanos = int(told // 1), int(told % 1 * 1e9)
    data = pb.AgentSessionMessage(event=event).SerializeToString()
    ((_, payload),) = Messages(Counter()).read(data, AT)
    assert payload.created_at == taken


def test_what_is_not_known_is_counted_and_left_out() -> None:
    unknown: Counter[str] = Counter()
    assert read(b"\xff\xff", unknown) == []
    field = b"\xa2\x06\x03abc"  # number 100, a string
    whole = (
        Event(agent_state_changed=Event.AgentStateChanged(new_state=pb.AS_IDLE)).SerializeToString() + field
    )
    message = pb.AgentSessionMessage(event=Event.FromString(whole)).SerializeToString() + field
    assert [name for name, _ in read(message, unknown)] == ["agent_state_changed"]
    assert read(Event(agent_state_changed=Event.AgentStateChanged(new_state=77)), unknown) == []
    assert read(Event.FromString(field), unknown) == []
    assert unknown == {
        "undecodable": 1,
        "AgentSessionMessage.100": 1,
        "AgentSessionEvent.100": 2,
        "AgentState": 1,
    }


def test_questions_and_answers_are_none_of_its_business() -> None:
    unknown: Counter[str] = Counter()
    for message in (
        pb.AgentSessionMessage(request=pb.SessionRequest(ping=pb.SessionRequest.Ping())),
        pb.AgentSessionMessage(response=pb.SessionResponse(error="x")),
    ):
        assert read(message.SerializeToString(), unknown) == []
    overlap = Event(overlapping_speech=Event.OverlappingSpeech(is_interruption=True))
    assert read(overlap, unknown) == []
    assert unknown == {}


def test_a_timestamp_is_seconds() -> None:
    event = Event()
    event.created_at.FromNanoseconds(1_500_000_000)
    assert seconds(event.created_at) == 1.5
