"""The described event types: their examples fit, what does not fit is reported, and no type is left out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streaming_hub.events import posted
from streaming_hub.events.types import (
    COMMON,
    CONTROL_TYPES,
    PROCESS_TYPES,
    TYPES,
    Stored,
    own_fields,
    summary,
)


@pytest.mark.parametrize("name", TYPES)
def test_an_example_fits_its_type(name: str) -> None:
    kind = TYPES[name]
    assert kind.example["type"] == name
    fitted = msgspec.convert(kind.example, kind)
    # Nothing in it that the type does not know.
    assert set(kind.example) <= {"type", *kind.__struct_fields__}
    assert msgspec.to_builtins(fitted) == kind.example


@pytest.mark.parametrize("name", sorted(set(TYPES) - CONTROL_TYPES - PROCESS_TYPES))
def test_an_example_may_be_posted(name: str) -> None:
    assert posted.parse_one(msgspec.json.encode(TYPES[name].example)).type == name


@pytest.mark.parametrize("name", TYPES)
def test_every_field_says_what_it_is(name: str) -> None:
    assert summary(TYPES[name]).endswith((".", ")"))
    for field in own_fields(TYPES[name]):
        assert field["schema"].get("description"), f"{name}.{field['name']}"


def test_control_types_are_those_that_are_not_stored() -> None:
    assert {name for name, kind in TYPES.items() if not issubclass(kind, Stored)} == CONTROL_TYPES
    assert {"connected", "heartbeat", "snapshot", "stream_reset", "goodbye"} == CONTROL_TYPES


def test_a_few_stored_types_are_the_hubs_own() -> None:
    assert {"agent_process", "session_report"} == PROCESS_TYPES


def test_a_type_must_declare_its_view() -> None:
    class Undecided(Stored, tag="undecided", kw_only=True):
        """A type without a view."""

    with pytest.raises(AttributeError, match="view"):
        assert Undecided.view


def test_common_fields_are_not_repeated() -> None:
    for kind in TYPES.values():
        if issubclass(kind, Stored):
            assert {field["name"] for field in own_fields(kind)} & {*COMMON, "type"} == set()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("transcript", {"text": 5}),
        ("transcript", {"is_final": "yes"}),
        ("transcript", {"timestamp": -1}),
        ("transcript", {"room": "a\nb"}),
        ("tool_call_finished", {"status": "perhaps"}),
        ("agent_process", {"state": "asleep"}),
        ("stream_reset", {"reason": "lost"}),
        ("events_dropped", {"count": 0}),
        ("snapshot", {"rooms": [{"room": "a"}]}),
    ],
)
def test_what_does_not_fit_is_found(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(TYPES[name].example | change, TYPES[name])


def test_unknown_fields_pass() -> None:
    assert msgspec.convert(TYPES["transcript"].example | {"mood": "glad"}, TYPES["transcript"])
