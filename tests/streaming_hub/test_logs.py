"""How log lines look."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_text_is_one_line_with_time_level_and_logger(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text")
    logging.getLogger("streaming_hub.x").warning("a disk is %d %% full", 90)
    (line,) = lines(capsys)
    assert line.endswith("WARNING streaming_hub.x: a disk is 90 % full")


def test_text_shows_what_a_terminal_would_act_on_and_keeps_every_script(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("text")
    words = "日本 שלום می\u200cخواهم e\u0301 \U0001f469\u200d\U0001f467"  # noqa: RUF001 - Persian
    logging.getLogger("streaming_hub.x").warning(
        "%s: %s", words, "a\x1b[2Jb\r\n12:00:00 ERROR forged\u202e\x9b"
    )
    (line,) = lines(capsys)
    assert line.endswith(words + r": a\x1b[2Jb\r\n12:00:00 ERROR forged\u202e\x9b")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    logging.getLogger("streaming_hub.x").warning(
        "two\nlines", extra={"fields": {"who": "agent-key", "odd": object}}
    )
    (line,) = lines(capsys)
    fields: dict[str, Any] = json.loads(line)
    assert (fields["level"], fields["logger"], fields["message"]) == (
        "warning",
        "streaming_hub.x",
        "two\nlines",
    )
    assert fields["who"] == "agent-key"
    assert fields["time"].endswith("+00:00")


def test_json_holds_a_traceback_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    try:
        int("seven")
    except ValueError:
        logging.getLogger("streaming_hub.x").exception("it failed")
    (line,) = lines(capsys)
    assert "ValueError" in json.loads(line)["exception"]


def test_debug_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text")
    logging.getLogger("streaming_hub.x").debug("details")
    assert lines(capsys) == []


def test_the_gate_limits_lines_a_second_and_reports_the_rest() -> None:
    now = 0.0
    gate = logs.Gate(2, lambda: now)
    assert [gate.admit() for _ in range(4)] == [(True, 0), (True, 0), (False, 0), (False, 0)]
    now = 1.0
    assert [gate.admit() for _ in range(3)] == [(True, 2), (True, 0), (False, 0)]
