"""The child's output as lines that may be stored and shown: split, without secrets, bounded. Pure: no I/O.

The child's bytes are not trusted: lines may never end, contain terminal escapes, or repeat a key.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE_LIMIT = 2_000
"""Longest stored line, in characters."""

LINES_KEPT = 200
"""How many of the last lines are stored."""

BUFFER_LIMIT = 16_384
"""Longest buffered unfinished line, in bytes; the rest of it is dropped."""

SECRET_NAME = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD)S?$", re.IGNORECASE)
SHORTEST_SECRET = 4
"""Shorter values are not hidden: they would punch holes into ordinary words."""

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
"""Python's names of log levels, and their numbers."""

_LEVELLED = re.compile(rf"({'|'.join(LEVELS)}):? +(\S.*)", re.DOTALL)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_UNSHOWN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters; and halves of surrogate pairs, which JSON can express and UTF-8 cannot."""


class Splitter:
    """Cuts a stream of bytes into lines, in bounded memory."""

    def __init__(self, limit: int = BUFFER_LIMIT) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add what was read; return the lines that it completed, without their line ends."""
        *complete, rest = data.split(b"\n")
        lines = []
        for piece in complete:
            self._keep(piece)
            lines.append(self.flush())
        self._keep(rest)
        return lines

    def flush(self) -> bytes:
        """Return the unfinished line, and forget it."""
        line = bytes(self._rest)
        self._rest.clear()
        return line

    def _keep(self, piece: bytes) -> None:
        self._rest += piece[: self._limit - len(self._rest)]


class Cleaner:
    """Turns a raw line into text without secrets, terminal escapes and unprintable characters."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        secrets: set[str] = set()
        for name, value in environ.items():
            if SECRET_NAME.search(name):
                secrets.update(part.strip() for part in (value, *value.split(",")))
        hidden = sorted((s for s in secrets if len(s) >= SHORTEST_SECRET), key=len, reverse=True)
        self._hidden = re.compile("|".join(map(re.escape, hidden))) if hidden else None

    def clean(self, line: bytes | str) -> str:
        """Return the line as it may be stored, logged and shown; secrets are hidden before the line is cut."""
        text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        text = _UNSHOWN.sub("\ufffd", _ESCAPES.sub("", text.rstrip("\r\n")))
        if self._hidden:
            text = self._hidden.sub("[hidden]", text)
        return text if len(text) <= LINE_LIMIT else text[:LINE_LIMIT] + " ..."


def levelled(line: str) -> tuple[int, str]:
    """Return the level that a line begins with, and the rest of it; INFO for a line without a level."""
    found = _LEVELLED.fullmatch(line)
    return (LEVELS[found[1]], found[2]) if found else (LEVELS["INFO"], line)


class Tail:
    """The last lines, oldest first. The caller holds its own lock."""

    def __init__(self, size: int = LINES_KEPT) -> None:
        self._lines: deque[str] = deque(maxlen=size)

    def add(self, line: str) -> None:
        """Add a cleaned line."""
        self._lines.append(line)

    def last(self, count: int = LINES_KEPT) -> list[str]:
        """Return at most the last `count` lines."""
        return list(self._lines)[-count:]
