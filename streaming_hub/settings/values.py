"""How the text of a setting becomes its value. Pure.

Each reader takes the text, without spaces around it, and raises ValueError where it is not what it expects.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def integer(low: int, high: int) -> Callable[[str], float]:
    """Read a whole number within two bounds."""
    return _within(int, low, high)


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Read seconds within two bounds."""
    return _within(float, low, high)


def share(text: str) -> float:
    """Read a number above 0, at most 1."""
    number = float(text)
    if not 0 < number <= 1:
        raise ValueError(text)
    return number


def choice(*words: str) -> Callable[[str], str]:
    """Read one of some words, in upper or lower case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(text)
        return text.lower()

    return read


def matching(pattern: str) -> Callable[[str], str]:
    """Read what matches a regular expression from end to end."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return read


def listed(read_one: Callable[[str], str] = str) -> Callable[[str], tuple[str, ...]]:
    """Read a list separated by commas."""

    def read(text: str) -> tuple[str, ...]:
        return tuple(read_one(part.strip()) for part in text.split(",") if part.strip())

    return read


def boolean(text: str) -> bool:
    """Read a yes or no."""
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(text)


def origin(text: str) -> str:
    """Read a web origin, or `null`."""
    if text != "null" and not re.fullmatch(r"https?://[^/\s?#*]+", text):
        raise ValueError(text)
    return text.lower()


def _within(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        number = kind(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return read
