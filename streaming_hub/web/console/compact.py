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
_PLAIN_VALUE: Final = re.compile(r'(<[^<>]*? [\w-]+=)"([\w-]+)"(?=[ >])')
_NEEDLESS_END: Final = re.compile(r"</(option|th|td|dt|dd|li)>(?=<(?:\1|/select|/tr|/dl|/ul|/ol|dt|dd)\b)")


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
    return _shorten(source) if suffix == ".html" else source


def _shorten(page: str) -> str:
    """Return a page without indentation, and without quotes and end tags that HTML does not need.

    No page has text whose spaces count.
    """
    text = _NEEDLESS_END.sub("", _INDENTATION.sub("\n", page))
    while (shorter := _PLAIN_VALUE.sub(r"\1\2", text)) != text:
        # One attribute of each tag at a time.
        text = shorter
    return text


def _tighten(style: str) -> str:
    """Return a style sheet without comments and idle space; strings stay as they are."""
    text = _COMMENT_OR_STRING.sub(lambda found: found[1] or "", style)
    parts = re.split(_STRING, text)
    return "".join(
        part if index % 2 else _without_idle_space(part) for index, part in enumerate(parts)
    ).strip()


def _without_idle_space(part: str) -> str:
    return _IDLE.sub(lambda found: found[1] or "", _SPACE.sub(" ", part))
