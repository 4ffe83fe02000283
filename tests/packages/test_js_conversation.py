"""The npm package's reducer beside the hub's, on the same random events."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming_hub.rooms.facts import EFFECTS
from tests.packages.node import PACKAGE, node
from tests.packages.test_conversation_vectors import reduced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
FIELDS = [
    "room", "session_id", "participant", "role", "turn_id", "segment_id", "call_id", "text", "is_final",
    "interrupted", "state", "timestamp", "status", "name", "arguments", "output", "duration", "reason",
]  # fmt: skip
TYPES = st.sampled_from([*EFFECTS, "custom", "turn_metrics"])
ROOMS = st.sampled_from(["r", "r", "r", "__proto__", "constructor", "17", ""])
PEOPLE = ["ann", "bot", "\uffee", "\U0001f600", "__proto__"]
"""The third and fourth stand in another order by UTF-16 units than by code points."""


def some(*values: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, "", *values])


RELATED = st.fixed_dictionaries(
    {"type": TYPES, "room": ROOMS},
    optional={
        "session_id": some("s1", "s2"),
        "participant": some(*PEOPLE),
        "role": some("user", "agent"),
        "turn_id": some("t1", "t2"),
        "segment_id": some("g1", "g2", "g3"),
        "call_id": some("c1", "c2"),
        "name": some("f"),
        "is_final": st.booleans(),
        "interrupted": st.booleans(),
        "text": TEXT,
        "state": some("listening", "speaking"),
        "status": some("done"),
        "timestamp": NUMBERS,
        "reason": some("error"),
    },
)
HOSTILE = st.builds(
    lambda related, wild: {**related, **wild},
    RELATED,
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6),
)
LONG = st.lists(
    st.builds(
        lambda kind, number: {
            "type": kind, "room": "r", "session_id": f"s{number % 30}", "participant": f"p{number}",
            "segment_id": f"g{number}", "turn_id": f"t{number}", "call_id": f"c{number % 15}", "role": "user",
        },
        TYPES,
        st.integers(0, 90),
    ),
    min_size=60,
    max_size=160,
)  # fmt: skip
"""So many that the oldest are forgotten."""
TURNS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(
                [
                    "transcript",
                    "agent_speech_started",
                    "agent_speech_finished",
                    "user_speech_started",
                    "session_ended",
                ]
            ),
            "room": st.just("r"),
            "session_id": st.sampled_from(["s1", "s1", "s2"]),
            "role": st.sampled_from(["user", "agent"]),
            "turn_id": st.sampled_from(["t1", "t2", "t3"]),
            "is_final": st.booleans(),
        }
    ),
    max_size=25,
)
"""Turns that begin, end and begin again while words of others come late."""
STORIES = st.one_of(st.lists(RELATED, max_size=25), st.lists(HOSTILE, max_size=8), LONG, TURNS)


@pytest.fixture(scope="module")
def reduce() -> Iterator[Callable[[list[dict[str, Any]]], dict[str, Any]]]:
    """Reduce events by the npm package, in one Node process for all."""
    process = subprocess.Popen(
        [node(), str(PACKAGE / "test/kit/reduce.js")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    sink, source = process.stdin, process.stdout

    def call(events: list[dict[str, Any]]) -> dict[str, Any]:
        sink.write(json.dumps(events) + "\n")
        sink.flush()
        # JavaScript writes large doubles without an exponent.
        answer: dict[str, Any] = json.loads(source.readline(), parse_int=float)
        return answer

    yield call
    sink.close()
    assert process.wait(10) == 0


def numbered(story: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "id": f"e1-{seq}"} for seq, event in enumerate(story, 1)]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(story=STORIES)
def test_both_reducers_agree_after_every_event(
    story: list[dict[str, Any]], reduce: Callable[[list[dict[str, Any]]], dict[str, Any]]
) -> None:
    events = numbered(story)
    answer = reduce(events)
    wanted = reduced(events)
    assert answer["atOnce"] == wanted
    for upto in range(len(events)) if len(events) < 30 else (len(events) - 1,):
        assert answer["steps"][upto] == reduced(events[: upto + 1]), upto


def test_the_order_of_lines_survives_more_transcripts_than_are_remembered(
    reduce: Callable[[list[dict[str, Any]]], dict[str, Any]],
) -> None:
    events = numbered(
        [
            {
                "type": "transcript",
                "room": "r",
                "segment_id": f"g{number % 60 if number % 7 else 0}",
                "text": str(number),
            }
            for number in range(1300)
        ]
    )
    assert reduce(events)["atOnce"] == reduced(events)
