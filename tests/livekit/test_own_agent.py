"""examples/own_agent: an agent that LiveKit's own command line starts, not the hub."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.process import Program

if TYPE_CHECKING:
    from tests.livekit.conftest import Join
    from tests.livekit.processes import HubServer, LiveKitServer
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(180)]

ORDER = "One pizza please."


def test_its_conversation_is_on_the_stream(
    livekit_server: LiveKitServer, hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(ORDER)
    settings = {"OPENAI_API_KEY": "any", "OPENAI_BASE_URL": stub.base_url, "STREAM_URL": hub.url}
    command = [sys.executable, "-m", "livekit.agents", "start", "examples/own_agent/pizza.py"]
    agent = Program(command, **livekit_server.environment, **settings)
    try:
        agent.wait_for("registered worker", 60)
        alice = join("pizzeria", "alice")
        alice.wait_for_agent()
        stream = hub.stream
        session = stream.wait("session_started", room="pizzeria", seconds=30)
        greeting = stream.wait("agent_speech_finished", room="pizzeria", after=session, seconds=30)
        alice.say(ORDER)
        said = stream.wait("transcript", role="user", is_final=True, after=greeting)
        answer = stream.wait("transcript", role="agent", is_final=True, after=said)
        assert (said["text"], said["participant"]) == (ORDER, "alice")
        assert answer["text"] == f"You said: {ORDER}"
        assert hub.get("/api/agent/status")["state"] == "stopped"
    finally:
        agent.stop()
