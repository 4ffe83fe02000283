"""Splits text into words, in any script. Pure; the JavaScript twin passes the same vectors.

A word is a maximal run of letters, marks, digits and underscores with at least one letter or digit. An apostrophe
between letters belongs to it ("don't"), and so does `.` or `,` between digits ("3.5"). In scripts written without
spaces each letter counts as one word.

The standard library has no data on scripts, so these few are listed here as ranges of code points (Unicode 16, Blocks
and Scripts); only the letters within them count.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACELESS_RANGES: Final = (
    (0x0E00, 0x0E7F),  # Thai
    (0x0E80, 0x0EFF),  # Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # iteration mark, closing mark
    (0x3031, 0x3035),  # kana repeat marks
    (0x303B, 0x303C),
    (0x3040, 0x309F),  # Hiragana
    (0x30A0, 0x30FF),  # Katakana, with its prolonged sound mark
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9D),  # Katakana, half width
    (0x116D0, 0x116FF),  # Myanmar
    (0x1AFF0, 0x1B16F),  # Katakana and Hiragana
    (0x20000, 0x3FFFF),  # Han
)
"""Ranges of code points, both ends inclusive, whose letters count one by one."""

_STARTS: Final = [first for first, _ in SPACELESS_RANGES]

LETTER: Final = "L"
MARK: Final = "M"
DIGIT: Final = "D"
UNDERSCORE: Final = "_"
SPACELESS: Final = "S"
OTHER: Final = ""

APOSTROPHES: Final = "'\N{RIGHT SINGLE QUOTATION MARK}"


@lru_cache(maxsize=8192)
def kind(character: str) -> str:
    """Return a character's class: one of the constants above."""
    category = unicodedata.category(character)
    if category[0] == "L":
        return SPACELESS if in_spaceless_script(character) else LETTER
    if category[0] == "M":
        return MARK
    if category == "Nd":
        return DIGIT
    return UNDERSCORE if character == "_" else OTHER


def in_spaceless_script(character: str) -> bool:
    """Return whether a character is in one of the ranges."""
    point = ord(character)
    index = bisect_right(_STARTS, point) - 1
    return index >= 0 and point <= SPACELESS_RANGES[index][1]


def runs(text: str) -> Iterator[str]:
    """Yield the words of a text; a letter of a script without spaces is a word of its own."""
    start: int | None = None
    worth = False
    kinds = [kind(character) for character in text]
    for index, what in enumerate(kinds):
        if what in (LETTER, MARK, DIGIT, UNDERSCORE) or (
            start is not None and _joins(text[index], kinds, index)
        ):
            start = index if start is None else start
            worth = worth or what in (LETTER, DIGIT)
            continue
        if start is not None and worth:
            yield text[start:index]
        start, worth = None, False
        if what == SPACELESS:
            yield text[index]
    if start is not None and worth:
        yield text[start:]


def count(text: str) -> int:
    """Return how many words a text has."""
    return sum(1 for _ in runs(text))


def _joins(character: str, kinds: list[str], index: int) -> bool:
    """Return whether a character between two others belongs to a word."""
    if not 0 < index < len(kinds) - 1:
        return False
    before, after = kinds[index - 1], kinds[index + 1]
    if character in APOSTROPHES:
        return before in (LETTER, MARK) and after == LETTER
    return character in ".," and before == after == DIGIT
