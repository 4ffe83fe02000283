"""The console's files as they are sent: without comments, indentation and idle space, half the size. Pure.

The sources need no build step, and are what Node and tsc check; browsers need no documentation. Line breaks stay, so
that an error's line is the source's. By hand, as the small minifiers for Python take nested templates apart, and the
large ones need Node: this one leaves alone every line in which a space might mean something. A test has esbuild
compare what is sent with the sources.
"""

from __future__ import annotations

import re
from typing import Final

_COMMENT: Final = re.compile(r"^[ \t]*(?:/\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*$", re.DOTALL | re.MULTILINE)
"""A comment that has its lines for itself. No literal spans lines (a test), so none can hold one."""
_CAST: Final = re.compile(r"/\*\* @(?:(?!\*/).)*\*/ ?")
"""A type within a line."""
_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_DELICATE: Final = re.compile(r"[`\"/]")
"""Templates, regular expressions and what may hold them."""
_DELICATE_IN_STYLES: Final = re.compile(r"\"|--[\w-]+:")
_STRING: Final = re.compile(r"('(?:[^'\\]|\\.)*')")
_IDLE: Final = re.compile(r" ?([=,(){};:?\[\]|&<>]) ?")
_IDLE_IN_STYLES: Final = re.compile(r" ?([,{};]) ?|(?<=:) ")


def compact(source: str, suffix: str) -> str:
    """Return a file's text without what browsers do not need.

    Args:
        source: the file's text.
        suffix: its kind: `.js`, `.css`; any other stays as it is.
    """
    if suffix not in (".js", ".css"):
        return source
    text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), source)
    text = _INDENTATION.sub("", _CAST.sub("", text))
    tighten = _tighten if suffix == ".js" else _tighten_style
    return "\n".join(map(tighten, text.split("\n")))


def _tighten(line: str) -> str:
    if _DELICATE.search(line):
        return line
    parts = _STRING.split(line)
    return "".join(part if index % 2 else _IDLE.sub(r"\1", part) for index, part in enumerate(parts))


def _tighten_style(line: str) -> str:
    # A custom property keeps the space that it is given.
    return line if _DELICATE_IN_STYLES.search(line) else _IDLE_IN_STYLES.sub(r"\1", line)
