"""Turns a job's spans into the response of `GET /api/sessions/ID/trace`: the stages of each turn. Pure.

LiveKit's `user_turn` and `agent_turn` spans have the stages of a turn as children, but do not name the hub's turn. A
turn that the hub made from uploads has the span's id in its own (`turn_of`); any other is found by its speech's start,
and one without speech, such as an answer whose voice failed, by its own start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streaming_hub.archive.reduce import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streaming_hub.archive.uploads.otlp import Span

Fields = dict[str, Any]

USER_TURN: Final = "user_turn"
AGENT_TURN: Final = "agent_turn"
SPEAKING: Final = {USER_TURN: "user_speaking", AGENT_TURN: "agent_speaking"}
_STARTED: Final = {USER_TURN: "user_started", AGENT_TURN: "agent_started"}
NEAR: Final = 1.0
"""How far, in seconds, a span and the event of the same moment may be apart."""
MOST_DEPTH: Final = 50
PROMPTS: Final = (
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "lk.pii.chat_ctx",
    "lk.pii.instructions",
    "lk.pii.input_text",
)


def turn_of(job: str, span: str) -> str:
    """Return the id of a turn made from an uploaded span."""
    return f"{job}.{span}"


def trace(job: str, spans: Sequence[Span], turns: Iterable[Fields]) -> Fields:
    """Return the stages of each turn, and the spans that belong to none.

    Args:
        job: LiveKit's id of the job.
        spans: all spans of the job.
        turns: the session's turns, as rows with `turn_id`, `user_text`, and the start times of the turn and its speech.
    """
    known = list(turns)
    by_id = {span.id: span for span in spans}
    runs = _runs(spans)
    owner = {span.id: _owner(span, by_id) for span in spans}
    turn_ids: dict[str, str | None] = {
        span.id: _turn(job, span, spans, known) for span in spans if span.name in SPEAKING
    }
    stages: dict[str, list[Fields]] = {}
    other: list[Fields] = []
    for span in sorted(spans, key=lambda one: (one.started, one.ended, one.id)):
        over = owner[span.id]
        turn_id = None if over is None else turn_ids[over]
        into = other if turn_id is None else stages.setdefault(turn_id, [])
        into.append(_stage(span, runs.get(span.id, 0)))
    order = {turn["turn_id"]: place for place, turn in enumerate(known)}
    found = sorted(stages, key=lambda name: order.get(name, len(order)))
    return {"turns": [{"turn_id": name, "stages": stages[name]} for name in found], "other": other}


def _owner(span: Span, by_id: dict[str, Span]) -> str | None:
    """Return the turn's span that a span is or belongs to."""
    for _ in range(MOST_DEPTH):
        if span.name in SPEAKING:
            return span.id
        above = by_id.get(span.parent)
        if above is None:
            return None
        span = above
    return None


def _turn(job: str, span: Span, spans: Sequence[Span], turns: Sequence[Fields]) -> str | None:
    began = min(
        (one.started for one in spans if one.parent == span.id and one.name == SPEAKING[span.name]),
        default=span.started,
    )
    own = turn_of(job, span.id)
    started = _STARTED[span.name]
    best: tuple[float, str] | None = None
    for turn in turns:
        if turn["turn_id"] == own:
            return own
        at = turn[started]
        if at is not None and span.started - NEAR <= at <= span.ended + NEAR:
            apart = abs(at - began)
            if best is None or apart < best[0]:
                best = (apart, turn["turn_id"])
    return _silent(span, turns) if best is None else best[1]


def _silent(span: Span, turns: Sequence[Fields]) -> str | None:
    """Return the turn that was on when a span ended, if nothing says when the one of the two spoke in it."""
    last = max(
        (turn for turn in turns if turn["started"] <= span.ended + NEAR),
        key=lambda turn: turn["started"],
        default=None,
    )
    if last is None or last[_STARTED[span.name]] is not None:
        return None
    fits = span.name == AGENT_TURN or (last["user_text"] and last["started"] >= span.started - NEAR)
    return last["turn_id"] if fits else None


def _runs(spans: Iterable[Span]) -> dict[str, int]:
    """Return the number of attempts per request: LiveKit has a span `..._run` for each."""
    found: dict[str, int] = {}
    for span in spans:
        if span.name.endswith("_run"):
            found[span.parent] = found.get(span.parent, 0) + 1
    return found


def _stage(span: Span, runs: int) -> Fields:
    told = span.attributes
    retries = max(0, runs - 1) if runs else told.get("lk.retry_count")
    stage: Fields = {
        "name": span.name,
        "started": span.started,
        "duration": rounded(max(0.0, span.ended - span.started)),
        "model": _text(told.get("gen_ai.response.model")) or _text(told.get("gen_ai.request.model")),
        "provider": _text(told.get("gen_ai.provider.name")),
        "input_tokens": _count(told.get("gen_ai.usage.input_tokens")),
        "output_tokens": _count(told.get("gen_ai.usage.output_tokens")),
        "retries": _count(retries),
        "error": error_of(span),
    }
    prompt = {name: told[name] for name in PROMPTS if name in told}
    return stage | ({"prompt": prompt} if prompt else {})


def error_of(span: Span) -> str | None:
    """Return why a span failed; None if it did not."""
    if span.error is None:
        return None
    raised = next((one.attributes for one in span.events if one.name == "exception"), {})
    kind = span.attributes.get("error.type") or raised.get("exception.type")
    return span.error or _text(raised.get("exception.message")) or (f"{kind}" if kind else "failed")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
