"""Counts of what the hub has done since its start. Pure; `metrics` exports them."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_TYPES: Final = 200
OTHER_TYPES: Final = "other"
"""Number of types with a count of their own; bounded, because publishers choose the types."""


class Counters(msgspec.Struct):
    """What was done since the start."""

    events: dict[str, int]
    deliveries: int = 0
    drops: int = 0
    resets: int = 0
    duplicates: int = 0

    def count(self, kind: str) -> None:
        """Count a stored event by its type."""
        if kind not in self.events and len(self.events) >= MAX_TYPES:
            kind = OTHER_TYPES
        self.events[kind] = self.events.get(kind, 0) + 1
