"""A session's figures, and the rows for the API and the tables. Pure.

Formulas: docs/reference/archive.md.

All times are in seconds. Percentiles are by nearest rank: the smallest value that at least p percent of all values do
not exceed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import asdict

from streaming_hub.archive.reduce import AGENT, STAGES, USER, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streaming_hub.archive.reduce import State, Tool, Turn, Utterance

Interval = tuple[float, float]
Row = dict[str, Any]

DONE: Final = "done"
PERCENTS: Final = (50, 90, 95, 99)


def summary(state: State) -> Row:
    """Return the `session` object without the archive's own fields (`recorded`, `incomplete`, `missing_events`)."""
    end = state.newest if state.ended is None else state.ended
    duration = rounded(max(0.0, end - state.started))
    user, agent = intervals(state, USER, end), intervals(state, AGENT, end)
    user_talk, agent_talk = length(union(user)), length(union(agent))
    either = length(union([*user, *agent]))
    return {
        "session_id": state.session_id,
        "room": state.room,
        "agent": state.agent,
        "state": "live" if state.ended is None else "ended",
        "started": state.started,
        "ended": state.ended,
        "duration": duration,
        "reason": state.reason,
        "participants": [asdict(one) for one in state.participants],
        "turns": len(state.turns),
        "first_response": _after(state.started, state.first_agent_speech),
        "user_talk": rounded(user_talk),
        "agent_talk": rounded(agent_talk),
        "overlap": rounded(max(0.0, user_talk + agent_talk - either)),
        "silence": rounded(max(0.0, duration - either)),
        "user_words": state.user_words,
        "agent_words": state.agent_words,
        "interruptions": state.interruptions,
        "false_interruptions": state.false_interruptions,
        "tool_calls": len(state.tools),
        "tool_failures": sum(failed(tool, session_ended=state.ended is not None) for tool in state.tools),
        "errors": len(state.errors),
        "latency": percentiles([turn.e2e_latency for turn in state.turns]),
        "heard_latency": percentiles([heard_latency(turn) for turn in state.turns]),
        "usage": state.usage,
    }


def turn_row(state: State, turn: Turn) -> Row:
    """Return one of `turns`."""
    return {
        "turn_id": turn.turn_id,
        "index": turn.index,
        "started": turn.started,
        "user_text": turn.user_text,
        "agent_text": turn.agent_text,
        "user_started": turn.user_started,
        "user_stopped": max(turn.user_stops, default=None),
        "agent_started": turn.agent_started,
        "agent_stopped": turn.agent_stopped,
        "interrupted": turn.interrupted,
        "heard_latency": heard_latency(turn),
        **{name: getattr(turn, name) for name in STAGES},
        "tools": [state.tools[index].call_id for index in turn.tools],
    }


def utterance_row(state: State, said: Utterance) -> Row:
    """Return one line of `transcript`; `started` and `stopped` are those of its speech.

    Whether viewers see it is not among its fields; see `said.operator_only`.
    """
    row = asdict(said)
    del row["operator_only"], row["speech"]
    speech = None if said.speech is None else state.speeches[said.speech]
    return row | {
        "started": None if speech is None else speech.started,
        "stopped": None if speech is None else speech.stopped,
    }


def tool_row(tool: Tool) -> Row:
    """Return one of `tools`."""
    row = asdict(tool)
    del row["ended"]
    return row


def detail(state: State) -> Row:
    """Return everything about a session, as in the response of `GET /api/sessions/ID`."""
    return {
        "session": summary(state),
        "turns": [turn_row(state, turn) for turn in state.turns],
        "transcript": [utterance_row(state, said) for said in state.utterances],
        "tools": [tool_row(tool) for tool in state.tools],
        "errors": [asdict(error) for error in state.errors],
    }


def heard_latency(turn: Turn) -> float | None:
    """Return how long the caller waited: from the last end of the user's speech to the agent's first sound after it."""
    if turn.agent_started is None:
        return None
    stops = [stop for stop in turn.user_stops if stop <= turn.agent_started]
    return rounded(turn.agent_started - max(stops)) if stops else None


def failed(tool: Tool, *, session_ended: bool) -> bool:
    """Return whether a tool call ended with a status other than `done`, or never ended in a session that has."""
    return tool.status != DONE if tool.ended else session_ended


def intervals(state: State, role: str, end: float) -> list[Interval]:
    """Return the talk intervals of a role; an open one lasts until `end`."""
    return [
        (speech.started, end if speech.stopped is None else speech.stopped)
        for speech in state.speeches
        if speech.role == role
    ]


def union(spans: Iterable[Interval]) -> list[Interval]:
    """Return the intervals in order, merged where they touch; those that end before they begin are dropped."""
    joined: list[Interval] = []
    for start, stop in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


def length(spans: Iterable[Interval]) -> float:
    """Return the total length of the intervals."""
    total = 0.0
    # Not sum(): since Python 3.12 it compensates for rounding, and the JavaScript twin does not.
    for start, stop in spans:
        total += stop - start
    return total


def percentiles(values: Iterable[float | None]) -> Row | None:
    """Return `{count, p50, p90, p95, p99, max}` of the values that are not None; None if there are none."""
    present = sorted(value for value in values if value is not None)
    if not present:
        return None
    return {
        "count": len(present),
        **{f"p{percent}": nearest_rank(present, percent) for percent in PERCENTS},
        "max": present[-1],
    }


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """Return a percentile of a non-empty list in ascending order.

    Args:
        ordered: the values.
        percent: 1 to 100.
    """
    rank = (percent * len(ordered) + 99) // 100
    return ordered[rank - 1]


def _after(start: float, at: float | None) -> float | None:
    return None if at is None or at < start else rounded(at - start)
