"""Compares LiveKit's chat history with the hub's transcript: what is missing and what is unexpected. Pure.

A user's message may correspond to several final transcripts: LiveKit joins what was said in one turn. Where an answer
was cut, the room may have a few words more or fewer than the chat history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streaming_hub.archive.uploads.recording import Message

Fields = dict[str, Any]

MOST_JOINED: Final = 20
"""Maximum transcripts of one message."""
MAX_CUT: Final = 5
"""Words by which an interrupted answer may differ at its end."""


def reconcile(messages: Iterable[Message], transcript: Iterable[Fields]) -> Fields:
    """Return `{complete, missing, unexpected}`.

    Args:
        messages: LiveKit's, in order.
        transcript: the hub's finals with `role`, `text` and `at`, in order.
    """
    left: dict[str, list[Fields]] = {}
    for line in transcript:
        if line["text"] and line["text"].strip():
            left.setdefault(line["role"], []).append(line)
    missing: list[Fields] = []
    for message in messages:
        lines = left.get(message.role, [])
        place = _find(lines, _words(message.text))
        if place is None and message.interrupted:
            place = _find_cut(lines, _words(message.text))
        if place is None:
            missing.append({"role": message.role, "text": message.text, "at": message.at})
        else:
            del lines[place]
    unexpected = [
        {"role": line["role"], "text": line["text"], "at": line["at"]}
        for lines in left.values()
        for line in lines
    ]
    unexpected.sort(key=lambda line: line["at"])
    return {"complete": not missing, "missing": missing, "unexpected": unexpected}


def _find(lines: Sequence[Fields], wanted: list[str]) -> slice | None:
    """Return the first lines that together are a message."""
    for first in range(len(lines)):
        said: list[str] = []
        for last in range(first, min(len(lines), first + MOST_JOINED)):
            said += _words(lines[last]["text"])
            if said == wanted:
                return slice(first, last + 1)
            if said != wanted[: len(said)]:
                break
    return None


def _find_cut(lines: Sequence[Fields], wanted: list[str]) -> slice | None:
    """Return the first line that is an interrupted message, cut elsewhere."""
    for place, line in enumerate(lines):
        said = _words(line["text"])
        common = min(len(said), len(wanted))
        if said[:common] == wanted[:common] and abs(len(said) - len(wanted)) <= MAX_CUT:
            return slice(place, place + 1)
    return None


def _words(text: str) -> list[str]:
    return text.split()
