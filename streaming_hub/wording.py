"""Lists and ages for use in sentences. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def listing(words: Sequence[str], joint: str = "and") -> str:
    """Return words, at least one, as a sentence lists them: `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} {joint} {last}" if most else last


def not_set(names: Sequence[str]) -> str:
    """Say of settings, one at least, that they are not set."""
    return f"{listing(names)} {'is' if len(names) == 1 else 'are'} not set"


def age_text(seconds: float) -> str:
    """Return an age in days if it is a whole number of them, else in seconds."""
    days, rest = divmod(seconds, 86_400)
    if rest or not days:
        return f"{seconds:.15g} s"
    return f"{days:.15g} day{'' if days == 1 else 's'}"
