"""Several rooms at once: each with its own session, order and words, whatever is said next door."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.livekit.test_conversation import greeted

if TYPE_CHECKING:
    from tests.livekit.conftest import Join
    from tests.livekit.participant import Participant
    from tests.livekit.processes import HubServer
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]

SCRIPTS = {
    "red": ["My first colour is red.", "Roses are red in summer."],
    "green": ["I like the green hills.", "Frogs live in green water."],
    "blue": ["Whales swim in blue oceans.", "Tell me about the blue sky."],
}


def converse(hub: HubServer, person: Participant, room: str) -> None:
    """Say the room's script, waiting for the answer to each phrase."""
    quiet = greeted(hub.stream, room)
    for phrase in SCRIPTS[room]:
        person.say(phrase)
        said = hub.stream.wait("transcript", role="user", is_final=True, room=room, after=quiet)
        quiet = hub.stream.wait("agent_speech_finished", room=room, after=said)


def test_three_rooms_at_once_keep_their_words_apart(hub: HubServer, stub: OpenAIStub, join: Join) -> None:
    for script in SCRIPTS.values():
        stub.learn(*script)
    hub.start_agent()
    people = {room: join(room, f"user-{room}") for room in SCRIPTS}
    talks = [threading.Thread(target=converse, args=(hub, person, room)) for room, person in people.items()]
    for talk in talks:
        talk.start()
    for talk in talks:
        talk.join(200)
    for room, script in SCRIPTS.items():
        seen = [one for one in hub.stream.events.all() if one["room"] == room]
        finals = [one for one in seen if one.type == "transcript" and one["is_final"]]
        answers = [f"You said: {phrase}" for phrase in script]
        assert [one["text"] for one in finals if one["role"] == "user"] == script
        assert [one["text"] for one in finals if one["role"] == "agent"][1:] == answers
        assert {one["participant"] for one in finals if one["role"] == "user"} == {f"user-{room}"}
        assert len({one["session_id"] for one in seen if one["session_id"]}) == 1
        assert [one["timestamp"] for one in seen] == sorted(one["timestamp"] for one in seen)
    sessions = {one["session_id"] for one in hub.stream.of_type("session_started")}
    assert len(sessions) == len(SCRIPTS)
