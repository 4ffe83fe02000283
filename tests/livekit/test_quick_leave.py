"""People who leave before the agent's session has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.livekit.conftest import Join
    from tests.livekit.processes import HubServer

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]


@pytest.mark.parametrize("moment", ["at once", "agent in room", "session started"])
def test_a_user_who_leaves_within_a_second_is_the_reason_of_the_end(
    hub: HubServer, join: Join, moment: str
) -> None:
    hub.start_agent()
    alice = join("hall")
    if moment == "agent in room":
        alice.wait_for_agent()
    if moment == "session started":
        hub.stream.wait("session_started", room="hall")
    alice.leave()
    ended = hub.stream.wait("session_ended", room="hall", seconds=60)
    assert ended["reason"] == "participant_disconnected"
