"""What an event changes in the state of its room. Event types name one of these; `rooms.facts` applies them. Pure.

An effect notes values under a key of a family, such as the family `voice` with the key `("agent", session, who)`.
Each value comes from the one event alone, never from an older value: `rooms.facts` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping


class Notes(Protocol):
    """Where an effect notes what it changes."""

    def put(self, family: str, key: Hashable, seq: int, value: object) -> None:
        """Set one key of one family."""

    def place(self, key: Hashable, seq: int) -> None:
        """Remember the position of a transcript of this segment."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One event with the fields that most effects need; None where a field is absent or not a string."""

    seq: int
    event: Mapping[str, Any]
    session: str | None
    who: str | None
    role: str | None

    def text(self, field: str) -> str | None:
        """Return a field's value if it is a string that is not empty."""
        return string_field(self.event, field)

    def number(self, field: str) -> float | None:
        """Return a field's value if it is a number."""
        value = self.event.get(field)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class Effect:
    """How an event type changes a room's state.

    Attributes:
        apply: notes what one event changes.
        role: whose voice or state the event is about, where it does not say so itself.
        mentions: whether the event shows that its participant is in the room.
        of_session: whether the event is part of the session that it names.
    """

    apply: Callable[[Notes, Facts], None]
    role: str | None = None
    mentions: bool = True
    of_session: bool = True


NO_EFFECT: Final = Effect(lambda _notes, _facts: None)
"""Of types that show only who is there."""


def about_session() -> Effect:
    """Change nothing: the event is about a session that may be forgotten already."""
    return Effect(lambda _notes, _facts: None, of_session=False)


def string_field(event: Mapping[str, Any], field: str) -> str | None:
    """Return the field if it is a string that is not empty: events may carry any value in any field."""
    value = event.get(field)
    return value if isinstance(value, str) and value else None


def transcript() -> Effect:
    """Set a line of the transcript."""

    def apply(notes: Notes, facts: Facts) -> None:
        segment = facts.text("segment_id")
        key = facts.seq if segment is None else (facts.session, facts.who, segment)
        is_final = facts.event.get("is_final") is not False
        line = {
            "segment_id": segment,
            "role": facts.role,
            "participant": facts.who,
            "text": facts.text("text") or "",
            "is_final": is_final,
            "interrupted": facts.event.get("interrupted") is True,
            "turn_id": facts.text("turn_id"),
            "session_id": facts.session,
            "timestamp": facts.number("timestamp"),
        }
        notes.put("segment", key, facts.seq, line)
        notes.place(key, facts.seq)
        # The user's words may come late: a realtime model answers before it has transcribed the question.
        said = "turn_end" if is_final else "turn_start"
        _note_turn(notes, facts, said if facts.role == "agent" else "turn_words")

    return Effect(apply)


def speech(role: str, *, speaks: bool) -> Effect:
    """Start or end a voice; the agent's silence ends the turn."""

    def apply(notes: Notes, facts: Facts) -> None:
        notes.put("voice", (role, facts.session, facts.who), facts.seq, speaks)
        if speaks or role == "agent":
            _note_turn(notes, facts, "turn_start" if speaks else "turn_end")

    return Effect(apply, role=role)


def state(role: str) -> Effect:
    """Set what the agent or the user does now."""

    def apply(notes: Notes, facts: Facts) -> None:
        notes.put(f"{role}_state", facts.session, facts.seq, facts.text("state"))

    return Effect(apply, role=role)


def session_started() -> Effect:
    """Begin a session."""

    def apply(notes: Notes, facts: Facts) -> None:
        if facts.session is not None:
            notes.put("started", facts.session, facts.seq, facts.number("timestamp"))

    return Effect(apply)


def session_ended() -> Effect:
    """End a session, or all of them where the event names none."""

    def apply(notes: Notes, facts: Facts) -> None:
        notes.put("ended", facts.session, facts.seq, (facts.number("timestamp"), facts.text("reason")))

    return Effect(apply)


def member(*, joined: bool) -> Effect:
    """Add or remove a participant."""

    def apply(notes: Notes, facts: Facts) -> None:
        if facts.who is not None:
            notes.put("member", facts.who, facts.seq, joined)

    return Effect(apply, mentions=False)


def room_finished() -> Effect:
    """End the room, with all that is in it."""

    def apply(notes: Notes, facts: Facts) -> None:
        notes.put("finished", None, facts.seq, None)

    return Effect(apply)


def tool_started() -> Effect:
    """Begin a tool call."""
    return _tool("tool", "name", "arguments", "turn_id", "timestamp")


def tool_finished() -> Effect:
    """End a tool call."""
    return _tool("tool_end", "name", "turn_id", "status", "output", "duration", "timestamp")


def _tool(family: str, *fields: str) -> Effect:
    def apply(notes: Notes, facts: Facts) -> None:
        call = facts.text("call_id")
        if call is not None:
            value = {field: facts.event[field] for field in fields if field in facts.event}
            notes.put(family, (facts.session, call), facts.seq, value)

    return Effect(apply)


def _note_turn(notes: Notes, facts: Facts, family: str) -> None:
    """Note that a turn starts or continues (`turn_start`), that the user has said words of it, or that it ends."""
    turn = facts.text("turn_id")
    if turn is not None:
        notes.put(family, (facts.session, turn), facts.seq, None)
