"""Which view sees which type: the design's table, spelled out once more by hand."""

import pytest

from streaming_hub.events.types import CONTROL_TYPES, PROCESS_TYPES, TYPES, operator_only

CONVERSATION = [
    "transcript",
    "agent_speech_started",
    "agent_speech_finished",
    "agent_ready",
    "session_started",
    "session_ended",
    "user_speech_started",
    "user_speech_finished",
    "agent_state",
    "user_state",
    "interruption",
    "agent_false_interruption",
    "user_transcription_timeout",
    "handoff",
    "room_started",
    "participant_joined",
    "participant_left",
    "room_finished",
]
WITHHELD = [
    "tool_call_started",
    "tool_call_updated",
    "tool_call_finished",
    "turn_metrics",
    "usage",
    "error",
    "agent_process",
    "session_report",
    "events_dropped",
]


@pytest.mark.parametrize("event_type", CONVERSATION)
def test_viewers_see_the_conversation(event_type: str) -> None:
    assert not operator_only(event_type)


@pytest.mark.parametrize("event_type", WITHHELD)
def test_viewers_do_not_see_the_machinery(event_type: str) -> None:
    assert operator_only(event_type)


@pytest.mark.parametrize("event_type", ["my_event", "Error", "tool_call", "x.usage"])
def test_unknown_types_go_to_viewers(event_type: str) -> None:
    assert not operator_only(event_type)


@pytest.mark.parametrize("event_type", ["my_event", "transcript", "usage"])
def test_an_event_for_operators_is_withheld_whatever_its_type(event_type: str) -> None:
    assert operator_only(event_type, "operator")


@pytest.mark.parametrize("audience", ["viewer", "everyone", "", None, 1, ["operator"], {"operator": True}])
def test_no_other_audience_changes_the_table(audience: object) -> None:
    assert operator_only("usage", audience)
    assert not operator_only("transcript", audience)


def test_the_table_names_every_type_of_the_design_and_nothing_else() -> None:
    assert set(TYPES) == {*CONVERSATION, *WITHHELD, *CONTROL_TYPES}
    assert set(WITHHELD) >= PROCESS_TYPES


@pytest.mark.parametrize("event_type", sorted(CONTROL_TYPES))
def test_control_events_reach_every_view(event_type: str) -> None:
    assert not operator_only(event_type)
