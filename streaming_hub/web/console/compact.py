"""The console's modules and styles as they are sent: without comments and needless spaces, half the size. Pure.

The sources need no build step, and are what Node and tsc check; browsers need no documentation. Line breaks stay, so
that an error's line is the source's. A test holds what is left against a compiler's reading of the source.
"""

from __future__ import annotations

import re
from typing import Final

_COMMENT: Final = re.compile(r"^[ \t]*(?:/\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*$", re.DOTALL | re.MULTILINE)
"""A comment that has its lines for itself. No literal spans lines (a test), so none can hold one."""
_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_STRING: Final = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_SIGN: Final = re.compile(r" *(=>|[=!<>]==?|&&|\|\||\?\?|[{}()\[\],;:?=<>]) *")
"""What needs no space around it in JavaScript. Signs of which two in a row mean something else are not among them."""
_STYLE: Final = re.compile(r" *([{};]) *|(?<=[:,]) +")
_PROPERTY: Final = re.compile(r"--[\w-]+: ")
"""A custom property's value counts as it is written."""


def compact(source: str, *, is_style: bool = False) -> str:
    """Return a module without needless spaces and comments that have their lines for themselves.

    Args:
        source: JavaScript, or CSS.
        is_style: whether it is CSS.
    """
    text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), source)
    squeeze = _squeeze_style if is_style else _squeeze
    return "\n".join(squeeze(line) for line in _INDENTATION.sub("", text).split("\n"))


def _squeeze(line: str) -> str:
    # A template, a regular expression and a comment hold spaces that count; telling them apart takes a parser.
    if "`" in line or "/" in _STRING.sub("", line):
        return line
    return _outside_strings(_SIGN, line)


def _squeeze_style(line: str) -> str:
    return line if _PROPERTY.search(line) else _outside_strings(_STYLE, line)


def _outside_strings(pattern: re.Pattern[str], line: str) -> str:
    parts = _STRING.split(line)
    return "".join(
        part if index % 2 else pattern.sub(lambda found: found[1] or "", part)
        for index, part in enumerate(parts)
    )
