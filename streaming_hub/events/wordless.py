"""Events without what was said in them, for sessions that LiveKit marks as redacted. Pure."""

from __future__ import annotations

from typing import Any, Final

Fields = dict[str, Any]

EMPTY: Final[dict[str, Fields]] = {
    "transcript": {"text": ""},
    "tool_call_started": {"arguments": None},
    "tool_call_updated": {"message": None},
    "tool_call_finished": {"output": None},
    "error": {"message": "failed"},
    "session_report": {"transcript": []},
}
"""Type -> the fields that may quote what was said, and what stands there instead."""
REPLACED: Final = frozenset({"transcript", "tool_call_started", "tool_call_finished"})
"""Types of which a later event takes an earlier one's place: by `segment_id` or `call_id`."""
MARK: Final = ":redacted"
"""Suffix of the `event_id` of an event that takes the place of one with words."""


def wordless(event: Fields) -> Fields:
    """Return an event without what was said."""
    return event | {name: value for name, value in EMPTY.get(event["type"], {}).items() if name in event}


def has_words(event: Fields) -> bool:
    """Return whether an event has a field that may quote what was said, and that is not emptied."""
    return wordless(event) != event


def replacement(event: Fields) -> Fields | None:
    """Return the event that takes the place of a published one with words; None where the type has no such event.

    Args:
        event: as it was published, with its `id`.
    """
    if event["type"] not in REPLACED:
        return None
    fields = {name: value for name, value in wordless(event).items() if name != "id"}
    return fields | {"event_id": f"{event.get('event_id', event['id'])}{MARK}"}
