"""What goes wrong in real rooms, produced for real: each gives a clear event that names the cause."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.process import Program
from tests.livekit.test_conversation import HELLO, greeted

if TYPE_CHECKING:
    from tests.livekit.conftest import Join, StartHub
    from tests.livekit.processes import HubServer, LiveKitServer
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(180)]


def test_wrong_livekit_secret_fails_the_start_and_says_so(start_hub: StartHub) -> None:
    hub = start_hub(LIVEKIT_API_SECRET="another_secret_of_at_least_32_bytes")
    hub.post("/api/agent/start", {"mode": "livekit"})
    failed = hub.stream.wait("agent_process", state="failed", seconds=30)
    assert "LIVEKIT_API" in failed["reason"]


def test_participant_who_leaves_ends_the_session(hub: HubServer, join: Join) -> None:
    hub.start_agent()
    alice = join("hall")
    quiet = greeted(hub.stream, "hall")
    alice.leave()
    ended = hub.stream.wait("session_ended", room="hall", after=quiet)
    assert ended["reason"] == "participant_disconnected"


def test_crashed_participant_ends_the_session_with_a_reason_of_its_own(
    hub: HubServer, livekit_server: LiveKitServer
) -> None:
    hub.start_agent()
    module = [sys.executable, "-m", "tests.livekit.outsider"]
    person = Program([*module, livekit_server.url, livekit_server.token("hall", "alice"), "alice"])
    try:
        quiet = greeted(hub.stream, "hall")
    finally:
        person.kill()
    ended = hub.stream.wait("session_ended", room="hall", after=quiet, seconds=60)
    assert ended["reason"] == "participant_lost"


def test_killed_worker_ends_its_sessions_and_the_room_gets_a_new_agent(hub: HubServer, join: Join) -> None:
    hub.start_agent()
    alice = join("hall")
    quiet = greeted(hub.stream, "hall")
    first = hub.stream.wait("session_started", room="hall")
    os.kill(hub.get("/api/agent/status")["pid"], signal.SIGKILL)
    ended = hub.stream.wait("session_ended", session_id=first["session_id"], after=quiet)
    assert ended["reason"] == "worker_lost"
    hub.stream.wait("agent_process", state="failed", after=quiet)
    again = hub.stream.wait("session_started", room="hall", after=ended, seconds=60)
    assert again["session_id"] != first["session_id"]
    assert alice.wait_for_agent()


def test_livekit_server_that_comes_back_does_not_end_the_conversation(
    hub: HubServer, livekit_server: LiveKitServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub.start_agent()
    alice = join("hall")
    greeted(hub.stream, "hall")
    before = hub.stream.events.all()[-1]
    livekit_server.kill()
    livekit_server.start()
    alice.wait_until_connected(seconds=40)
    alice.say(HELLO)
    answer = hub.stream.wait("transcript", role="agent", is_final=True, after=before, seconds=40)
    assert answer["text"] == f"You said: {HELLO}"
    assert hub.stream.of_type("session_ended") == []
