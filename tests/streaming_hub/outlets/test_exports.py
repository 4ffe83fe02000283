"""Exports against a strict reading of their formats, with text that is markup in each of them.

Covers

    streaming_hub.outlets.exports.captions
    streaming_hub.outlets.exports.documents
    streaming_hub.outlets.exports.speaker
"""

from __future__ import annotations

import csv
import html
import io
import re
from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub.archive import figures
from streaming_hub.archive.reduce import Reduction
from streaming_hub.outlets.exports import FORMATS, captions, documents

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_795_430_000.0
NASTY = [
    "a --> b",
    "<b>&amp;</b> <00:00:01.000>",
    "two\n\nlines\r\n1\n00:00:00,000 --> 00:00:01,000\nforged",
    '=HYPERLINK("http://x")',
    "+1",
    "-1",
    "@x",
    "\ttab",
    "# heading",
    "[link](javascript:x) `code` *bold* | cell",
    'quote " and , comma',
    "NOTE this",
    "漢字 สวัสดี 😀 \u2028 end",
]
TIMING = re.compile(
    r"(\d{2,}):([0-5]\d):([0-5]\d)([.,])(\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d)([.,])(\d{3})"
)


def detail(texts: list[str] = NASTY, *, names: str = "alice") -> dict[str, Any]:
    events: list[dict[str, Any]] = [
        {"type": "session_started", "timestamp": START, "session_id": "s", "room": "r|1"}
    ]
    for number, text in enumerate(texts):
        at = START + 10 * (len(texts) - number)
        who = {"session_id": "s", "turn_id": f"t{number}", "role": "user", "participant": names}
        events += [
            {"type": "user_speech_started", "timestamp": at, **who},
            {"type": "user_speech_finished", "timestamp": at + 2.0004, **who},
            {"type": "transcript", "timestamp": at + 3, "text": text, **who},
        ]
    events.append({"type": "session_ended", "timestamp": START + 500, "session_id": "s"})
    reduction = Reduction.of(events[0])
    for event in events:
        reduction.take(event)
    return figures.detail(reduction.state) | {}


def seconds(match: re.Match[str], first: int) -> float:
    hours, minutes, second, _, milliseconds = match.groups()[first : first + 5]
    return int(hours) * 3600 + int(minutes) * 60 + int(second) + int(milliseconds) / 1000


def read_vtt(text: str) -> list[tuple[float, float, str, str]]:
    """Read WebVTT as section 4 of the standard says it is written; anything else fails."""
    head, *blocks = text.rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    found = []
    for block in blocks:
        timing, payload = block.split("\n")
        match = TIMING.fullmatch(timing)
        assert match is not None, timing
        assert match[4] == match[9] == "."
        start, stop = seconds(match, 0), seconds(match, 5)
        assert start < stop
        assert not found or start >= found[-1][0]
        assert "-->" not in payload
        voice = re.fullmatch(r"<v ([^<>\n]+)>([^<>\n]*)", payload)
        assert voice is not None, payload
        assert not re.search(r"&(?!amp;|lt;|gt;|lrm;|rlm;|nbsp;)", payload)
        found.append((start, stop, html.unescape(voice[1]), html.unescape(voice[2])))
    return found


def test_vtt_is_strict_and_has_speaker_time_and_text() -> None:
    cues = read_vtt(captions.vtt(detail()))
    assert [cue[3] for cue in cues] == [" ".join(text.split()) for text in reversed(NASTY)]
    assert cues[0][:3] == (10.0, 12.0, "alice")


def test_names_are_escaped_too() -> None:
    ((_, _, name, _),) = read_vtt(captions.vtt(detail(["hi"], names="<b>&\n x")))
    assert name == "<b>& x"


def test_srt_has_one_block_a_cue() -> None:
    blocks = captions.srt(detail()).rstrip("\n").split("\n\n")
    assert len(blocks) == len(NASTY)
    for number, block in enumerate(blocks, 1):
        count, timing, payload = block.split("\n")
        match = TIMING.fullmatch(timing)
        assert (count, match is not None) == (str(number), True)
        assert match is not None
        assert match[4] == match[9] == ","
        assert "-->" not in payload
        assert "<" not in payload


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ({"started": 5.0, "stopped": 7.0, "at": 8.0}, (5.0, 7.0)),
        ({"started": 5.0, "stopped": None, "at": 8.0}, (5.0, 8.0)),
        ({"started": None, "stopped": None, "at": 8.0}, (8.0, 10.0)),
        ({"started": 5.0, "stopped": 5.0, "at": 8.0}, (5.0, 7.0)),
        ({"started": -3.0, "stopped": 1.0, "at": 1.0}, (0.0, 1.0)),
        ({"started": 5.0, "stopped": 5.2, "at": 8.0}, (5.0, 5.2)),
    ],
)
def test_from_when_to_when(line: dict[str, Any], wanted: tuple[float, float]) -> None:
    times = {name: None if at is None else START + at for name, at in line.items()}
    whole = {"role": "user", "participant": None, "text": "hi", **times}
    (cue,) = captions.cues({"session": {"started": START}, "transcript": [whole]})
    assert (cue.start, cue.stop) == pytest.approx(wanted)
    assert cue.name == "user"


def test_long_calls_have_more_hours() -> None:
    assert captions.clock(360_000.0, ".") == "100:00:00.000"
    assert captions.clock(59.9996, ".") == "00:01:00.000"


def test_csv_has_a_row_a_turn_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(documents.csv(detail()), newline="")))
    assert len(rows) == len(NASTY)
    for row, text in zip(rows, NASTY, strict=True):
        guarded = f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
        assert row["user_text"] == guarded
        assert not any(value.startswith(documents.FORMULA) for value in row.values())


def test_markdown_escapes_what_means_something() -> None:
    text = documents.markdown(detail())
    lines = text.split("\n")
    said = [line for line in lines if "**alice**" in line]
    assert len(said) == len(NASTY)
    assert r"\# heading" in text
    assert r"\[link\](javascript:x) \`code\` \*bold\* \| cell" in text
    assert r"\<b\>\&amp;\</b\>" in text


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("Well - that's 3.5 (or so)!", "Well - that's 3.5 (or so)!"),
        ("mail me: a.b@c.org & co", "mail me: a.b@c.org & co"),
        ("the call_id of snake_case", "the call_id of snake_case"),
        ("_stressed_", r"\_stressed\_"),
        ("1. first", r"1\. first"),
        ("2024 was", "2024 was"),
        ("- item", r"\- item"),
        ("&copy; &#169; R&D", r"\&copy; \&#169; R&D"),
        ("~~gone~~", r"\~\~gone\~\~"),
    ],
)
def test_markdown_leaves_plain_words_as_they_are(said: str, written: str) -> None:
    assert f"**alice**: {written}\n" in documents.markdown(detail([said]))


def test_markdown_writes_figures_as_they_are() -> None:
    figures = documents.markdown(detail()).partition("## Figures")[2].partition("##")[0]
    assert re.search(r"^- Duration: \d+\.\d{3} s$", figures, re.MULTILINE)
    assert "\\" not in figures


def test_csv_names_the_tools_of_a_turn() -> None:
    whole = detail(["one", "two"])
    whole["tools"] = [
        {"turn_id": "t0", "call_id": "call_1", "name": "clock"},
        {"turn_id": "t0", "call_id": "call_2", "name": "weather"},
        {"turn_id": None, "call_id": "call_3", "name": "elsewhere"},
    ]
    rows = list(csv.DictReader(io.StringIO(documents.csv(whole), newline="")))
    assert [row["tools"] for row in rows] == ["clock, weather", ""]


def test_text_is_readable() -> None:
    text = documents.text(detail())
    assert "0:02:10  alice: a --> b\n" in text
    assert "Duration: 500.000 s\n" in text


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_session_in_which_nothing_was_said(form: str) -> None:
    empty = detail([])
    empty["session"] |= {"incomplete": True, "missing_events": 3, "started": 99_999_999_999.0}
    # SubRip has no head: a file without cues is empty.
    assert bool(FORMATS[form].write(empty)) is (form != "srt")


@pytest.mark.parametrize("write", [documents.markdown, documents.text])
def test_a_protocol_has_its_lines_in_the_order_in_which_they_began(
    write: Callable[[dict[str, Any]], str],
) -> None:
    # The fixture's utterances were published last first.
    written = write(detail(["spoken last", "spoken second", "spoken first"]))
    places = [written.index(f"spoken {which}") for which in ("first", "second", "last")]
    assert places == sorted(places)


def test_lines_without_text_are_no_captions() -> None:
    whole = detail(["one", "two"])
    whole["transcript"][0]["text"] = None
    assert len(captions.cues(whole)) == 1
    assert "(no text)" in documents.text(whole)
