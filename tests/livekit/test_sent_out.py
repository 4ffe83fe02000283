"""Operators of livekit-server send people, the agent or everybody out of a room: the end says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.livekit.test_conversation import greeted

if TYPE_CHECKING:
    from tests.livekit.conftest import Join
    from tests.livekit.processes import HubServer, LiveKitServer

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(180)]


def test_deleted_room(hub: HubServer, livekit_server: LiveKitServer, join: Join) -> None:
    hub.start_agent()
    join("hall")
    quiet = greeted(hub.stream, "hall")
    livekit_server.ask("RoomService/DeleteRoom", room="hall")
    ended = hub.stream.wait("session_ended", room="hall", after=quiet)
    assert ended["reason"] == "room_deleted"


def test_removed_user(hub: HubServer, livekit_server: LiveKitServer, join: Join) -> None:
    hub.start_agent()
    join("hall")
    quiet = greeted(hub.stream, "hall")
    livekit_server.ask("RoomService/RemoveParticipant", room="hall", identity="alice")
    ended = hub.stream.wait("session_ended", room="hall", after=quiet, seconds=60)
    assert ended["reason"] == "participant_removed"


def test_removed_agent(hub: HubServer, livekit_server: LiveKitServer, join: Join) -> None:
    hub.start_agent()
    alice = join("hall")
    agent = alice.wait_for_agent()
    quiet = greeted(hub.stream, "hall")
    livekit_server.ask("RoomService/RemoveParticipant", room="hall", identity=agent)
    ended = hub.stream.wait("session_ended", room="hall", after=quiet)
    assert ended["reason"] == "agent_removed"
