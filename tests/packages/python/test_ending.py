"""Reasons in words: LiveKit's own where we have none that says more."""

from __future__ import annotations

import pytest
from livekit import rtc
from streaming_hub_client.ending import livekit_name, why_closed, why_left

Reason = rtc.DisconnectReason


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Reason.CLIENT_INITIATED, "participant_disconnected"),
        (Reason.USER_REJECTED, "user_rejected"),
        (Reason.USER_UNAVAILABLE, "user_unavailable"),
        (Reason.SIP_TRUNK_FAILURE, "sip_trunk_failure"),
        (Reason.CONNECTION_TIMEOUT, "participant_lost"),
        (Reason.STATE_MISMATCH, "participant_lost"),
        (Reason.SIGNAL_CLOSE, "participant_lost"),
        (None, "unknown_reason"),
        (0, "unknown_reason"),
        (99, "disconnect_reason_99"),
    ],
)
def test_why_a_user_left(reason: int | None, told: str) -> None:
    assert why_left(reason) == told


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Reason.CLIENT_INITIATED, None),
        (Reason.SERVER_SHUTDOWN, "server_shutdown"),
        (Reason.DUPLICATE_IDENTITY, "duplicate_identity"),
        (Reason.ROOM_CLOSED, "participant_disconnected"),
        (Reason.PARTICIPANT_REMOVED, "agent_removed"),
        (Reason.CONNECTION_TIMEOUT, "room_disconnected"),
        (Reason.UNKNOWN_REASON, "room_disconnected"),
        (99, "disconnect_reason_99"),
    ],
)
def test_why_the_agent_is_out(reason: int, told: str | None) -> None:
    assert why_closed(reason) == told


def test_every_reason_of_livekit_has_its_name() -> None:
    assert {livekit_name(value) for value in Reason.values()} == {name.lower() for name, _ in Reason.items()}
