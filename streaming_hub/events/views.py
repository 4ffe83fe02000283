"""Which type of event belongs to which view: one table and one function.

The live stream, replay, snapshot, `/api/events` and `/api/rooms` all ask `operator_only`, so that no caller can
read in the history what was withheld on the stream.
"""

from __future__ import annotations

from typing import Final, Literal

View = Literal["viewer", "operator"]
"""`viewer` is the conversation; `operator` is everything."""

VIEWER: Final = "viewer"
OPERATOR: Final = "operator"

VIEW_OF_TYPE: Final[dict[str, View]] = {
    "connected": VIEWER,
    "heartbeat": VIEWER,
    "snapshot": VIEWER,
    "stream_reset": VIEWER,
    "goodbye": VIEWER,
    "transcript": VIEWER,
    "agent_ready": VIEWER,
    "agent_speech_started": VIEWER,
    "agent_speech_finished": VIEWER,
    "user_speech_started": VIEWER,
    "user_speech_finished": VIEWER,
    "agent_state": VIEWER,
    "user_state": VIEWER,
    "session_started": VIEWER,
    "session_ended": VIEWER,
    "interruption": VIEWER,
    "handoff": VIEWER,
    "room_started": VIEWER,
    "room_finished": VIEWER,
    "participant_joined": VIEWER,
    "participant_left": VIEWER,
    "tool_call_started": OPERATOR,
    "tool_call_updated": OPERATOR,
    "tool_call_finished": OPERATOR,
    "turn_metrics": OPERATOR,
    "usage": OPERATOR,
    "error": OPERATOR,
    "events_dropped": OPERATOR,
    "agent_process": OPERATOR,
    "session_report": OPERATOR,
}
"""The lowest view that sees a type. A type that is not here is the operator's own and goes to viewers."""


def operator_only(event_type: str, audience: object = None) -> bool:
    """Say whether an event is withheld from viewers. The only place that decides it.

    Args:
        event_type: the event's `type`.
        audience: the event's `audience`, whatever was posted; only the string `operator` counts. It can
            withhold an event from viewers, never show them more.
    """
    return audience == OPERATOR or VIEW_OF_TYPE.get(event_type) == OPERATOR
