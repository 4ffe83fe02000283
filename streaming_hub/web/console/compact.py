"""Compacts the console's files by half for sending: without comments, indentation and unneeded space. Pure.

The sources have no build step and are what Node and tsc check.
"""

from __future__ import annotations

import re
from typing import Final

from streaming_hub.web.console.javascript import shrink

_STRING: Final = r'("(?:[^"\\]|\\.)*")'
_COMMENT_OR_STRING: Final = re.compile(rf"/\*.*?\*/|{_STRING}", re.DOTALL)
_QUOTED_NAME: Final = re.compile(r'(?<==)"([A-Za-z][\w-]*)"(?=\])')
_UNNEEDED: Final = re.compile(r"\s*;\s*(?=\})|\s*([,{};>])\s*|(?<=:)\s+")
_SPACE: Final = re.compile(r"\s+")
_INDENTATION: Final = re.compile(r"\s*\n\s*")
_PLAIN_VALUE: Final = re.compile(r'(<[^<>]*? [\w-]+=)"([\w/.-]*[\w.-])"(?=[ >])')
_UNNEEDED_END: Final = re.compile(r"</(option|th|td|dt|dd|li)>(?=<(?:\1|/select|/tr|/dl|/ul|/ol|dt|dd)\b)")
_BEFORE_BLOCK: Final = re.compile(
    r"\n(?=</?(?:body|d[dlt]|dialog|div|form|h[1-6]|head|header|li|link|main|meta|nav|[ou]l|p|section|table|tbody|thead|title|tr)\b)"
)
"""A line break that is not shown, since a block ends the line."""
_PARAGRAPH_END: Final = re.compile(
    r"</p>(?=<(?:p|[ou]l|div|dl|form|section|table|h[1-6]|/(?:div|section|form|dialog))\b)"
)


def compact(source: str, suffix: str) -> str:
    """Return a file's text without what browsers do not need.

    Args:
        source: the file's text.
        suffix: `.js`, `.css` or `.html`; other files stay unchanged.
    """
    if suffix == ".js":
        return shrink(source)
    if suffix == ".css":
        return _tighten(source)
    return _shorten(source) if suffix == ".html" else source


def _shorten(page: str) -> str:
    """Return a page without indentation, and without quotes and end tags that HTML does not need.

    No page has text in which spaces matter.
    """
    text = _BEFORE_BLOCK.sub("", _INDENTATION.sub("\n", page))
    text = _PARAGRAPH_END.sub("", _UNNEEDED_END.sub("", text))
    while (shorter := _PLAIN_VALUE.sub(r"\1\2", text)) != text:
        # Each round unquotes one attribute per tag.
        text = shorter
    return text


def _tighten(style: str) -> str:
    """Return a style sheet without comments and unneeded space; strings stay unchanged."""
    text = _COMMENT_OR_STRING.sub(lambda found: found[1] or "", style)
    # A selector's value needs no quotes if it is a name, as in `[type=range]`.
    parts = re.split(_STRING, _QUOTED_NAME.sub(r"\1", text))
    return "".join(
        part if index % 2 else _without_unneeded_space(part) for index, part in enumerate(parts)
    ).strip()


def _without_unneeded_space(part: str) -> str:
    return _UNNEEDED.sub(lambda found: found[1] or "", _SPACE.sub(" ", part))
