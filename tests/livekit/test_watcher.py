"""The watcher in real rooms: agents that know nothing of the hub, and what the stream tells of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.kit.wait import until
from tests.livekit.participant import Participant
from tests.livekit.processes import HubServer, LiveKitServer, Program, free_port
from tests.stubs.script import GREETING, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.livekit.processes import Seen
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]

HELLO = "Hello there."
TIME = "What is the current time in London?"


class Agent(Program):
    """tests/uploads/agent.py: an agent as its author writes it, started by LiveKit's own command line."""

    def __init__(self, folder: Path, livekit: LiveKitServer, stub: OpenAIStub, **settings: str) -> None:
        super().__init__(folder / "agent.log")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_")}
        models = {"OPENAI_API_KEY": "any", "OPENAI_BASE_URL": stub.base_url}
        self._environment = {**kept, **livekit.environment, **models, **settings}

    def __enter__(self) -> Agent:
        command = [sys.executable, "-m", "livekit.agents", "start", "tests/uploads/agent.py"]
        self.launch(command, self._environment)
        until(lambda: "registered worker" in self.tail(), seconds=60, what="the agent is registered")
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGTERM)
        if self.wait(20) is None:
            self.kill()


class StartHub(Protocol):
    """Starts a hub that livekit-server sends its webhooks to."""

    def __call__(self, **environment: str) -> HubServer: ...


class Place:
    """A livekit-server and a hub that watches its rooms."""

    def __init__(self, folder: Path, *, webhooks: bool = True) -> None:
        self.folder = folder
        self.port = free_port()
        webhook = f"http://127.0.0.1:{self.port}/api/livekit/webhook"
        self.livekit = LiveKitServer(folder, webhook if webhooks else None)
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Place:
        self._running.enter_context(self.livekit)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def hub(self, **settings: str) -> HubServer:
        watch = {"STREAM_WATCH": "all", **self.livekit.environment, **settings}
        hub = self._running.enter_context(HubServer(self.folder, watch, self.port))
        if watch["STREAM_WATCH"] != "off":
            until(lambda: watcher(hub)["state"] in ("ready", "running"), seconds=30, what="the watcher runs")
        return hub

    def agent(self, stub: OpenAIStub, **settings: str) -> Agent:
        return self._running.enter_context(Agent(self.folder, self.livekit, stub, **settings))

    def person(self, room: str, identity: str = "alice") -> Participant:
        return Participant(self.livekit.url, self.livekit.token(room, identity), identity)

    def rooms(self) -> list[str]:
        answer = self.livekit.ask("RoomService/ListRooms", room="")
        return [room["name"] for room in answer.get("rooms", [])]

    def people(self, room: str) -> list[dict[str, Any]]:
        answer = self.livekit.ask("RoomService/ListParticipants", room=room)
        found: list[dict[str, Any]] = answer.get("participants", [])
        return found

    def watchers(self, room: str) -> int:
        return sum(one["identity"].startswith("hub-watcher-") for one in self.people(room))


def watcher(hub: HubServer) -> dict[str, Any]:
    """Return the watcher's state."""
    found: dict[str, Any] = hub.get("/api/agent/status")["watcher"]
    return found


@pytest.fixture
def place(tmp_path: Path, _needs_livekit_server: None) -> Iterator[Place]:
    """A livekit-server whose webhooks reach the hub."""
    with Place(tmp_path) as here:
        yield here


def greeted(hub: HubServer, room: str, after: Seen | None = None) -> Seen:
    """Wait until the greeting is told, and its speech is over; return its final."""
    final = hub.stream.wait("transcript", role="agent", is_final=True, room=room, seconds=40, after=after)
    assert final["text"] == GREETING
    hub.stream.wait("agent_speech_finished", room=room, seconds=20)
    return final


def test_words_turns_and_tools_of_an_agent_without_a_line_of_code(place: Place, stub: OpenAIStub) -> None:
    stub.learn(HELLO, TIME)
    stub.script.add(Rule("current time", tool="current_time", arguments={"time_zone": "Europe/London"}, text="It is {output}."))
    hub = place.hub()
    place.agent(stub)
    stream = hub.stream
    with place.person("support-7") as alice:
        agent = alice.wait_for_agent()
        greeting = greeted(hub, "support-7")
        started = stream.wait("session_started", room="support-7")
        assert (started["source"], started["job_id"]) == ("watcher", agent.removeprefix("agent-"))
        assert started["room_sid"].startswith("RM_")
        session = started["session_id"]
        alice.say(HELLO)
        said = stream.wait("transcript", role="user", is_final=True, after=greeting)
        answer = stream.wait("transcript", role="agent", is_final=True, after=said)
        done = stream.wait("agent_speech_finished", after=said)
        assert (said["text"], said["participant"], answer["text"]) == (HELLO, "alice", f"You said: {HELLO}")
        assert said["turn_id"] == answer["turn_id"] != greeting["turn_id"]
        interims = stream.of_type("transcript", role="agent", is_final=False, segment_id=answer["segment_id"])
        assert interims, "the words as they are spoken"
        alice.say(TIME)
        call = stream.wait("tool_call_started", after=done)
        ended = stream.wait("tool_call_finished", call_id=call["call_id"], after=call)
        told = stream.wait("transcript", role="agent", is_final=True, after=ended)
        assert (call["name"], call["arguments"]) == ("current_time", {"time_zone": "Europe/London"})
        assert (ended["status"], ended["output"]) == ("done", "noon in Europe/London")
        assert told["text"] == "It is noon in Europe/London."
        assert call["turn_id"] == ended["turn_id"] == told["turn_id"]
        stream.wait("agent_speech_finished", after=told)
        assert watcher(hub)["rooms"] == 1
        assert {one["identity"] for one in hub.get("/api/rooms/support-7")["participants"]} == {"alice", agent}
    left = time.monotonic()
    over = stream.wait("session_ended", session_id=session, after=told)
    assert over["reason"] == "participant_disconnected"
    until(lambda: place.watchers("support-7") == 0, seconds=10, what="the watcher has left")
    stream.wait("room_finished", room="support-7", seconds=60)
    assert time.monotonic() - left < 45, "the room closes as without a watcher"
    told_all = stream.of_type("participant_joined", "participant_left", room="support-7")
    assert {seen["participant"] for seen in told_all} == {"alice", agent}
