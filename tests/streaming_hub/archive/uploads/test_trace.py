"""Spans to stages, turn by turn."""

from __future__ import annotations

from typing import Any

from streaming_hub.archive.uploads.otlp import Happening, Span
from streaming_hub.archive.uploads.trace import trace, turn_of

JOB = "AJ_1"


def span(
    name: str, name_of_it: str, parent: str = "", started: float = 100.0, ended: float = 101.0, **more: Any
) -> Span:
    return Span(JOB, "t", name_of_it, parent, name, started, ended, **more)


def turn(
    name: str,
    user: float | None = None,
    agent: float | None = None,
    started: float | None = None,
    text: str | None = None,
) -> dict[str, Any]:
    first = min((at for at in (started, user, agent) if at is not None), default=0.0)
    return {
        "turn_id": name,
        "started": first,
        "user_text": text,
        "user_started": user,
        "agent_started": agent,
    }


def shown(spans: list[Span], turns: list[dict[str, Any]]) -> tuple[dict[str, list[str]], list[str]]:
    found = trace(JOB, spans, turns)
    by_turn = {one["turn_id"]: [stage["name"] for stage in one["stages"]] for one in found["turns"]}
    return by_turn, [stage["name"] for stage in found["other"]]


def test_a_turn_is_found_by_the_time_of_its_speech() -> None:
    spans = [
        span("user_turn", "u1", started=100, ended=104),
        span("user_speaking", "s1", "u1", started=100.1, ended=102),
        span("agent_turn", "a1", started=103, ended=110),
        span("agent_speaking", "s2", "a1", started=105, ended=109),
        span("llm_request", "l1", "n1", started=103.1, ended=104),
        span("llm_node", "n1", "a1", started=103, ended=104.5),
    ]
    turns = [turn("t1", 90.0, 92.0), turn("t2", 100.2, 105.1), turn("t3", 120.0, 125.0)]
    by_turn, other = shown(spans, turns)
    assert other == []
    assert by_turn == {
        "t2": ["user_turn", "user_speaking", "llm_node", "agent_turn", "llm_request", "agent_speaking"]
    }


def test_a_turn_made_from_uploads_is_known_by_its_span() -> None:
    by_turn, _ = shown([span("user_turn", "u1")], [turn("t1", 100.0), turn(turn_of(JOB, "u1"))])
    assert by_turn == {f"{JOB}.u1": ["user_turn"]}


def test_an_answer_that_was_never_spoken_belongs_to_the_turn_that_was_on() -> None:
    spans = [
        span("agent_turn", "a1", started=103, ended=110),
        span("tts_request_run", "r1", "a1", started=104, ended=110, error="500"),
        # One that LiveKit prepared and did not use.
        span("agent_turn", "a2", started=91, ended=92),
    ]
    turns = [turn("t1", 90.0, 95.0), turn("t2", 100.2), turn("t3", 120.0, 125.0)]
    by_turn, other = shown(spans, turns)
    assert by_turn == {"t2": ["agent_turn", "tts_request_run"]}
    assert other == ["agent_turn"]


def test_a_user_whose_speech_nobody_timed_is_found_by_the_words() -> None:
    spans = [span("user_turn", "u1", started=100, ended=104), span("user_turn", "u2", started=130, ended=131)]
    by_turn, other = shown(
        spans, [turn("t1", agent=98.0), turn("t2", agent=105.0, started=103.0, text="Hello.")]
    )
    assert by_turn == {"t2": ["user_turn"]}
    assert other == ["user_turn"]


def test_what_belongs_to_no_turn_is_other_and_loops_end() -> None:
    spans = [
        span("room_connect", "r"),
        span("one", "x", "y"),
        span("two", "y", "x"),
        span("lost", "z", "gone"),
        span("user_turn", "u", started=500, ended=501),
    ]
    assert shown(spans, [turn("t1", 100.0)]) == (
        {},
        ["one", "room_connect", "two", "lost", "user_turn"],
    ) or sorted(shown(spans, [turn("t1", 100.0)])[1]) == ["lost", "one", "room_connect", "two", "user_turn"]


def test_tries_tokens_and_failures() -> None:
    spans = [
        span(
            "llm_request",
            "l",
            attributes={
                "gen_ai.request.model": "asked",
                "gen_ai.response.model": "answered",
                "gen_ai.provider.name": "p",
                "gen_ai.usage.input_tokens": 15,
                "gen_ai.usage.output_tokens": True,
            },
            error="",
            events=[
                Happening("exception", 100.0, {"exception.type": "APIError", "exception.message": "500"})
            ],
        ),
        *(span("llm_request_run", f"l{number}", "l") for number in range(3)),
    ]
    stage = trace(JOB, spans, [])["other"][0]
    assert stage == {
        "name": "llm_request",
        "started": 100.0,
        "duration": 1.0,
        "model": "answered",
        "provider": "p",
        "input_tokens": 15,
        "output_tokens": None,
        "retries": 2,
        "error": "500",
    }
