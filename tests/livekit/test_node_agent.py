"""A Node agent (`@livekit/agents` as npm has it) that knows nothing of the hub: watched live, and by what it uploads.

npm's packages are kept between runs in the folder AGENT_NODE, where that is set.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.process import ROOT, Program
from tests.kit.wait import until
from tests.livekit.test_watcher import HELLO, Place, watcher
from tests.packages.node import node, npm
from tests.stubs.script import GREETING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.livekit.participant import Participant
    from tests.livekit.processes import HubServer, Seen
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(560)]

VERSION = "1.9.0"
PACKAGES = [
    f"{name}@{VERSION}"
    for name in ("@livekit/agents", "@livekit/agents-plugin-openai", "@livekit/agents-plugin-silero")
]
ANSWER = f"You said: {HELLO}"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which npm has installed LiveKit's packages, and the agent lies."""
    named = os.environ.get("AGENT_NODE")
    folder = Path(named) if named else tmp_path_factory.mktemp("node-agent")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules/@livekit/agents-plugin-silero").is_dir():
        (folder / "package.json").write_text('{"type": "module", "private": true}')
        npm("install", *PACKAGES, cwd=folder)
    (folder / "agent.mjs").write_bytes((ROOT / "tests/uploads/node_agent.mjs").read_bytes())
    return folder


@pytest.fixture
def place(tmp_path: Path, _needs_livekit_server: None) -> Iterator[Place]:
    """A livekit-server whose webhooks reach the hub."""
    with Place(tmp_path) as here:
        yield here


@pytest.fixture
def start(place: Place, stub: OpenAIStub, packages: Path) -> Iterator[None]:
    """The agent, registered; it uploads to the hub whose port `place` knows."""
    stub.learn(HELLO)
    settings = {
        "OPENAI_API_KEY": "any",
        "OPENAI_BASE_URL": stub.base_url,
        "LIVEKIT_OBSERVABILITY_URL": f"http://127.0.0.1:{place.port}",
    }
    agent = Program([node(), str(packages / "agent.mjs"), "start"], **place.livekit.environment, **settings)
    try:
        agent.wait_for("registered worker", 120)
        yield
    finally:
        agent.stop()


def talk(place: Place) -> None:
    """Hear the greeting, say hello, hear the answer, and leave."""
    with place.person("support-7") as alice:
        alice.wait_for_agent(60)
        heard(alice, GREETING)
        time.sleep(1)
        alice.say(HELLO)
        heard(alice, ANSWER)
        time.sleep(1)


def heard(alice: Participant, text: str) -> None:
    """Wait until the room's own transcription has a text; Node's SDK does not mark the end of one."""
    alice.words.wait(lambda one: one.text.strip() == text, seconds=60, text=text)


def finals(hub: HubServer) -> list[tuple[str, str]]:
    found: list[Seen] = hub.stream.of_type("transcript", is_final=True)
    return [(one["role"], one["text"].strip()) for one in found]


@pytest.mark.usefixtures("start")
def test_its_words_and_states_are_on_the_stream_as_they_come(place: Place) -> None:
    hub = place.hub(STREAM_OBSERVABILITY="off")
    talk(place)
    over = hub.stream.wait("session_ended", seconds=60)
    assert over["reason"] == "participant_disconnected"
    (started,) = hub.stream.of_type("session_started")
    assert (started["source"], started["room"]) == ("watcher", "support-7")
    assert finals(hub) == [("agent", GREETING), ("user", HELLO), ("agent", ANSWER)]
    turns = {one["text"].strip(): one["turn_id"] for one in hub.stream.of_type("transcript", is_final=True)}
    assert turns[HELLO] == turns[ANSWER] != turns[GREETING]
    assert {one["state"] for one in hub.stream.of_type("agent_state")} >= {
        "listening",
        "thinking",
        "speaking",
    }
    assert hub.stream.of_type("transcript", is_final=False, role="agent"), "the words as they are spoken"
    until(lambda: watcher(hub)["rooms"] == 0, seconds=60, what="the watcher has left")
    hub.stream.wait("room_finished", room="support-7", seconds=90)


@pytest.mark.usefixtures("start")
def test_its_uploads_are_a_session(place: Place) -> None:
    hub = place.hub(STREAM_WATCH="off")
    talk(place)
    over = hub.stream.wait("session_ended", seconds=120)
    session = over["session_id"]
    assert session.startswith("AJ_")
    told = sorted(hub.stream.of_type("transcript", is_final=True), key=lambda one: one["timestamp"])
    assert [(one["role"], one["text"].strip()) for one in told] == [
        ("agent", GREETING),
        ("user", HELLO),
        ("agent", ANSWER),
    ]
    turns = [one["turn_id"] for one in told]
    assert turns[1] == turns[2] != turns[0]

    def complete() -> bool:
        detail = hub.get(f"/api/sessions/{session}")["reconciliation"]
        return detail is not None and bool(detail["complete"])

    until(complete, seconds=60, what="the transcript is complete")
    stages = [
        one["name"] for turn in hub.get(f"/api/sessions/{session}/trace")["turns"] for one in turn["stages"]
    ]
    assert {"user_turn", "agent_turn", "llm_node", "tts_node"} <= set(stages)
