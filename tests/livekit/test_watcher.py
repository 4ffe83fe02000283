"""The watcher in real rooms: agents that know nothing of the hub, and what the stream tells of them.

Covers agent.watcher, agent.watching.room, agent.watching.rooms, agent.watching.service and agent.watching.settings.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from livekit import api

from tests.kit.process import Program
from tests.kit.wait import until
from tests.livekit.participant import Participant
from tests.livekit.processes import API_KEY, API_SECRET, HubServer, LiveKitServer, free_port
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

    def __init__(self, livekit: LiveKitServer, stub: OpenAIStub, **settings: str) -> None:
        models = {"OPENAI_API_KEY": "any", "OPENAI_BASE_URL": stub.base_url}
        command = [sys.executable, "-m", "livekit.agents", "start", "tests/uploads/agent.py"]
        super().__init__(command, **livekit.environment, **models, **settings)

    def __enter__(self) -> Agent:
        self.wait_for("registered worker", 60)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Place:
    """A livekit-server and a hub that watches its rooms."""

    def __init__(self, folder: Path, *, webhooks: bool = True) -> None:
        self.folder = folder
        self.port = free_port()
        webhook = f"http://127.0.0.1:{self.port}/api/livekit/webhook"
        self.livekit = LiveKitServer(folder, webhook if webhooks else None)
        self.hubs: list[HubServer] = []
        self._running = contextlib.ExitStack()

    def __enter__(self) -> Place:
        self._running.enter_context(self.livekit)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def hub(self, **settings: str) -> HubServer:
        watch = {"STREAM_WATCH": "all", **self.livekit.environment, **settings}
        hub = self._running.enter_context(HubServer(self.folder, watch, self.port))
        self.hubs.append(hub)
        if watch["STREAM_WATCH"] != "off":
            until(lambda: watcher(hub)["state"] in ("ready", "running"), seconds=30, what="the watcher runs")
        return hub

    def agent(self, stub: OpenAIStub, **settings: str) -> Agent:
        return self._running.enter_context(Agent(self.livekit, stub, **settings))

    def person(self, room: str, identity: str = "alice") -> Participant:
        return Participant(self.livekit.url, self.livekit.token(room, identity), identity)

    def rooms(self) -> list[str]:
        token = api.AccessToken(API_KEY, API_SECRET).with_grants(api.VideoGrants(room_list=True)).to_jwt()
        answer = requests.post(
            f"http://127.0.0.1:{self.livekit.port}/twirp/livekit.RoomService/ListRooms",
            json={},
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        return [room["name"] for room in answer.json().get("rooms", [])]

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
    """Wait for the greeting and the end of its speech; return its final."""
    final = hub.stream.wait("transcript", role="agent", is_final=True, room=room, seconds=40, after=after)
    assert final["text"] == GREETING
    hub.stream.wait("agent_speech_finished", room=room, seconds=20)
    return final


def test_words_turns_and_tools_of_an_agent_without_a_line_of_code(place: Place, stub: OpenAIStub) -> None:
    stub.learn(HELLO, TIME)
    stub.script.add(
        Rule(
            "current time",
            tool="current_time",
            arguments={"time_zone": "Europe/London"},
            text="It is {output}.",
        )
    )
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
        assert {one["identity"] for one in hub.get("/api/rooms/support-7")["participants"]} == {
            "alice",
            agent,
        }
    left = time.monotonic()
    over = stream.wait("session_ended", session_id=session, after=told)
    assert over["reason"] == "participant_disconnected"
    until(lambda: place.watchers("support-7") == 0, seconds=10, what="the watcher has left")
    stream.wait("room_finished", room="support-7", seconds=60)
    assert time.monotonic() - left < 45, "the room closes as without a watcher"
    told_all = stream.of_type("participant_joined", "participant_left", room="support-7")
    assert {seen["participant"] for seen in told_all} == {"alice", agent}


def test_rooms_whose_agent_reports_itself_are_left_alone(place: Place, stub: OpenAIStub) -> None:
    hub = place.hub()
    place.agent(stub, STREAM_URL=hub.url)
    with place.person("hall") as alice:
        alice.wait_for_agent()
        greeted(hub, "hall")
        until(lambda: place.watchers("hall") == 0, seconds=20, what="the watcher has left")
        time.sleep(4)
        assert [seen["source"] for seen in hub.stream.of_type("session_started")] == [None]
        assert watcher(hub)["rooms"] == 0


def test_a_late_report_by_the_agent_itself_replaces_the_watchers(place: Place, stub: OpenAIStub) -> None:
    hub = place.hub()
    place.agent(stub)
    with place.person("hall") as alice:
        agent = alice.wait_for_agent()
        greeted(hub, "hall")
        watched = hub.stream.wait("session_started", room="hall")
        own = {
            "type": "session_started",
            "room": "hall",
            "session_id": "own",
            "job_id": agent.removeprefix("agent-"),
        }
        hub.post("/api/agent/data", own)
        over = hub.stream.wait("session_ended", session_id=watched["session_id"])
        assert over["reason"] == "replaced"
        until(lambda: place.watchers("hall") == 0, seconds=20, what="the watcher has left")
        until(
            lambda: [one["session_id"] for one in hub.get("/api/sessions")["sessions"]] == ["own"],
            seconds=20,
            what="the list has the agent's own session alone",
        )
        day = hub.get("/api/stats?bucket=day")["buckets"]
        assert sum(bucket["sessions"] for bucket in day) == 1
    assert hub.stream.of_type("session_report", session_id=watched["session_id"]) == []


def test_a_watcher_that_comes_late_and_a_hub_that_restarts(place: Place, stub: OpenAIStub) -> None:
    stub.learn(HELLO)
    place.agent(stub)
    with place.person("den") as alice:
        alice.wait_for_agent()
        alice.heard.wait(lambda _: True, seconds=30, text="the greeting")
        time.sleep(4)
        with HubServer(place.folder, {"STREAM_WATCH": "d*", **place.livekit.environment}, place.port) as hub:
            started = hub.stream.wait("session_started", room="den", seconds=30)
            alice.say(HELLO)
            said = hub.stream.wait("transcript", role="user", is_final=True, after=started)
            hub.stream.wait("transcript", role="agent", is_final=True, after=said, text=f"You said: {HELLO}")
            first = watcher(hub)["pid"]
            os.kill(first, signal.SIGKILL)
            again = hub.stream.wait("session_started", room="den", after=said, seconds=40)
            over = hub.stream.wait("session_ended", session_id=started["session_id"], seconds=40)
            assert over["reason"] == "lease_expired"
            hub.kill()
        with HubServer(place.folder, {"STREAM_WATCH": "d*", **place.livekit.environment}, place.port) as hub:
            third = hub.stream.wait("session_started", room="den", seconds=40)
            assert third["session_id"] != again["session_id"]
            alice.say(HELLO)
            said = hub.stream.wait("transcript", role="user", is_final=True, after=third)
            hub.stream.wait("transcript", role="agent", is_final=True, after=said, text=f"You said: {HELLO}")
        assert HubLog(place).ended(third["session_id"]) == ["watcher_stopped"]


class HubLog:
    """What a hub has stored, read by the next one."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def ended(self, session: str) -> list[str]:
        settings = {"STREAM_WATCH": "off", **self._place.livekit.environment}
        with HubServer(self._place.folder, settings, self._place.port) as hub:
            assert watcher(hub) is None
            found = hub.get("/api/events?type=session_ended&limit=100")["events"]
        return [event["reason"] for event in found if event["session_id"] == session]


def test_a_person_leaves_and_returns_and_two_rooms_are_apart(place: Place, stub: OpenAIStub) -> None:
    hub = place.hub()
    place.agent(stub)
    with place.person("north", "ann") as ann, place.person("south", "bob") as bob:
        ann.wait_for_agent()
        bob.wait_for_agent()
        for room in ("north", "south"):
            greeted(hub, room)
        sessions = {seen["room"]: seen["session_id"] for seen in hub.stream.of_type("session_started")}
        assert sessions.keys() == {"north", "south"}
        assert watcher(hub)["sessions"] == 2
        told = hub.stream.of_type("transcript", "agent_state", "user_state")
        assert {(seen["room"], seen["session_id"]) for seen in told} == set(sessions.items())
    first = hub.stream.wait("session_ended", session_id=sessions["north"])
    with place.person("east", "ann") as ann:
        ann.wait_for_agent()
        greeted(hub, "east", after=first)
        ann.leave()
    with place.person("east", "ann") as ann:
        back = hub.stream.wait("participant_joined", room="east", participant="ann", after=first)
        hub.stream.wait("participant_joined", room="east", participant="ann", after=back)
        until(lambda: place.watchers("east") == 1, seconds=20, what="the watcher is back")
    until(lambda: place.watchers("east") == 0, seconds=20, what="and gone again")
    until(lambda: watcher(hub)["rooms"] == 0, seconds=20, what="no room is watched")


def test_a_person_who_returns_finds_the_agent_and_the_watcher(place: Place, stub: OpenAIStub) -> None:
    stub.learn(HELLO)
    hub = place.hub()
    place.agent(stub)
    returns(place, hub)


def returns(place: Place, hub: HubServer) -> None:
    """Call from a second device, be sent out, and call again: LiveKit's agents stay for a person lost that way."""
    with contextlib.ExitStack() as devices:
        first = devices.enter_context(place.person("den"))
        first.wait_for_agent(60)
        first.words.wait(lambda one: one.text.strip() == GREETING, seconds=60, text="the greeting")
        started = hub.stream.wait("session_started", room="den")
        second = devices.enter_context(place.person("den"))
        second.wait_for_agent()
        assert asked_again(hub, second, started) == started["session_id"], "the call continues"
        place.livekit.ask("RoomService/RemoveParticipant", room="den", identity="alice")
        over = hub.stream.wait("session_ended", session_id=started["session_id"])
        assert over["reason"] == "participant_removed"
        until(lambda: place.watchers("den") == 0, seconds=20, what="the watcher has left")
        third = devices.enter_context(place.person("den"))
        third.wait_for_agent()
        until(lambda: place.watchers("den") == 1, seconds=20, what="the watcher is back")
        again = asked_again(hub, third, over)
        assert again != started["session_id"]
    over = hub.stream.wait("session_ended", session_id=again)
    assert over["reason"] == "participant_disconnected"
    hub.stream.wait("room_finished", room="den", seconds=60)


def asked_again(hub: HubServer, person: Participant, after: Seen) -> str:
    """Ask something, and return the session in which it is answered."""
    time.sleep(1)
    person.say(HELLO)
    said = hub.stream.wait("transcript", role="user", is_final=True, after=after, text=HELLO)
    answer = hub.stream.wait("transcript", role="agent", is_final=True, after=said, text=f"You said: {HELLO}")
    assert said["turn_id"] == answer["turn_id"]
    return str(answer["session_id"])


def test_an_agent_that_is_killed_ends_its_session(place: Place, stub: OpenAIStub) -> None:
    hub = place.hub()
    agent = place.agent(stub)
    with place.person("pit") as alice:
        alice.wait_for_agent()
        greeted(hub, "pit")
        started = hub.stream.wait("session_started", room="pit")
        agent.kill_group()
        over = hub.stream.wait("session_ended", session_id=started["session_id"], seconds=60)
        assert over["reason"] == "worker_lost"


@pytest.mark.usefixtures("_needs_livekit_server")
def test_no_empty_room_is_opened_and_without_webhooks_rooms_are_found(
    tmp_path: Path, stub: OpenAIStub
) -> None:
    with Place(tmp_path, webhooks=False) as place:
        hub = place.hub(STREAM_WATCH="k*,den")
        place.agent(stub)
        ghost = {
            "type": "participant_joined",
            "room": "k-ghost",
            "participant": "nobody",
            "role": "user",
        }
        hub.post("/api/agent/data", ghost)
        time.sleep(4)
        assert place.rooms() == []
        # That event counted as a webhook; a hub that never had one asks for the rooms at once.
        hub.__exit__()
        hub = HubServer(
            tmp_path,
            {
                "STREAM_WATCH": "k*,den",
                "STREAM_HISTORY": f"sqlite:///{tmp_path}/new.db",
                **place.livekit.environment,
            },
        )
        with hub, place.person("kitchen") as alice, place.person("other", "bob") as bob:
            alice.wait_for_agent()
            bob.wait_for_agent()
            greeted_late = hub.stream.wait("session_started", room="kitchen", seconds=40)
            assert greeted_late["source"] == "watcher"
            assert place.watchers("other") == 0
