"""Simulated calls are calls as `attach` reports them. Covers `streaming_hub.demo.scenes`."""

from __future__ import annotations

import json
from itertools import islice, pairwise
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from streaming_hub.archive import figures
from streaming_hub.archive.reduce import Reduction
from streaming_hub.demo.calls import OLDEST, Call, line, timelines
from streaming_hub.demo.scenes import SCENES
from streaming_hub.events.posted import parse_one
from tests.structure.sources import ROOT

Event = dict[str, Any]
LINES = 20
BEGIN = 1_000_000.0


def events(number: int, count: int = 600) -> list[Event]:
    """Return the first events of a line."""
    return [event for _, event in islice(line(number, BEGIN), count)]


def calls(number: int, count: int = 3) -> list[list[Event]]:
    """Return the events of a line's first calls."""
    begin, found = BEGIN, []
    for run in range(count):
        call = Call(number, run, begin)
        call.play()
        found.append([{**event, "timestamp": at} for at, event in call.events])
        begin = call.now + call.pause
    return found


@pytest.mark.parametrize("number", range(len(SCENES)))
def test_every_event_is_one_of_the_reference(number: int) -> None:
    validator = jsonschema_rs.validator_for(
        json.loads((ROOT / "docs" / "reference" / "events.schema.json").read_text())
    )
    for event in events(number):
        parse_one(msgspec.json.encode(event))
        validator.validate(event)


def test_the_same_number_gives_the_same_calls() -> None:
    assert events(3) == events(3)
    assert events(3) != events(4)


@pytest.mark.parametrize("number", range(LINES))
def test_events_arrive_in_the_order_in_which_they_happen(number: int) -> None:
    assert all(one["timestamp"] <= other["timestamp"] for one, other in pairwise(events(number)))


@pytest.mark.parametrize("number", range(LINES))
def test_a_call_has_the_figures_of_a_call(number: int) -> None:
    for call in calls(number):
        reduction = Reduction.of(call[0])
        for event in call:
            reduction.take(event)
        detail = json.loads(json.dumps(figures.detail(reduction.state)))
        session = detail["session"]
        assert session["state"] == "ended"
        assert session["turns"] > 2
        assert session["overlap"] == 0
        assert session["user_words"] > 5 or session["reason"] == "worker_lost"
        answered = [turn for turn in detail["turns"] if turn["heard_latency"] is not None]
        for turn in answered:
            assert 0.3 < turn["heard_latency"] < 15
            assert turn["heard_latency"] == pytest.approx(turn["e2e_latency"], abs=0.002)
        assert all(tool["duration"] is not None for tool in detail["tools"])


def test_interims_grow_into_their_final() -> None:
    for number in range(len(SCENES)):
        said: dict[str, list[Event]] = {}
        for event in calls(number)[0]:
            if event["type"] == "transcript":
                said.setdefault(event["segment_id"], []).append(event)
        assert sum(len(one) for one in said.values()) > 3 * len(said)
        for interims in said.values():
            assert [event["is_final"] for event in interims] == [False] * (len(interims) - 1) + [True]
            for one, other in pairwise(interims):
                assert other["text"].startswith(one["text"])


def test_everything_that_the_console_marks_happens() -> None:
    found = [event for number in range(LINES) for event in events(number, 4000)]
    assert any(event["type"] == "error" for event in found)
    assert any(event.get("status") == "error" for event in found)
    assert any(event.get("reason") == "worker_lost" for event in found)
    for kind in ("interruption", "events_dropped", "turn_metrics", "usage"):
        assert any(event["type"] == kind for event in found), kind


def test_calls_have_been_going_for_a_while_when_the_demo_begins() -> None:
    begins = [next(timeline)[0] for timeline in timelines(50, BEGIN)]
    assert all(BEGIN - OLDEST <= at <= BEGIN for at in begins)
    assert max(begins) - min(begins) > OLDEST / 2
    assert len({next(timeline)[1]["room"] for timeline in timelines(50, BEGIN)}) == 50
