"""What an audit line looks like, whatever names clients choose."""

from __future__ import annotations

import json
import logging

import pytest

from streaming_hub.access import audit
from streaming_hub.logs import JsonFormatter


def line(caplog: pytest.LogCaptureFixture, **what: object) -> logging.LogRecord:
    with caplog.at_level(logging.INFO, "streaming_hub.access.audit"):
        audit.note("erase", "operator-key-1", "127.0.0.1", **what)
    return caplog.records[-1]


def test_it_says_who_did_what_from_where(caplog: pytest.LogCaptureFixture) -> None:
    text = line(caplog, room="support-7", events=12, session_id=None).getMessage()
    assert text == "action=erase who=operator-key-1 address=127.0.0.1 room=support-7 events=12"


def test_as_json_it_is_one_object_a_line(caplog: pytest.LogCaptureFixture) -> None:
    written = JsonFormatter().format(line(caplog, room="a\nb", events=12))
    assert "\n" not in written
    found = json.loads(written)
    assert found["logger"] == "streaming_hub.access.audit"
    assert {k: found[k] for k in ("action", "who", "address", "room", "events")} == {
        "action": "erase",
        "who": "operator-key-1",
        "address": "127.0.0.1",
        "room": "a\nb",
        "events": 12,
    }


@pytest.mark.parametrize(
    "room",
    ["a who=operator-key-1", 'a" who="x', "a\naction=erase", "a\r\n", "a\x1b[2J", "\u2028", "", "a=b", "é\\"],
)
def test_no_name_passes_for_another_field_or_line(caplog: pytest.LogCaptureFixture, room: str) -> None:
    text = line(caplog, room=room).getMessage()
    shown = text.removeprefix("action=erase who=operator-key-1 address=127.0.0.1 room=")
    assert json.loads(shown) == room
    assert not any(break_ in text for break_ in ("\n", "\r", "\x1b"))


def test_long_names_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    assert len(line(caplog, room="x" * 10_000).getMessage()) < 300
