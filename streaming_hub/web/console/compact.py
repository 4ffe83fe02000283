"""The console's files as they are sent: without comments, indentation and idle space, about half the size. Pure.

The sources need no build step, and are what Node and tsc check; browsers need no documentation.
"""

from __future__ import annotations

import re
from typing import Final

from streaming_hub.web.console.javascript import shrink

_STRING: Final = r'("(?:[^"\\]|\\.)*")'
_COMMENT_OR_STRING: Final = re.compile(rf"/\*.*?\*/|{_STRING}", re.DOTALL)
_IDLE: Final = re.compile(r"\s*;\s*(?=\})|\s*([,{};>])\s*|(?<=:)\s+")
_SPACE: Final = re.compile(r"\s+")
_INDENTATION: Final = re.compile(r"\s*\n\s*")


def compact(source: str, suffix: str) -> str:
    """Return a file's text without what browsers do not need.

    Args:
        source: the file's text.
        suffix: its kind: `.js`, `.css` or `.html`; any other stays as it is.
    """
    if suffix == ".js":
        return shrink(source)
    if suffix == ".css":
        return _tighten(source)
    # A line break is a space, too. No page has text whose spaces count.
    return _INDENTATION.sub("\n", source) if suffix == ".html" else source


def _tighten(style: str) -> str:
    """Return a style sheet without comments and idle space; strings stay as they are."""
    text = _COMMENT_OR_STRING.sub(lambda found: found[1] or "", style)
    parts = re.split(_STRING, text)
    return "".join(
        part if index % 2 else _without_idle_space(part) for index, part in enumerate(parts)
    ).strip()


def _without_idle_space(part: str) -> str:
    return _IDLE.sub(lambda found: found[1] or "", _SPACE.sub(" ", part))
