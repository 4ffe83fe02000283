"""What a reader wants and may see. Pure; one function decides for live, replay, snapshot, events and rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from streaming_hub.events.stored import Entry

VALUE_BYTES: Final = 150
"""Approximate bytes of a filter's value, besides its characters."""


class Interest(msgspec.Struct, frozen=True):
    """Filters and view of a reader; equal ones share their encoded bytes.

    Values of one key are alternatives, keys combine, and an event without the field does not match.

    Attributes:
        rooms, types, participants, sessions: what the reader asked for; None is everything.
        allowed_rooms: the rooms that the credential is good for; None is all.
        operator: whether operator-only events are seen.
    """

    rooms: frozenset[str] | None = None
    types: frozenset[str] | None = None
    participants: frozenset[str] | None = None
    sessions: frozenset[str] | None = None
    allowed_rooms: frozenset[str] | None = None
    operator: bool = True

    @property
    def everything(self) -> bool:
        """Whether every event matches."""
        return self == EVERYTHING

    @property
    def size(self) -> int:
        """Approximate bytes of its filters."""
        asked = (self.rooms, self.types, self.participants, self.sessions, self.allowed_rooms)
        return sum(VALUE_BYTES + 4 * len(value) for values in asked for value in values or ())

    def room_keys(self) -> frozenset[str] | None:
        """Return the only rooms whose events can match; None when any can."""
        if self.rooms is None or self.allowed_rooms is None:
            return self.allowed_rooms if self.rooms is None else self.rooms
        return self.rooms & self.allowed_rooms

    def index_keys(self) -> set[tuple[str, str]] | None:
        """Return keys of which an event must have one to match, by the field that is likely to differ most.

        None when any event can match. See `keys_of` for an event's own.
        """
        for field, wanted in (
            ("room", self.room_keys()),
            ("session_id", self.sessions),
            ("participant", self.participants),
            ("type", self.types),
        ):
            if wanted is not None:
                return {(field, value) for value in wanted}
        return None

    def matches(self, entry: Entry) -> bool:
        """Return whether the reader gets this event."""
        if entry.operator_only and not self.operator:
            return False
        return (
            (self.rooms is None or entry.room in self.rooms)
            and (self.types is None or entry.type in self.types)
            and (self.participants is None or entry.participant in self.participants)
            and (self.sessions is None or entry.session_id in self.sessions)
            and (self.allowed_rooms is None or entry.room in self.allowed_rooms)
        )


EVERYTHING = Interest()


def keys_of(entry: Entry) -> tuple[tuple[str, str | None], ...]:
    """Return what `index_keys` are compared with."""
    return (
        ("room", entry.room),
        ("session_id", entry.session_id),
        ("participant", entry.participant),
        ("type", entry.type),
    )
