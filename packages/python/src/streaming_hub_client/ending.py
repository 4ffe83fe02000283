"""Why a session ends: names for LiveKit's reasons, and what this process knows about its own end. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livekit import rtc

if TYPE_CHECKING:
    from collections.abc import Callable

Reason = rtc.DisconnectReason

PARTICIPANT_LOST = "participant_lost"
ROOM_DISCONNECTED = "room_disconnected"

_BROKEN = frozenset({Reason.STATE_MISMATCH, Reason.CONNECTION_TIMEOUT, Reason.SIGNAL_CLOSE})
"""Reasons that mean a broken connection."""

_LEFT = {
    Reason.CLIENT_INITIATED: "participant_disconnected",
    **dict.fromkeys(_BROKEN, PARTICIPANT_LOST),
}
_CLOSED = {
    # LiveKit closes a room after its last participant has left.
    Reason.ROOM_CLOSED: "participant_disconnected",
    Reason.PARTICIPANT_REMOVED: "agent_removed",
    # The SDK gives no reason if it could not reconnect.
    Reason.UNKNOWN_REASON: ROOM_DISCONNECTED,
    **dict.fromkeys(_BROKEN, ROOM_DISCONNECTED),
}


def livekit_name(reason: int | None) -> str:
    """Return LiveKit's name of a disconnect reason in lower case, such as `user_rejected`.

    Args:
        reason: A value of `rtc.DisconnectReason`, possibly newer than the installed SDK; None if not given.
    """
    try:
        return Reason.Name(reason or Reason.UNKNOWN_REASON).lower()  # type: ignore[arg-type]  # also a newer one
    except ValueError:
        return f"disconnect_reason_{reason}"


def why_left(reason: int | None) -> str:
    """Return why a session ends when its user leaves the room: one of our reasons, or LiveKit's own."""
    return _LEFT.get(reason or Reason.UNKNOWN_REASON) or livekit_name(reason)  # type: ignore[call-overload]


def why_closed(reason: int | None) -> str | None:
    """Return why a session ends when the agent leaves the room; None if the agent left on its own."""
    if reason == Reason.CLIENT_INITIATED:
        return None
    return _CLOSED.get(reason or Reason.UNKNOWN_REASON) or livekit_name(reason)  # type: ignore[call-overload]


class _Ending:
    """Holds the reason why this process's sessions are about to end."""

    def __init__(self) -> None:
        self.ask: Callable[[], str | None] = lambda: None


_ending = _Ending()


def announce_end(reason: str) -> None:
    """Set the `session_ended` reason of this process's sessions: the process is about to end.

    Also applies to sessions attached later, since a job may just be starting.

    Args:
        reason: For example `agent_stopped`.
    """
    ask_for_end(lambda: reason)


def ask_for_end(reason: Callable[[], str | None]) -> None:
    """Set a function that finds out why this process's sessions end, for use when another process knows.

    Args:
        reason: Called at every event; returns a reason as for `announce_end`, or None if it is not known.
    """
    _ending.ask = reason


def known_end() -> str | None:
    """Return the reason announced for this process's sessions, if any."""
    return _ending.ask()
