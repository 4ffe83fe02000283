"""Agents in JavaScript (`@livekit/agents` from npm) that know nothing of the hub: watched live, and by their uploads.

npm's packages are kept between runs in the folder AGENT_NODE, where that is set.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.kit.process import ROOT, Program, free_port
from tests.kit.wait import until
from tests.livekit.processes import HubServer
from tests.livekit.test_watcher import HELLO, TIME, Place, returns, watcher
from tests.packages.node import node, npm
from tests.stubs.script import GREETING, Rule
from tests.uploads.record import LONG, STOP, STORY, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.livekit.participant import Participant
    from tests.livekit.processes import Seen
    from tests.stubs.openai_stub import OpenAIStub

    Event = dict[str, Any]
    Start = Callable[[str], Program]
    Turns = dict[int, tuple[list[str], list[str]]]

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(560)]

VERSION = "1.9.0"
PACKAGES = [
    f"{name}@{VERSION}"
    for name in ("@livekit/agents", "@livekit/agents-plugin-openai", "@livekit/agents-plugin-silero")
]
PLACE = "support-7"
ASK = "Are you still there?"
ANSWER = f"You said: {HELLO}"
NOON = 'It is "noon in Europe/London".'
"""Node's SDK gives the model a tool's result as JSON."""
TRIES = 4
"""Requests that LiveKit's SDK makes before an answer is lost."""
BATCH_SECONDS = 5.0
"""How often it uploads spans and logs."""
SENT = ("authorization", "content-type", "content-encoding")
ENDED = "job process shutdown"
"""In its log: the job's process has ended."""
SDK_SECONDS = 40.0
"""How long LiveKit's SDK may take to give up a hub that is down."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which npm has installed LiveKit's packages, and the agent lies."""
    named = os.environ.get("AGENT_NODE")
    folder = Path(named) if named else tmp_path_factory.mktemp("node-agent")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules/@livekit/agents-plugin-silero").is_dir():
        (folder / "package.json").write_text('{"type": "module", "private": true}')
        # Its package has the CPU's library; the install script would fetch the GPU's from elsewhere.
        npm("install", "--onnxruntime-node-install=skip", *PACKAGES, cwd=folder)
    (folder / "agent.mjs").write_bytes((ROOT / "tests/uploads/node_agent.mjs").read_bytes())
    return folder


@pytest.fixture
def place(tmp_path: Path, _needs_livekit_server: None) -> Iterator[Place]:
    """A livekit-server whose webhooks reach the hub."""
    with Place(tmp_path) as here:
        yield here


@pytest.fixture
def start(place: Place, stub: OpenAIStub, packages: Path) -> Iterator[Start]:
    """Start the agent, which uploads to an address, and wait until it takes calls."""
    stub.learn(HELLO, TIME, STORY, STOP, ASK)
    arguments = {"time_zone": "Europe/London"}
    stub.script.add(Rule("current time", tool="current_time", arguments=arguments, text="It is {output}."))
    stub.script.add(Rule("story", text=LONG))
    models = {"OPENAI_API_KEY": "any", "OPENAI_BASE_URL": stub.base_url}
    with contextlib.ExitStack() as running:

        def begin(url: str) -> Program:
            own = {"LIVEKIT_OBSERVABILITY_URL": url, "PORT": str(free_port())}
            settings = {**place.livekit.environment, **models, **own}
            agent = Program([node(), str(packages / "agent.mjs"), "start", "--log-level=debug"], **settings)
            running.callback(agent.stop)
            agent.wait_for("registered worker", 120)
            return agent

        yield begin


def hears(person: Participant, text: str, times: int = 1) -> None:
    """Wait until the room's own transcription has a text; Node's SDK does not mark the end of one."""
    until(
        lambda: sum(one.text.strip() == text for one in person.words.all()) >= times,
        what=lambda: f"{text!r} in {person.words.all()}",
    )


def listens(person: Participant) -> None:
    """Wait until the agent listens, and a moment more: a person does not speak at once."""
    until(
        lambda: [state for _, state in person.agent_states.all()][-1:] == ["listening"],
        what=person.agent_states.all,
    )
    time.sleep(0.8)


def begins(person: Participant) -> None:
    """Hear the greeting."""
    person.wait_for_agent(60)
    hears(person, GREETING)
    listens(person)


def asks(person: Participant, question: str, answer: str, times: int = 1) -> None:
    """Ask something, and hear the answer."""
    person.say(question)
    hears(person, answer, times)
    listens(person)


def by_turns(events: Iterable[Event]) -> Turns:
    """Return what the user and the agent said in each turn, by the turns' order of appearance.

    The rest of an answer that was cut may be told after the words that cut it.
    """
    numbers: dict[str, int] = {}
    found: Turns = {}
    for event in events:
        if event["type"] == "transcript" and event["is_final"]:
            turn = numbers.setdefault(event["turn_id"], len(numbers))
            found.setdefault(turn, ([], []))[event["role"] == "agent"].append(event["text"].strip())
    return found


def of_session(hub: HubServer, session: str) -> list[Event]:
    return [seen.fields for seen in hub.stream.events.all() if seen["session_id"] == session]


def by_time(events: Iterable[Event]) -> list[Event]:
    """Sort events made from uploads: a span is uploaded when it has ended."""
    return sorted(events, key=lambda event: event["timestamp"])


def is_complete(hub: HubServer, session: str) -> None:
    """Wait until the hub has compared a session's transcript with LiveKit's chat history: nothing is missing."""
    about = f"/api/sessions/{session}"
    until(lambda: (hub.get(about)["reconciliation"] or {}).get("complete"), what=lambda: hub.get(about))


def test_a_conversation_is_the_same_by_watcher_and_uploads(
    place: Place, stub: OpenAIStub, start: Start, tmp_path: Path
) -> None:
    hub = place.hub()
    receiver = Receiver()
    agent = start(receiver.url)
    with place.person(PLACE) as alice:
        begins(alice)
        asks(alice, HELLO, ANSWER)
        asks(alice, TIME, NOON)
        alice.say(STORY)
        until(lambda: any("small boat" in one.text for one in alice.words.all()), what=lambda: agent.log)
        alice.say(STOP)
        hears(alice, f"You said: {STOP}")
        listens(alice)
        asked = len(stub.requested("llm"))
        stub.fail("llm", "500")
        alice.say(ASK)
        until(lambda: len(stub.requested("llm")) >= asked + TRIES, what=lambda: agent.log)
        stub.heal()
        listens(alice)
        asks(alice, ASK, f"You said: {ASK}")
    over = hub.stream.wait("session_ended", seconds=60)
    assert over["reason"] == "participant_disconnected"
    hub.stream.wait("room_finished", room=PLACE, seconds=90)
    until(lambda: watcher(hub)["rooms"] == 0, what="the watcher has left")
    (started,) = hub.stream.of_type("session_started")
    assert (started["source"], started["room"]) == ("watcher", PLACE)
    watched = of_session(hub, started["session_id"])
    until(lambda: any(one["path"].endswith("/recordings/v0") for one in receiver.uploads), seconds=90)
    time.sleep(BATCH_SECONDS + 1)
    uploaded = by_time(given_to_another(place, receiver, tmp_path / "other"))
    for way in (watched, uploaded):
        told = by_turns(way)
        (story,) = told[3][1]
        assert LONG.startswith(story.removesuffix("…")[:40])
        assert len(story) < len(LONG)
        assert told == {
            0: ([], [GREETING]),
            1: ([HELLO], [ANSWER]),
            2: ([TIME], [NOON]),
            3: ([STORY], [story]),
            4: ([STOP], [f"You said: {STOP}"]),
            5: ([ASK], []),
            6: ([ASK], [f"You said: {ASK}"]),
        }
    states = [event["state"] for event in watched if event["type"] == "agent_state"]
    assert {"listening", "thinking", "speaking"} <= set(states)
    assert any(event["type"] == "transcript" and not event["is_final"] for event in watched)
    by_type: dict[str, list[Event]] = {}
    for event in uploaded:
        by_type.setdefault(event["type"], []).append(event)
    (cut,) = by_type["interruption"]
    answers = [one for one in by_type["transcript"] if one["role"] == "agent"]
    assert [one["turn_id"] for one in answers if one["interrupted"]] == [cut["turn_id"]]
    (call,) = by_type["tool_call_finished"]
    assert (call["name"], call["status"]) == ("current_time", "done")
    failed = [(one["source"], one["recoverable"]) for one in by_type["error"]]
    assert failed == [("llm", True)] * (TRIES - 1) + [("llm", False)]
    assert all("500" in one["message"] for one in by_type["error"])


def given_to_another(place: Place, receiver: Receiver, folder: Path) -> list[Event]:
    """Give the uploads to a hub that has nothing else, and return what it makes of them."""
    folder.mkdir()
    with HubServer(folder, place.livekit.environment) as hub:
        for one in receiver.uploads:
            headers = {name: one["headers"][name] for name in SENT if name in one["headers"]}
            answer = requests.post(hub.url + one["path"], data=one["body"], headers=headers, timeout=60)
            assert answer.status_code == 200, answer.text
        over = hub.stream.wait("session_ended", seconds=60)
        hub.stream.wait("session_report", seconds=60)
        is_complete(hub, over["session_id"])
        return of_session(hub, over["session_id"])


def test_the_trace_completes_what_the_watcher_tells(place: Place, start: Start) -> None:
    hub = place.hub()
    start(hub.url)
    with place.person(PLACE) as alice:
        begins(alice)
        started = hub.stream.wait("session_started", source="watcher")
        asks(alice, HELLO, ANSWER)
    over = hub.stream.wait("session_ended", session_id=started["session_id"], seconds=60)
    is_complete(hub, over["session_id"])
    until(
        lambda: [one["session_id"] for one in hub.get("/api/sessions")["sessions"]] == [over["session_id"]],
        what=lambda: hub.get("/api/sessions"),
    )
    turns = hub.get(f"/api/sessions/{over['session_id']}/trace")["turns"]
    # The watcher's turns find their spans by the start of the agent's speech.
    assert [turn["turn_id"] for turn in turns] == [
        seen["turn_id"] for seen in hub.stream.of_type("agent_speech_started")
    ]
    stages = {stage["name"] for stage in turns[1]["stages"]}
    assert {"agent_turn", "llm_node", "tts_node"} <= stages
    assert by_turns(of_session(hub, over["session_id"])) == {0: ([], [GREETING]), 1: ([HELLO], [ANSWER])}


def test_its_uploads_are_a_session_while_it_talks(place: Place, start: Start) -> None:
    hub = place.hub(STREAM_WATCH="off")
    start(hub.url)
    with place.person(PLACE) as alice:
        begins(alice)
        started = hub.stream.wait("session_started", room=PLACE, seconds=60)
        asks(alice, HELLO, ANSWER)
        hub.stream.wait("transcript", role="agent", text=ANSWER, seconds=60)
        assert not hub.stream.of_type("session_ended")
    over = hub.stream.wait("session_ended", seconds=120)
    assert over["session_id"] == started["session_id"]
    is_complete(hub, over["session_id"])
    told = by_time(of_session(hub, over["session_id"]))
    assert by_turns(told) == {0: ([], [GREETING]), 1: ([HELLO], [ANSWER])}


@pytest.mark.parametrize("watch", ["all", "off"])
def test_an_answer_whose_voice_fails_is_seen_in_its_turn(
    place: Place, stub: OpenAIStub, start: Start, watch: str
) -> None:
    hub = place.hub(STREAM_WATCH=watch)
    agent = start(hub.url)
    with place.person(PLACE) as alice:
        begins(alice)
        stub.fail("tts", "500")
        alice.say(HELLO)
        until(lambda: '"tts_error"' in agent.log, what=lambda: agent.log)
        stub.heal()
        listens(alice)
        asks(alice, ASK, f"You said: {ASK}")
    over = hub.stream.wait("session_ended", seconds=120)
    about = f"/api/sessions/{over['session_id']}"
    until(lambda: hub.get(about)["reconciliation"] is not None, what=lambda: hub.get(about))

    def failed() -> list[tuple[str, str]]:
        """Return the words of the turns in which a stage failed."""
        words = {turn["turn_id"]: turn["user_text"] for turn in hub.get(about)["turns"]}
        return [
            (words[turn["turn_id"]], stage["name"])
            for turn in hub.get(f"{about}/trace")["turns"]
            for stage in turn["stages"]
            if stage["error"]
        ]

    until(lambda: failed() == [(HELLO, "tts_request_run")], what=lambda: hub.get(f"{about}/trace"))
    detail = hub.get(about)
    (turn,) = [turn for turn in detail["turns"] if turn["user_text"] == HELLO]
    assert (turn["agent_started"], turn["heard_latency"]) == (None, None)
    if watch == "all":
        # LiveKit's chat history has it, although it was never spoken.
        assert [line["text"] for line in detail["reconciliation"]["missing"]] == [ANSWER]
    else:
        assert detail["reconciliation"]["complete"]
        (error,) = detail["errors"]
        assert (error["source"], error["recoverable"]) == ("tts", False)
        assert "500" in error["message"]


@pytest.mark.parametrize("watch", ["all", "off"])
def test_one_that_is_killed_ends_its_session(place: Place, start: Start, watch: str) -> None:
    hub = place.hub(STREAM_WATCH=watch)
    agent = start(hub.url)
    with place.person(PLACE) as alice:
        begins(alice)
        source = "watcher" if watch == "all" else None
        started = hub.stream.wait("session_started", room=PLACE, source=source, seconds=60)
        agent.kill_group()
        over = hub.stream.wait("session_ended", session_id=started["session_id"], seconds=150)
        assert over["reason"] == "worker_lost"
    until(
        lambda: (
            [(one["session_id"], one["state"]) for one in hub.get("/api/sessions")["sessions"]]
            == [(started["session_id"], "ended")]
        ),
        what=lambda: hub.get("/api/sessions"),
    )


def test_two_rooms_of_which_one_is_found_late(place: Place, start: Start) -> None:
    agent = start(f"http://127.0.0.1:{place.port}")
    with place.person("north", "ann") as ann:
        begins(ann)
        # Nothing has told this hub that there is a call.
        hub = place.hub()
        with place.person("south", "bob") as bob:
            begins(bob)
            asks(bob, HELLO, ANSWER)
            asks(ann, HELLO, ANSWER)
            until(lambda: watcher(hub)["sessions"] == 2, what=lambda: agent.log)
            north, south = (
                hub.stream.wait("session_started", room=room, source="watcher") for room in ("north", "south")
            )
            assert (place.watchers("north"), place.watchers("south")) == (1, 1)
        _ended(hub, south)
        # The other call continues.
        asks(ann, HELLO, ANSWER, 2)
    _ended(hub, north)
    assert by_turns(of_session(hub, south["session_id"])) == {0: ([], [GREETING]), 1: ([HELLO], [ANSWER])}
    assert by_turns(of_session(hub, north["session_id"])) == {0: ([HELLO], [ANSWER]), 1: ([HELLO], [ANSWER])}
    for one, person in ((north, "ann"), (south, "bob")):
        events = of_session(hub, one["session_id"])
        assert {event["room"] for event in events} == {one["room"]}
        assert {event["participant"] for event in events if event.get("role") == "user"} == {person}
    until(lambda: watcher(hub)["rooms"] == 0, what="the watcher has left both")
    for room in ("north", "south"):
        hub.stream.wait("room_finished", room=room, seconds=90)


def _ended(hub: HubServer, started: Seen) -> None:
    over = hub.stream.wait("session_ended", session_id=started["session_id"], seconds=60)
    assert over["reason"] == "participant_disconnected"


def test_a_person_who_returns_finds_the_agent_and_the_watcher(place: Place, start: Start) -> None:
    hub = place.hub()
    start(hub.url)
    returns(place, hub)


def test_a_hub_that_dies_in_mid_call_does_not_hold_it_up(place: Place, start: Start) -> None:
    hub = place.hub(STREAM_WATCH="off")
    agent = start(hub.url)
    with place.person(PLACE) as alice:
        begins(alice)
        hub.kill()
        asks(alice, HELLO, ANSWER)
    until(lambda: PLACE not in place.rooms(), seconds=120, what="the room is closed")
    closed = time.monotonic()
    until(lambda: ENDED in agent.log.lower(), seconds=120, what=lambda: agent.log)
    assert time.monotonic() - closed < SDK_SECONDS
    with place.person("next", "bob") as bob:
        begins(bob)
