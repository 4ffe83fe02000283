"""Models that break or hang in a real room: what the stream says, and that the conversation continues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.wait import until
from tests.livekit.test_conversation import HELLO, greeted

if TYPE_CHECKING:
    from tests.livekit.conftest import Join, StartHub
    from tests.livekit.participant import Participant
    from tests.livekit.processes import HubServer, Seen
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]


def ask_what_fails(
    hub: HubServer, stub: OpenAIStub, join: Join, part: str, how: str
) -> tuple[Participant, Seen]:
    """Begin a conversation, and let a model fail at its first question; return who asked, and the event before it."""
    stub.learn(HELLO)
    hub.start_agent()
    alice = join("lab")
    quiet = greeted(hub.stream, "lab")
    stub.fail(part, how)
    alice.say(HELLO)
    return alice, quiet


def ask_what_is_lost_by_a_500(
    hub: HubServer, stub: OpenAIStub, join: Join, part: str
) -> tuple[Participant, Seen]:
    """Ask while a model answers 500; return the person, and the event that says so once nothing is tried any more."""
    alice, quiet = ask_what_fails(hub, stub, join, part, "500")
    lost = hub.stream.wait("error", source=part, recoverable=False, after=quiet)
    assert "500" in lost["message"]
    return alice, lost


def heard(hub: HubServer, after: Seen) -> str:
    """Return the next final words of the user."""
    return str(hub.stream.wait("transcript", role="user", is_final=True, after=after)["text"])


def answered(hub: HubServer, after: Seen) -> str:
    """Return the next final words of the agent."""
    return str(hub.stream.wait("transcript", role="agent", is_final=True, after=after, seconds=30)["text"])


def test_model_that_answers_500_is_reported_and_the_next_turn_works(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    alice, lost = ask_what_is_lost_by_a_500(hub, stub, join, "llm")
    stub.heal()
    alice.say(HELLO)
    assert answered(hub, lost) == f"You said: {HELLO}"


def test_voice_that_answers_500_is_reported_and_the_next_turn_works(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    alice, lost = ask_what_is_lost_by_a_500(hub, stub, join, "tts")
    hub.stream.wait("agent_state", state="listening", previous="thinking", after=lost)
    stub.heal()
    alice.say(HELLO)
    assert answered(hub, lost) == f"You said: {HELLO}"


def test_four_lost_answers_end_the_session_with_their_cause(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    alice, quiet = ask_what_fails(hub, stub, join, "llm", "500")
    last = hub.stream.wait("error", source="llm", recoverable=False, after=quiet)
    for _ in range(3):
        alice.say(HELLO)
        last = hub.stream.wait("error", source="llm", recoverable=False, after=last)
    ended = hub.stream.wait("session_ended", room="lab", after=last)
    assert (ended["reason"], ended["source"]) == ("error", "llm")
    assert "500" in ended["message"]


def test_bad_key_is_named(hub: HubServer, stub: OpenAIStub, join: Join) -> None:
    stub.fail("llm", "401")
    hub.start_agent()
    join("lab")
    told = hub.stream.wait("error", source="llm", seconds=30)
    assert "Incorrect API key" in told["message"] or "401" in told["message"]


def test_model_that_hangs_is_reported_and_the_next_turn_works(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    _, quiet = ask_what_fails(hub, stub, join, "llm", "hang")
    told = hub.stream.wait("error", source="llm", after=quiet, seconds=30)
    assert "imeout" in told["message"] or "imed out" in told["message"]
    stub.heal()
    assert answered(hub, told) == f"You said: {HELLO}"


def test_voice_that_hangs_is_reported_within_its_time_and_asked_again(
    start_hub: StartHub, stub: OpenAIStub, join: Join
) -> None:
    hub = start_hub(AGENT_SPEECH_TIMEOUT="4")
    _, quiet = ask_what_fails(hub, stub, join, "tts", "hang")
    told = hub.stream.wait("error", source="tts", after=quiet, seconds=15)
    assert "imeout" in told["message"] or "imed out" in told["message"]
    assert told["recoverable"]
    stub.heal()
    assert answered(hub, told) == f"You said: {HELLO}"


def test_ear_that_hangs_is_reported_within_its_time_and_asked_again(
    start_hub: StartHub, stub: OpenAIStub, join: Join
) -> None:
    hub = start_hub(AGENT_SPEECH_TIMEOUT="4")
    _, quiet = ask_what_fails(hub, stub, join, "stt", "hang")
    told = hub.stream.wait("error", source="stt", after=quiet, seconds=15)
    assert told["recoverable"]
    stub.heal()
    assert heard(hub, told) == HELLO, "what was said while it hung is not lost"


def test_ear_on_a_websocket_that_says_nothing_more_is_reported_within_its_time(
    start_hub: StartHub, stub: OpenAIStub, join: Join
) -> None:
    hub = start_hub(AGENT_STT_REALTIME="1", AGENT_SPEECH_TIMEOUT="4")
    alice, quiet = ask_what_fails(hub, stub, join, "stt", "hang")
    told = hub.stream.wait("user_transcription_timeout", room="lab", after=quiet, seconds=15)
    assert told["speech_duration"] > 0
    stub.heal()
    alice.say(HELLO)
    assert heard(hub, told) == HELLO


def test_speech_to_text_that_breaks_off_is_reported_and_hears_again(
    start_hub: StartHub, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub = start_hub(AGENT_STT_REALTIME="1")
    hub.start_agent()
    alice = join("lab")
    quiet = greeted(hub.stream, "lab")
    stub.fail("stt", "500")
    told = hub.stream.wait("error", source="stt", after=quiet)
    stub.heal()
    connected = len(stub.requested("stt"))
    until(lambda: len(stub.requested("stt")) > connected, seconds=20, what="the ear connects again")
    alice.say(HELLO)
    assert heard(hub, told) == HELLO
