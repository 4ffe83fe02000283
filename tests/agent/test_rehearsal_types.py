"""What a real rehearsal posts is what the event types describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hub.event_types import TYPES

if TYPE_CHECKING:
    from tests.agent.rehearsals import Recorded


def unfitting(events: list[dict[str, Any]]) -> list[str]:
    """What does not fit, each with its reason; fields that the type does not know, too."""
    found = []
    for event in events:
        kind = TYPES.get(event["type"])
        if kind is None:
            found.append(f"{event['type']} is not described")
            continue
        unknown = set(event) - {"type", *kind.__struct_fields__}
        if unknown:
            found.append(f"{event['type']} has {unknown}")
        try:
            msgspec.convert(event, kind)
        except msgspec.ValidationError as error:
            found.append(f"{event['type']}: {error}")
    return found


def test_every_event_of_a_rehearsal_is_described(rehearsal: Recorded) -> None:
    assert unfitting(rehearsal.everything) == []
    seen = {event["type"] for event in rehearsal.everything}
    assert seen >= {
        "transcript",
        "agent_state",
        "user_state",
        "tool_call_started",
        "tool_call_finished",
        "turn_metrics",
        "usage",
        "interruption",
        "session_started",
        "session_ended",
    }


def test_a_change_that_the_types_do_not_know_would_be_found() -> None:
    transcript = TYPES["transcript"].example
    assert unfitting([transcript | {"words": 3}]) == ["transcript has {'words'}"]
    assert len(unfitting([transcript | {"text": None}, {"type": "new"}])) == 2
