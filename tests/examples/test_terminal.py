"""examples/terminal.py in a real pseudo-terminal, with pyte in place of the eyes: what was said is what is read."""

from __future__ import annotations

import fcntl
import importlib
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any, Self

import pyte
import pytest
from wcwidth import wcswidth

from tests.kit.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.kit.hub import Hub

SECONDS = 60.0
COLUMNS, ROWS = 40, 30
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
SCRIPTS = [
    "日本語でお願いします",
    "한국어로 말씀해 주세요",
    "नमस्ते, मैं बुक करना चाहता हूँ",
    "Cafe\u0301 a\u0308o\u0308u\u0308",
    f"see you {FAMILY} \u2764\ufe0f \U0001f1ef\U0001f1f5",
    "שלום, אפשר להזמין שולחן?",
    "مرحبا، می\u200cخواهم رزرو کنم\u200f",  # noqa: RUF001 - Arabic and Persian
]


class Terminal:
    """The example in a pseudo-terminal of a given size; a context manager that ends it."""

    def __init__(self, url: str, **environment: str) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.seen = b""
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        variables = {"STREAM_URL": url, "STREAM_KEY": "", "PYTHONUTF8": "1", **environment}
        environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            [sys.executable, "examples/terminal.py", "--replay", "100"],
            cwd=ROOT,
            env={**environ, **variables},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, (self.lines, self.seen[-500:])
            if select.select([self._master], [], [], min(left, 1))[0]:
                data = os.read(self._master, 65536)
                self.seen += data
                self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module; beside the others."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module("terminal")


def say(hub: Hub, text: str, **fields: Any) -> None:
    hub.publish({"type": "transcript", "participant": "alice", "room": "r1", "text": text, **fields})


@pytest.mark.parametrize("text", SCRIPTS)
def test_what_is_said_in_any_script_is_written_as_it_was_said(hub: Hub, text: str) -> None:
    say(hub, text)
    say(hub, "the end")
    with Terminal(hub.url) as terminal:
        terminal.until(lambda: "alice: the end" in terminal.lines)
        assert f"alice: {text}\r\n".encode() in terminal.seen


@pytest.mark.parametrize("text", SCRIPTS)
@pytest.mark.parametrize("times", [1, 9])
def test_an_interim_in_any_script_leaves_nothing_behind(hub: Hub, text: str, times: int) -> None:
    say(hub, "before", segment_id="s0")
    with Terminal(hub.url) as terminal:
        terminal.until(lambda: terminal.lines == ["alice: before"])
        for count in range(1, times + 1):
            words = " ".join([text] * count) + f" {count}"
            say(hub, words, is_final=False, segment_id="s1")
            shown = f" {count}".encode()
            terminal.until(lambda shown=shown: terminal.seen.endswith(shown + b"\x1b[?7h"))
            # One row, and the end of what is said stands in it.
            assert len(terminal.lines) == 2, terminal.lines
            assert terminal.screen.cursor.y == 1
            assert wcswidth(terminal.seen.rpartition(b"\x1b[?7l")[2][:-5].decode()) < COLUMNS
        say(hub, "done", segment_id="s1")
        terminal.until(lambda: "done" in terminal.screen.display[1])
        assert terminal.lines == ["alice: before", "alice: done"]


def test_what_a_terminal_would_act_on_is_seen_and_not_obeyed(hub: Hub) -> None:
    say(hub, "a\x1b[2J\x1b]0;title\x07b\rc\x08d\x7f\x9b1A\te", is_final=False, segment_id="s1")
    say(hub, "a\x1b[2Jb\rc\x08\x9b1A\u2028\u202ed", segment_id="s1")
    with Terminal(hub.url) as terminal:
        terminal.until(lambda: "202ed" in "".join(terminal.lines))
        assert "".join(terminal.lines) == r"alice: a\x1b[2Jb\rc\x08\x9b1A\u2028\u202ed"


def test_lines_of_one_text_do_not_look_like_lines_of_another_speaker(hub: Hub) -> None:
    say(hub, "first\nbob: I agree\r\nlast")
    with Terminal(hub.url) as terminal:
        terminal.until(lambda: "last" in "".join(terminal.lines))
        assert terminal.lines == ["alice: first", "    bob: I agree", "    last"]


def test_an_encoding_that_lacks_a_character_shows_its_escape(hub: Hub) -> None:
    say(hub, "né 日")
    with Terminal(hub.url, PYTHONUTF8="0", PYTHONIOENCODING="ascii:strict") as terminal:
        terminal.until(lambda: "alice" in "".join(terminal.lines))
        terminal.until(lambda: terminal.seen.endswith(b"\n"))
        assert terminal.lines == [r"alice: n\xe9 \u65e5"]


@pytest.mark.parametrize("text", [*SCRIPTS, "", "plain"])
@pytest.mark.parametrize("cells", [1, 2, 5, 12, 39])
def test_a_text_is_cut_between_clusters_and_never_wider_than_asked(
    example: ModuleType, text: str, cells: int
) -> None:
    cut = example.tail(text, cells)
    assert wcswidth(cut) <= cells
    assert cut == text or (cut[0] == "…" and text.endswith(cut[1:]))
    assert not cut[1:].startswith(("\u200d", "\u0301", "\u0308", "\ufe0f"))


def test_every_character_but_those_a_terminal_acts_on_stays(example: ModuleType) -> None:
    for text in [*SCRIPTS, "zero\u200bwidth\u2060\ufeff", "a\u00adb"]:
        assert example.visible(text) == text
    assert example.visible("\ud800") == r"\ud800"
