"""What is remembered of a room's events, to derive its current state at any time. Pure: no I/O, no clock.

The state of a room is a function of its stored events: reducing the stored window gives the same result as having
seen everything and let the oldest expire. That holds by construction, because everything kept is one of:

- `Latest`: for each key the newest event's value, only for the keys with the newest events;
- the last positions of transcript events, which only give the order of the lines.

Both are the same whether or not the expired events were ever seen. What needs more than one of them (who is
speaking, which turn is open) is computed when it is read (`state`), never stored. A rule that needs an older
event's value to judge a newer one would break this; the property test finds it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.events.types import TYPES
from streaming_hub.events.types.effects import NO_EFFECT, Facts, string_field

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping


@dataclass(frozen=True)
class Limits:
    """How much is kept of one room, in entries.

    Attributes:
        segments: lines of the transcript.
        order: transcript events whose place is remembered, to show lines in the order in which they began.
        people: participants, and voices that may be speaking.
        sessions: sessions, and turns.
        tools: tool calls.
    """

    segments: int = 50
    order: int = 1000
    people: int = 200
    sessions: int = 20
    tools: int = 10


class Latest:
    """For each key the value of its newest event; only the `size` keys with the newest events are kept.

    Events arrive in the order of their sequence numbers. A value must come from its one event alone.
    """

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: dict[Hashable, tuple[int, Any]] = {}

    def put(self, key: Hashable, seq: int, value: object) -> None:
        """Set the key's value; drop its former one, and the oldest key if there are too many."""
        self._entries.pop(key, None)
        self._entries[key] = (seq, value)
        if len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]

    def since(self, oldest: int) -> dict[Any, tuple[int, Any]]:
        """Return the entries whose event is still stored, oldest first, as key -> (seq, value)."""
        return {key: entry for key, entry in self._entries.items() if entry[0] >= oldest}

    def copy(self) -> Latest:
        """Return a copy that shares nothing mutable."""
        twin = Latest(self._size)
        twin._entries = self._entries.copy()
        return twin


class View:
    """What one audience may know about one room. `state.Reading` interprets it."""

    __slots__ = ("_families", "last_seq", "limits", "order", "updated")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._families: dict[str, Latest] = {}
        self.order: deque[tuple[int, Hashable]] | None = None
        self.last_seq = 0
        self.updated: tuple[int, float] | None = None

    def put(self, family: str, key: Hashable, seq: int, value: object) -> None:
        """Set one key of one family, which is made when it is first needed: most rooms use few."""
        if family not in self._families:
            limit = _LIMITS[family]
            self._families[family] = Latest(getattr(self.limits, limit) if limit else 1)
        self._families[family].put(key, seq, value)

    def place(self, key: Hashable, seq: int) -> None:
        """Remember the position of a transcript of this segment."""
        if self.order is None:
            self.order = deque(maxlen=self.limits.order)
        self.order.append((seq, key))

    def family(self, name: str, oldest: int) -> dict[Any, tuple[int, Any]]:
        """Return the stored entries of a family, as key -> (seq, value)."""
        return self._families[name].since(oldest) if name in self._families else {}

    def copy(self) -> View:
        """Return a copy that shares nothing mutable."""
        twin = View(self.limits)
        twin._families = {name: family.copy() for name, family in self._families.items()}
        twin.order = None if self.order is None else self.order.copy()
        twin.last_seq, twin.updated = self.last_seq, self.updated
        return twin

    def apply(self, seq: int, event: Mapping[str, Any]) -> None:
        """Apply one event that this audience may see."""
        self.last_seq = seq
        timestamp = event.get("timestamp")
        at = timestamp if isinstance(timestamp, int | float) and not isinstance(timestamp, bool) else None
        if at is not None:
            self.updated = (seq, at)
        kind, session = string_field(event, "type") or "", string_field(event, "session_id")
        who = string_field(event, "participant")
        effect = EFFECTS.get(kind, NO_EFFECT)
        if session is not None and effect.of_session:
            self.put("session", session, seq, at)
        if who is not None and effect.mentions:
            self.put("mention", who, seq, session)
        role = string_field(event, "role") or effect.role
        if who is not None and role is not None:
            self.put("role", who, seq, role)
        effect.apply(self, Facts(seq, event, session, who, role))


EFFECTS: Final = {name: kind.effect for name, kind in TYPES.items() if kind.effect}
"""The event types that change a room's state, and how."""

_LIMITS: Final = {
    "segment": "segments",
    "mention": "people",
    "role": "people",
    "voice": "people",
    "member": "people",
    "session": "sessions",
    "started": "sessions",
    "ended": "sessions",
    "turn_start": "sessions",
    "turn_words": "sessions",
    "turn_end": "sessions",
    "agent_state": "sessions",
    "user_state": "sessions",
    "tool": "tools",
    "tool_end": "tools",
    "finished": None,
}
"""Family -> which of `Limits` bounds it; None: it has one entry."""
