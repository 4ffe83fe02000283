"""Captions of a session: WebVTT (https://www.w3.org/TR/webvtt1/) and SubRip. Pure.

Written by hand: a caption library would add a parser, but not the rules that matter here: when each utterance starts
and stops.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.outlets.exports.speaker import speaker

if TYPE_CHECKING:
    from collections.abc import Iterator

UNTIMED: Final = 2.0
"""How long a caption is shown, in seconds, if the end of its speech is unknown."""


class Cue(msgspec.Struct, frozen=True):
    """An utterance: start and stop in seconds from the session's start, the speaker, and the text."""

    start: float
    stop: float
    name: str
    text: str


def cues(detail: dict[str, Any]) -> list[Cue]:
    """Return the utterances that have words, by start."""
    begin = detail["session"]["started"]
    found = []
    for line in detail["transcript"]:
        text = " ".join((line["text"] or "").split())
        if not text:
            continue
        start = line["at"] if line["started"] is None else line["started"]
        # No stop: a final transcript arrives at the end of the speech.
        stop = line["at"] if line["stopped"] is None else line["stopped"]
        start, stop = max(0.0, start - begin), stop - begin
        # In whole milliseconds, as written to the file: a cue has to end after it begins.
        if round(stop * 1000) <= round(start * 1000):
            stop = start + UNTIMED
        found.append(Cue(start, stop, speaker(line), text))
    return sorted(found, key=lambda cue: cue.start)


def vtt(detail: dict[str, Any]) -> str:
    """Write WebVTT."""
    return "\n".join(_vtt(cues(detail)))


def _vtt(found: list[Cue]) -> Iterator[str]:
    yield "WEBVTT\n"
    for cue in found:
        yield f"{clock(cue.start, '.')} --> {clock(cue.stop, '.')}"
        yield f"<v {_escaped(cue.name)}>{_escaped(cue.text)}\n"


def srt(detail: dict[str, Any]) -> str:
    """Write SubRip."""
    return "\n".join(
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.stop, ',')}\n{_escaped(f'{cue.name}: {cue.text}')}\n"
        for number, cue in enumerate(cues(detail), 1)
    )


def clock(seconds: float, point: str) -> str:
    """Return a time as `HH:MM:SS.mmm`.

    Args:
        seconds: not negative.
        point: the separator before the milliseconds.
    """
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02}:{minute:02}:{second:02}{point}{milliseconds:03}"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
