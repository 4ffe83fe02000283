"""The golden vectors: events in, session out. The JavaScript twin runs against the same files.

Covers

    streaming_hub.archive.words
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streaming_hub.archive import figures, words
from streaming_hub.archive.reduce import Reduction

FOLDER = Path(__file__).parents[2] / "vectors" / "figures"
VECTORS = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
SESSIONS = {name: vector for name, vector in VECTORS.items() if name != "words-only"}


@pytest.mark.parametrize("name", sorted(SESSIONS))
def test_events_give_the_session(name: str) -> None:
    events = SESSIONS[name]["events"]
    reduction = Reduction.of(events[0])
    for event in events:
        reduction.take(event)
    assert json.loads(json.dumps(figures.detail(reduction.state))) == SESSIONS[name]["expect"]


@pytest.mark.parametrize("case", VECTORS["words-only"], ids=lambda case: repr(case["text"]))
def test_words(case: dict) -> None:
    assert words.count(case["text"]) == case["words"]


def test_no_vector_is_left_out() -> None:
    assert len(SESSIONS) >= 9
