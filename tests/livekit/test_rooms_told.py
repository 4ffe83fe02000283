"""What livekit-server and the hub tell each other: webhooks, tokens, and agents sent to open rooms."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.kit.process import free_port
from tests.livekit.participant import Participant
from tests.livekit.processes import HubServer, LiveKitServer
from tests.livekit.test_conversation import greeted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.livekit.conftest import Join, StartHub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(180)]


@pytest.fixture
def told_hub(tmp_path: Path, _needs_livekit_server: None) -> Iterator[tuple[LiveKitServer, HubServer]]:
    """A hub, and a livekit-server that sends its webhooks there."""
    port = free_port()
    webhook = f"http://127.0.0.1:{port}/api/livekit/webhook"
    with (
        LiveKitServer(tmp_path, webhook) as server,
        HubServer(tmp_path, server.environment, port) as hub,
    ):
        yield server, hub


def test_room_without_an_agent_is_reported_by_webhooks(told_hub: tuple[LiveKitServer, HubServer]) -> None:
    server, hub = told_hub
    with Participant(server.url, server.token("den", "alice"), "alice"):
        started = hub.stream.wait("room_started", room="den")
        joined = hub.stream.wait("participant_joined", room="den", participant="alice", after=started)
        assert (joined["role"], joined["kind"]) == ("user", "standard")
        assert hub.get("/api/rooms/den")["participants"] == [{"identity": "alice", "role": "user"}]
    left = hub.stream.wait("participant_left", room="den", participant="alice", after=joined)
    assert left["reason"] == "client_initiated"
    hub.stream.wait("room_finished", room="den", after=left, seconds=60)
    assert hub.get("/api/rooms/den")["participants"] == []
    told = hub.stream.events.all()
    assert "turnPassword" not in str(told)
    assert len({event["event_id"] for event in told if event["room"] == "den"}) == 4


def test_token_of_the_hub_opens_the_room_and_no_other(start_hub: StartHub) -> None:
    hub = start_hub()
    url, token = hub.token("kitchen", "alice")
    _, other = hub.token("kitchen", "bob")
    with contextlib.ExitStack() as inside:
        alice = inside.enter_context(Participant(url, token, "alice"))
        bob = inside.enter_context(Participant(url, other, "bob"))
        alice.say("Hello there.")
        bob.heard.wait(lambda _: True, seconds=10, text="alice's voice")


def test_agent_goes_to_a_room_that_was_open_before_it_came(hub: HubServer) -> None:
    url, token = hub.token("hall", "alice")
    with Participant(url, token, "alice") as alice:
        hub.start_agent()
        greeted(hub.stream, "hall")
        assert alice.wait_for_agent()
        hub.post("/api/agent/stop")
        stopped = hub.stream.wait("agent_process", state="stopped")
        hub.start_agent()
        again = hub.stream.wait("session_started", room="hall", after=stopped, seconds=40)
        quiet = hub.stream.wait("agent_speech_finished", room="hall", after=again, seconds=30)
    ended = hub.stream.wait("session_ended", session_id=again["session_id"], after=quiet, seconds=30)
    assert ended["reason"] == "participant_disconnected"
    assert len(hub.stream.of_type("session_started")) == 2, "one agent each time"


def test_agent_with_a_name_is_sent_for_by_the_token(start_hub: StartHub, join: Join) -> None:
    hub = start_hub(AGENT_NAME="helper")
    hub.start_agent()
    url, token = hub.token("asked", "alice")
    with Participant(url, token, "alice"):
        hub.stream.wait("session_started", room="asked", seconds=30)
        join("not-asked", "bob")
        url, token = hub.token("asked-too", "carol")
        with Participant(url, token, "carol"):
            hub.stream.wait("session_started", room="asked-too", seconds=30)
        assert hub.stream.of_type("session_started", room="not-asked") == []


def test_agent_with_a_name_is_sent_again_when_its_process_was_killed(start_hub: StartHub) -> None:
    hub = start_hub(AGENT_NAME="helper")
    hub.start_agent()
    url, token = hub.token("asked", "alice")
    with Participant(url, token, "alice"):
        first = hub.stream.wait("session_started", room="asked", seconds=30)
        os.kill(hub.get("/api/agent/status")["pid"], signal.SIGKILL)
        ended = hub.stream.wait("session_ended", session_id=first["session_id"])
        assert ended["reason"] == "worker_lost"
        again = hub.stream.wait("session_started", room="asked", after=ended, seconds=60)
        assert again["session_id"] != first["session_id"]
