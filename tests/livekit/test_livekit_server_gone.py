"""livekit-server that is stopped, killed or never there: told at once, and mended when it is back."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.kit.process import free_port
from tests.livekit.test_conversation import greeted

if TYPE_CHECKING:
    from tests.livekit.conftest import Join, StartHub
    from tests.livekit.processes import HubServer, LiveKitServer

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]


def test_server_that_is_stopped_ends_its_sessions_and_new_rooms_work_when_it_is_back(
    hub: HubServer, livekit_server: LiveKitServer, join: Join
) -> None:
    hub.start_agent()
    join("hall")
    quiet = greeted(hub.stream, "hall")
    livekit_server.signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        # With people inside it waits for them to leave.
        livekit_server.process.wait(2)
    assert hub.stream.of_type("session_ended", "error") == []
    livekit_server.signal(signal.SIGTERM)
    livekit_server.wait()
    hub.stream.wait_for_agent("running", "cannot be reached", after=quiet)
    assert "cannot be reached" in hub.get("/api/agent/status")["trouble"]
    ended = hub.stream.wait("session_ended", room="hall", after=quiet, seconds=60)
    assert ended["reason"] == "server_shutdown"
    away = hub.stream.wait_for_agent("ready", "cannot be reached", after=ended)
    livekit_server.start()
    hub.stream.wait_for_agent("ready", "", after=away)
    assert hub.get("/api/agent/status")["trouble"] is None
    join("den", "bob")
    hub.stream.wait("session_started", room="den")


def test_server_that_is_killed_for_good_is_reported_at_once(
    hub: HubServer, livekit_server: LiveKitServer, join: Join
) -> None:
    hub.start_agent()
    join("hall")
    quiet = greeted(hub.stream, "hall")
    livekit_server.kill()
    lost = hub.stream.wait("error", source="room", room="hall", after=quiet, seconds=8)
    away = hub.stream.wait_for_agent("running", "cannot be reached", after=quiet, seconds=8)
    assert livekit_server.url in away["reason"]
    hub.stream.wait("error", source="worker", after=quiet)
    ended = hub.stream.wait("session_ended", room="hall", after=lost, seconds=60)
    assert ended["reason"] == "room_disconnected"
    assert len(hub.stream.of_type("error")) == 2, "each is told once"


def test_server_that_cannot_be_reached_fails_the_start(start_hub: StartHub) -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    hub = start_hub(LIVEKIT_URL=url)
    answer = hub.start_agent()
    failed = hub.stream.wait("agent_process", state="failed")
    assert url in failed["reason"]
    assert "cannot be reached" in failed["reason"]
    assert failed["restart_in"] is None, "what a setting is wrong about, no repetition mends"
    assert answer["state"] == "failed"
