"""Compacts the console's files by half for sending: without comments, indentation and unneeded space. Pure.

The sources have no build step and are what Node and tsc check. Line breaks stay, so an error's line is the source's.
Written by hand, as the small minifiers for Python break nested templates and the large ones need Node; this one leaves
every line alone in which a space might matter. A test compares the result with the sources, by esbuild.
"""

from __future__ import annotations

import re
from typing import Final

_COMMENT: Final = re.compile(r"^[ \t]*(?:/\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*$", re.DOTALL | re.MULTILINE)
"""A comment on lines of its own. No string literal spans lines (a test checks that), so none can contain one."""
_CAST: Final = re.compile(r"/\*\* @(?:(?!\*/).)*\*/ ?")
"""A type within a line."""
_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_DELICATE: Final = re.compile(r"[`\"/]")
"""Templates, regular expressions and what may contain them."""
_DELICATE_IN_STYLES: Final = re.compile(r"\"|--[\w-]+:")
_STRING: Final = re.compile(r"('(?:[^'\\]|\\.)*')")
_IDLE: Final = re.compile(r" ?([=,(){};:?\[\]|&<>]) ?")
_IDLE_IN_STYLES: Final = re.compile(r" ?([,{};]) ?|(?<=:) ")


def compact(source: str, suffix: str) -> str:
    """Return a file's text without the parts that browsers do not need.

    Args:
        source: the file's text.
        suffix: `.js` or `.css`; other files stay unchanged.
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
    # The value of a custom property includes its space.
    return line if _DELICATE_IN_STYLES.search(line) else _IDLE_IN_STYLES.sub(r"\1", line)
