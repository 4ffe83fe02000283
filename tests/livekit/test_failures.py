"""What goes wrong in real rooms, produced for real: each gives a clear event that names the cause."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.livekit.processes import Program
from tests.livekit.test_conversation import HELLO, greeted
from tests.livekit.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.livekit.conftest import Join, StartHub
    from tests.livekit.processes import HubServer, LiveKitServer
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(180)]


def test_model_that_answers_500_is_told_and_the_next_turn_works(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub.start_agent()
    alice = join("lab")
    quiet = greeted(hub.stream, "lab")
    stub.fail("llm", "500")
    alice.say(HELLO)
    lost = hub.stream.wait("error", source="llm", recoverable=False, after=quiet)
    assert "500" in lost["message"]
    stub.heal()
    alice.say(HELLO)
    answer = hub.stream.wait("transcript", role="agent", is_final=True, after=lost)
    assert answer["text"] == f"You said: {HELLO}"


def test_bad_key_is_named(hub: HubServer, stub: OpenAIStub, join: Join) -> None:
    stub.fail("llm", "401")
    hub.start_agent()
    join("lab")
    told = hub.stream.wait("error", source="llm", seconds=30)
    assert "Incorrect API key" in told["message"] or "401" in told["message"]


def test_model_that_hangs_is_told_and_the_next_turn_works(
    hub: HubServer, stub: OpenAIStub, join: Join
) -> None:
    stub.learn(HELLO)
    hub.start_agent()
    alice = join("lab")
    quiet = greeted(hub.stream, "lab")
    stub.fail("llm", "hang")
    alice.say(HELLO)
    told = hub.stream.wait("error", source="llm", after=quiet, seconds=30)
    assert "imeout" in told["message"] or "imed out" in told["message"]
    stub.heal()
    answer = hub.stream.wait("transcript", role="agent", is_final=True, after=told, seconds=30)
    assert answer["text"] == f"You said: {HELLO}"


def test_speech_to_text_that_breaks_off_is_told_and_hears_again(
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
    wait_until(lambda: len(stub.requested("stt")) > connected, seconds=20, text="the ear connects again")
    alice.say(HELLO)
    said = hub.stream.wait("transcript", role="user", is_final=True, after=told)
    assert said["text"] == HELLO


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
    hub: HubServer, livekit_server: LiveKitServer, tmp_path: Path
) -> None:
    hub.start_agent()
    person = Program(tmp_path / "person.log")
    module = [sys.executable, "-m", "tests.livekit.outsider"]
    person.launch([*module, livekit_server.url, livekit_server.token("hall", "alice"), "alice"])
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
