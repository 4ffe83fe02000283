"""Models that break or hang in a real room: what the stream says, and that the conversation goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.livekit.test_conversation import HELLO, greeted

if TYPE_CHECKING:
    from tests.livekit.conftest import Join, StartHub
    from tests.livekit.processes import HubServer
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]


def test_voice_that_answers_500_is_told_and_the_next_turn_works(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub.start_agent()
    alice = join("lab")
    quiet = greeted(hub.stream, "lab")
    stub.fail("tts", "500")
    alice.say(HELLO)
    lost = hub.stream.wait("error", source="tts", recoverable=False, after=quiet)
    assert "500" in lost["message"]
    hub.stream.wait("agent_state", state="listening", previous="thinking", after=lost)
    stub.heal()
    alice.say(HELLO)
    answer = hub.stream.wait("transcript", role="agent", is_final=True, after=lost)
    assert answer["text"] == f"You said: {HELLO}"


def test_four_lost_answers_end_the_session_with_their_cause(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub.start_agent()
    alice = join("lab")
    last = greeted(hub.stream, "lab")
    stub.fail("llm", "500")
    for _ in range(4):
        alice.say(HELLO)
        last = hub.stream.wait("error", source="llm", recoverable=False, after=last)
    ended = hub.stream.wait("session_ended", room="lab", after=last)
    assert (ended["reason"], ended["source"]) == ("error", "llm")
    assert "500" in ended["message"]


def test_voice_that_hangs_is_told_within_its_time_and_asked_again(
    start_hub: StartHub, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub = start_hub(AGENT_SPEECH_TIMEOUT="4")
    hub.start_agent()
    alice = join("lab")
    quiet = greeted(hub.stream, "lab")
    stub.fail("tts", "hang")
    alice.say(HELLO)
    told = hub.stream.wait("error", source="tts", after=quiet, seconds=15)
    assert "imeout" in told["message"] or "imed out" in told["message"]
    assert told["recoverable"]
    stub.heal()
    answer = hub.stream.wait("transcript", role="agent", is_final=True, after=told)
    assert answer["text"] == f"You said: {HELLO}"


def test_ear_that_hangs_is_told_within_its_time_and_asked_again(
    start_hub: StartHub, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub = start_hub(AGENT_SPEECH_TIMEOUT="4")
    hub.start_agent()
    alice = join("lab")
    quiet = greeted(hub.stream, "lab")
    stub.fail("stt", "hang")
    alice.say(HELLO)
    told = hub.stream.wait("error", source="stt", after=quiet, seconds=15)
    assert told["recoverable"]
    stub.heal()
    said = hub.stream.wait("transcript", role="user", is_final=True, after=told)
    assert said["text"] == HELLO, "what was said while it hung is not lost"


def test_ear_on_a_websocket_that_says_nothing_more_is_told_within_its_time(
    start_hub: StartHub, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub = start_hub(AGENT_STT_REALTIME="1", AGENT_SPEECH_TIMEOUT="4")
    hub.start_agent()
    alice = join("lab")
    quiet = greeted(hub.stream, "lab")
    stub.fail("stt", "hang")
    alice.say(HELLO)
    told = hub.stream.wait("user_transcription_timeout", room="lab", after=quiet, seconds=15)
    assert told["speech_duration"] > 0
    stub.heal()
    alice.say(HELLO)
    said = hub.stream.wait("transcript", role="user", is_final=True, after=told)
    assert said["text"] == HELLO
