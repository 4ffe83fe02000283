"""What an event is without the words in it."""

from __future__ import annotations

import msgspec
import pytest

from streaming_hub.events.types import TYPES
from streaming_hub.events.wordless import EMPTY, REPLACED, has_words, replacement, wordless


@pytest.mark.parametrize("kind", sorted(EMPTY))
def test_every_type_with_words_loses_them(kind: str) -> None:
    event: dict[str, object] = TYPES[kind].example
    assert has_words(event)
    assert not has_words(wordless(event))
    assert wordless(event).keys() == event.keys()


def test_other_events_stay_as_they_are() -> None:
    event = {"type": "agent_state", "text": "of a field that says nothing"}
    assert wordless(event) == event
    assert not has_words(event)


def test_an_event_is_replaced_by_one_of_the_same_segment() -> None:
    said = {"type": "transcript", "id": "e-1", "event_id": "upload:1", "segment_id": "s", "text": "my secret"}
    assert replacement(said) == {
        "type": "transcript",
        "event_id": "upload:1:redacted",
        "segment_id": "s",
        "text": "",
    }
    assert replacement({"type": "error", "id": "e-2", "message": "my secret"}) is None
    assert set(EMPTY) > REPLACED
    assert msgspec.json.encode(replacement(said))
