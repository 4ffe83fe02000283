"""Lists for use in sentences. Pure."""

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
