"""A session as a document: Markdown, plain text, a table of its turns, JSON. Pure."""

from __future__ import annotations

import csv as writer_of_csv
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.outlets.exports.speaker import speaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Fields = dict[str, Any]

TURN_COLUMNS: Final = (
    "index",
    "turn_id",
    "started",
    "user_text",
    "agent_text",
    "user_started",
    "user_stopped",
    "agent_started",
    "agent_stopped",
    "interrupted",
    "heard_latency",
    "e2e_latency",
    "transcription_delay",
    "end_of_turn_delay",
    "llm_node_ttft",
    "tts_node_ttfb",
    "playback_latency",
    "tools",
)
"""Columns of the CSV: a turn's fields."""
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Characters that begin a formula in spreadsheets."""
FIGURES: Final = (
    ("duration", "Duration"),
    ("turns", "Turns"),
    ("first_response", "First response"),
    ("user_talk", "User talk"),
    ("agent_talk", "Agent talk"),
    ("overlap", "Overlap"),
    ("silence", "Silence"),
    ("user_words", "User words"),
    ("agent_words", "Agent words"),
    ("interruptions", "Interruptions"),
    ("false_interruptions", "False interruptions"),
    ("tool_calls", "Tool calls"),
    ("tool_failures", "Tool failures"),
    ("errors", "Errors"),
)
SECONDS: Final = frozenset({"duration", "first_response", "user_talk", "agent_talk", "overlap", "silence"})
LATENCIES: Final = (("heard_latency", "Heard latency"), ("latency", "End to end latency"))
_MEANS_SOMETHING: Final = re.compile(
    r"""[\\`*\[\]<>~|]         # code, emphasis, links, HTML, tables, struck out
      | (?<![^\W_])_ | _(?![^\W_])  # emphasis, unless within a word
      | &(?=\#?\w+;)          # a character by its name""",
    re.VERBOSE,
)
_BEGINS_SOMETHING: Final = re.compile(r"^(?:[#+\-=]|\d+(?=[.)]))")
"""What begins a heading, a list or a rule at the start of a line."""
_encode = msgspec.json.Encoder().encode


def json(detail: Fields) -> str:
    """Write the response of `GET /api/sessions/ID`."""
    return _encode(detail).decode()


def csv(detail: Fields) -> str:
    """Write a row per turn (RFC 4180), with the names of its tools.

    Cells that a spreadsheet would read as a formula begin with `'`.
    """
    called: dict[str | None, list[str]] = {}
    for tool in detail["tools"]:
        called.setdefault(tool["turn_id"], []).append(tool["name"] or tool["call_id"] or "unnamed")
    lines = _Lines()
    writer = writer_of_csv.writer(lines)
    writer.writerow(TURN_COLUMNS)
    for turn in detail["turns"]:
        row = turn | {"tools": ", ".join(called.get(turn["turn_id"], []))}
        writer.writerow([_cell(row[name]) for name in TURN_COLUMNS])
    return "".join(lines.written)


def markdown(detail: Fields) -> str:
    """Write a transcript in Markdown."""
    return "\n".join(_protocol(detail, _Markdown)) + "\n"


def text(detail: Fields) -> str:
    """Write a transcript in plain text."""
    return "\n".join(_protocol(detail, _Plain)) + "\n"


class _Lines:
    """Collects what the csv module writes."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, line: str) -> None:
        self.written.append(line)


def _escape_last(found: re.Match[str]) -> str:
    """Escape a sign, or what follows a number."""
    begin = found[0]
    return f"{begin}\\" if begin.isdigit() else f"\\{begin}"


class _Markdown:
    """Formatting of a transcript in Markdown."""

    @staticmethod
    def escape(words: str) -> str:
        """Escape inline markup, and what would begin a list or heading at the start of the line."""
        escaped = _MEANS_SOMETHING.sub(r"\\\g<0>", words)
        return _BEGINS_SOMETHING.sub(_escape_last, escaped)

    title = "# {}"
    section = "\n## {}\n"
    fact = "- {}: {}"
    line = "- {} **{}**: {}"


class _Plain:
    """Formatting of a transcript in plain text."""

    escape: Callable[[str], str] = staticmethod(lambda words: words)
    title = "{}"
    section = "\n{}\n"
    fact = "{}: {}"
    line = "{}  {}: {}"


def _protocol(detail: Fields, look: type[_Markdown | _Plain]) -> Iterator[str]:
    session = detail["session"]

    def shown(value: object) -> str:
        # A line break would start a new line, which Markdown may read differently.
        return look.escape(" ".join(str(value).split()))

    yield look.title.format(f"Session {shown(session['session_id'])}")
    yield ""
    yield from (look.fact.format(name, shown(value)) for name, value in _facts(session) if value is not None)
    yield look.section.format("Figures")
    # Numbers of our own making: an escaped point would only be in the way.
    yield from (look.fact.format(name, value) for name, value in _figures(session))
    yield look.section.format("Transcript")
    for line in sorted(detail["transcript"], key=_begun):
        said = "(no text)" if line["text"] is None else line["text"]
        cut = " (interrupted)" if line["interrupted"] else ""
        clock = shown(_clock(_begun(line) - session["started"]))
        yield look.line.format(clock, shown(speaker(line)), shown(said) + look.escape(cut))
    if detail["tools"]:
        yield look.section.format("Tools")
        for tool in detail["tools"]:
            what = f"{tool['name']} ({tool['status'] or 'not finished'})"
            called = _encode({"arguments": tool["arguments"], "output": tool["output"]}).decode()
            yield look.fact.format(shown(what), shown(called))
    if detail["errors"]:
        yield look.section.format("Errors")
        for error in detail["errors"]:
            clock = shown(_clock(error["at"] - session["started"]))
            yield look.line.format(clock, shown(error["source"] or "unknown"), shown(error["message"] or ""))


def _begun(line: Fields) -> float:
    """Return when an utterance began, seconds since 1970: its final transcript may follow those of later ones."""
    return float(line["at"] if line["started"] is None else line["started"])


def _facts(session: Fields) -> Iterator[tuple[str, object]]:
    people = [
        one["identity"] + (f" ({one['role']})" if one["role"] else "") for one in session["participants"]
    ]
    yield "Room", session["room"]
    yield "Agent", session["agent"]
    yield "Started", _time(session["started"])
    yield "Ended", None if session["ended"] is None else _time(session["ended"])
    yield "Reason", session["reason"]
    yield "Participants", ", ".join(people) or None
    yield "Incomplete", f"{session['missing_events']} events" if session.get("incomplete") else None


def _figures(session: Fields) -> Iterator[tuple[str, object]]:
    for field, name in FIGURES:
        value = session[field]
        if value is not None:
            yield name, f"{value:.3f} s" if field in SECONDS else value
    for field, name in LATENCIES:
        values = session[field]
        if values is not None:
            parts = [f"{part} {values[part]:.3f} s" for part in ("p50", "p95", "max")]
            yield name, f"{', '.join(parts)} ({values['count']} turns)"


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = str(value)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _clock(seconds: float) -> str:
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


def _time(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        # Timestamps of up to 1e11 (the year 5138) are accepted, which some platforms cannot format.
        return f"{at:.3f}"
