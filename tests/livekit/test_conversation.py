"""A person talks to the agent in a real room, and the stream has every word and state of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.wait import until
from tests.stubs.script import GREETING, Rule

if TYPE_CHECKING:
    from tests.livekit.conftest import Join, StartHub
    from tests.livekit.participant import Participant
    from tests.livekit.processes import EventStream, HubServer, Seen
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(180)]

HELLO = "Hello there."
TIME = "What is the current time in London?"
STORY = "Tell me a long story about the sea."
STOP = "Stop please."
LONG_STORY = (
    "Once upon a time there was a small boat that sailed over the wide blue sea, past seven islands and "
    "through three storms, until it came to a harbour where nobody had ever seen a boat before."
)


def greeted(stream: EventStream, room: str) -> Seen:
    """Wait until the agent has said its greeting, and return the end of its speech."""
    started = stream.wait("agent_speech_started", room=room, seconds=30)
    return stream.wait("agent_speech_finished", room=room, after=started)


def in_room(listener: Participant, identity: str, finals: list[str]) -> bool:
    """Whether the room's own final transcripts of a speaker are these, in this order."""
    return [one.text for one in listener.words.all() if one.identity == identity and one.final] == finals


def test_words_turns_and_speech_of_a_conversation_reach_the_stream(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    stream = hub.stream
    assert hub.start_agent()["mode"] == "livekit"
    ready = stream.wait("agent_ready", seconds=30)
    assert hub.get("/api/agent/status")["state"] in {"ready", "running"}

    alice = join("kitchen", "alice")
    alice.wait_for_agent()
    session = stream.wait("session_started", room="kitchen", after=ready)["session_id"]
    silence = greeted(stream, "kitchen")
    greeting = stream.wait("transcript", role="agent", is_final=True, room="kitchen")
    assert greeting["text"] == GREETING

    alice.say(HELLO)
    said = stream.wait("transcript", role="user", is_final=True, after=silence)
    answer = stream.wait("transcript", role="agent", is_final=True, after=said)
    finished = stream.wait("agent_speech_finished", after=said)
    assert (said["text"], said["participant"]) == (HELLO, "alice")
    assert (answer["text"], answer["interrupted"]) == (f"You said: {HELLO}", False)
    assert finished["interrupted"] is False
    assert said["turn_id"] == answer["turn_id"] == finished["turn_id"] != greeting["turn_id"]
    assert [seen.type for seen in stream.of_type("user_speech_started", "user_speech_finished")] == [
        "user_speech_started",
        "user_speech_finished",
    ]
    spoken = stream.of_type("transcript", "agent_speech_started", "agent_speech_finished", "agent_state")
    assert {(seen["room"], seen["session_id"]) for seen in spoken} == {("kitchen", session)}
    times = [seen["timestamp"] for seen in stream.events.all() if seen["session_id"] == session]
    assert times == sorted(times)

    hub.post("/api/agent/stop")
    ended = stream.wait("session_ended", session_id=session, after=finished)
    stopped = stream.wait("agent_process", state="stopped", after=ended)
    assert stream.of_type("session_ended") == [ended]
    assert hub.get("/api/agent/status")["state"] == "stopped"
    assert stopped["exit"] == 0


def test_the_rooms_own_words_and_the_streams_are_the_same(
    start_hub: StartHub, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO, TIME)
    hub = start_hub(AGENT_STT_REALTIME="1")
    hub.start_agent()
    alice = join("study")
    quiet = greeted(hub.stream, "study")
    for phrase in (HELLO, TIME):
        alice.say(phrase)
        said = hub.stream.wait("transcript", role="user", is_final=True, text=phrase, after=quiet)
        quiet = hub.stream.wait("agent_speech_finished", after=said)
    for role, identity in (("user", alice.identity), ("agent", alice.wait_for_agent())):
        finals = hub.stream.of_type("transcript", role=role, is_final=True)
        texts = [seen["text"] for seen in finals]
        until(partial(in_room, alice, identity, texts), seconds=10, what=f"the room says {texts}")
    interims = hub.stream.of_type("transcript", role="user", is_final=False)
    heard = [
        words.text for words in alice.words.all() if words.identity == alice.identity and not words.final
    ]
    # The room repeats the whole utterance as its last interim; the stream has it where the model was that quick.
    streamed = [seen["text"] for seen in interims]
    parts = [[text for text in texts if text not in (HELLO, TIME)] for texts in (streamed, heard)]
    assert parts[0] == parts[1]
    assert interims
    last = {seen["segment_id"] for seen in hub.stream.of_type("transcript", role="user", is_final=True)}
    assert {seen["segment_id"] for seen in interims} <= last


def test_a_tool_call_belongs_to_the_turn_that_asked_for_it(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(TIME)
    stub.script.add(Rule("current time", tool="current_time", text="In London it is {output}."))
    hub.start_agent()
    alice = join("office")
    quiet = greeted(hub.stream, "office")
    alice.say(TIME)
    started = hub.stream.wait("tool_call_started", after=quiet)
    finished = hub.stream.wait("tool_call_finished", call_id=started["call_id"], after=started)
    answer = hub.stream.wait("transcript", role="agent", is_final=True, after=finished)
    metrics = hub.stream.wait("turn_metrics", role="agent", turn_id=answer["turn_id"])
    assert (started["name"], finished["status"]) == ("current_time", "done")
    assert answer["text"] == f"In London it is {finished['output']}."
    assert started["turn_id"] == finished["turn_id"] == answer["turn_id"]
    assert metrics["e2e_latency"] > 0


def test_an_interruption_cuts_the_words_where_the_voice_stopped(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(STORY, STOP)
    stub.script.add(Rule("story", text=LONG_STORY))
    hub.start_agent()
    alice = join("nursery")
    quiet = greeted(hub.stream, "nursery")
    alice.say(STORY)
    telling = hub.stream.wait("agent_speech_started", after=quiet)
    heard = hub.stream.wait("transcript", role="agent", is_final=False, turn_id=telling["turn_id"])
    until(
        lambda: len(hub.stream.of_type("transcript", role="agent", turn_id=telling["turn_id"])) > 5,
        seconds=15,
        what="some words of the story are spoken",
    )
    alice.say(STOP)
    cut = hub.stream.wait("agent_speech_finished", after=heard)
    final = hub.stream.wait("transcript", role="agent", is_final=True, after=cut)
    stop = hub.stream.wait("transcript", role="user", is_final=True, text=STOP)
    assert (cut["interrupted"], final["interrupted"]) == (True, True)
    assert final["turn_id"] == telling["turn_id"] != stop["turn_id"]
    assert LONG_STORY.startswith(final["text"].rstrip(" ."))
    assert 0 < len(final["text"]) < len(LONG_STORY)
    hub.stream.wait("interruption", turn_id=telling["turn_id"])
