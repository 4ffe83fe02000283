"""What viewers see of a session: the conversation and heard latencies, not tools, errors, usage and stages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streaming_hub.archive.reduce import AGENT, STAGES, USER

if TYPE_CHECKING:
    from collections.abc import Iterable

Fields = dict[str, Any]

HIDDEN: Final = ("latency", "tool_calls", "tool_failures", "errors", "usage", "audio", "recording_start")
"""Fields of a session that are null for viewers."""
HIDDEN_STATS: Final = (
    "latency",
    "transcription_delay",
    "end_of_turn_delay",
    "llm_node_ttft",
    "tts_node_ttfb",
    "tool_calls",
    "tool_failures",
    "errors",
)
"""Fields of a bucket of statistics that are null for viewers."""
OPERATOR_SORTS: Final = frozenset({"latency", "errors"})
"""Sort keys for operators only: the order would reveal the values."""


def of_session(fields: Fields) -> Fields:
    """Return a session as viewers see it."""
    return fields | dict.fromkeys(HIDDEN)


def of_sessions(found: Iterable[Fields]) -> list[Fields]:
    """Return a list of sessions as viewers see it."""
    return [of_session(fields) for fields in found]


def of_detail(fields: Fields) -> Fields:
    """Return a session's details as viewers see them."""
    transcript = [line for line in fields["transcript"] if not line["operator_only"]]
    turns = [turn | dict.fromkeys(STAGES) | {"tools": []} for turn in fields["turns"]]
    if len(transcript) < len(fields["transcript"]):
        turns = [turn | _texts(turn["turn_id"], transcript) for turn in turns]
    return {
        "session": of_session(fields["session"]),
        "turns": turns,
        "transcript": transcript,
        "tools": [],
        "errors": [],
    }


def _texts(turn_id: str, transcript: list[Fields]) -> Fields:
    """Return a turn's texts without what viewers do not see."""
    said: Fields = {}
    for role in (USER, AGENT):
        mine = [
            line["text"]
            for line in transcript
            if line["turn_id"] == turn_id and line["role"] == role and line["text"] is not None
        ]
        said[f"{role}_text"] = " ".join(mine) if mine else None
    return said


def of_bucket(fields: Fields) -> Fields:
    """Return a bucket of statistics as viewers see it."""
    return fields | dict.fromkeys(HIDDEN_STATS)
