"""What is kept of a room's events, so that its present state can be read at any time. Pure: no I/O, no clock.

The state of a room is a function of its stored events: reducing the stored window gives the same as having
lived through everything and let the oldest expire. That holds by construction, because all that is kept is one of:

- `Latest`: for each key the newest event's value, for the keys with the newest events only;
- the last so many places of transcript events, which only give the order of the lines.

Both mean the same whether or not the expired events were ever seen. Whatever takes more than one of them (who
speaks, which turn is open) is worked out when it is read (`conversation`), never stored. A rule that needs an
older event's value to judge a newer one would break the law; the property test finds it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping


@dataclass(frozen=True)
class Limits:
    """How much is kept of one room, in entries.

    Attributes:
        segments: lines of the transcript.
        order: transcript events whose place is remembered, to show lines in the order in which they began.
        people: participants, and voices that may be speaking.
        sessions: sessions, and turns that have ended.
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
        """Sets the key's value; its former one and the key that is now one too many are forgotten."""
        self._entries.pop(key, None)
        self._entries[key] = (seq, value)
        if len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]

    def since(self, oldest: int) -> dict[Any, tuple[int, Any]]:
        """The entries, oldest first, whose event is still stored, as key -> (seq, value)."""
        return {key: entry for key, entry in self._entries.items() if entry[0] >= oldest}

    def copy(self) -> Latest:
        """A copy that shares nothing that changes."""
        twin = Latest(self._size)
        twin._entries = self._entries.copy()
        return twin


class View:
    """What one audience may know of one room. See `conversation.Reading` for what it means."""

    __slots__ = ("_families", "last_seq", "limits", "order", "updated")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._families: dict[str, Latest] = {}
        self.order: deque[tuple[int, Hashable]] | None = None
        self.last_seq = 0
        self.updated: tuple[int, float] | None = None

    def put(self, family: str, key: Hashable, seq: int, value: object, size: int) -> None:
        """Sets one key of one family, which is made when it is first needed: most rooms use few."""
        if family not in self._families:
            self._families[family] = Latest(size)
        self._families[family].put(key, seq, value)

    def family(self, name: str, oldest: int) -> dict[Any, tuple[int, Any]]:
        """The stored entries of a family, as key -> (seq, value)."""
        return self._families[name].since(oldest) if name in self._families else {}

    def copy(self) -> View:
        """A copy that shares nothing that changes."""
        twin = View(self.limits)
        twin._families = {name: family.copy() for name, family in self._families.items()}
        twin.order = None if self.order is None else self.order.copy()
        twin.last_seq, twin.updated = self.last_seq, self.updated
        return twin

    def apply(self, seq: int, event: Mapping[str, Any]) -> None:
        """Takes in one event that this audience may see."""
        self.last_seq = seq
        timestamp = event.get("timestamp")
        if isinstance(timestamp, int | float) and not isinstance(timestamp, bool):
            self.updated = (seq, timestamp)
        kind, session = string_field(event, "type") or "", string_field(event, "session_id")
        who = string_field(event, "participant")
        handler = HANDLERS.get(kind)
        if session is not None:
            self.put("session", session, seq, None, self.limits.sessions)
        if who is not None and kind not in MEMBERSHIP:
            self.put("mention", who, seq, session, self.limits.people)
        role = string_field(event, "role") or ROLES.get(kind)
        if who is not None and role is not None:
            self.put("role", who, seq, role, self.limits.people)
        if handler is not None:
            handler(self, Facts(seq, event, session, who, role))


@dataclass(frozen=True, slots=True)
class Facts:
    """One event with the fields that most handlers need; None where a field is absent or not a string."""

    seq: int
    event: Mapping[str, Any]
    session: str | None
    who: str | None
    role: str | None

    def text(self, field: str) -> str | None:
        """A field's value if it is a string that is not empty."""
        return string_field(self.event, field)

    def number(self, field: str) -> float | None:
        """A field's value if it is a number."""
        value = self.event.get(field)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def string_field(event: Mapping[str, Any], field: str) -> str | None:
    """The field if it is a string that is not empty: events may carry any value in any field."""
    value = event.get(field)
    return value if isinstance(value, str) and value else None


def _take_transcript(view: View, facts: Facts) -> None:
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
    view.put("segment", key, facts.seq, line, view.limits.segments)
    if view.order is None:
        view.order = deque(maxlen=view.limits.order)
    view.order.append((facts.seq, key))
    _take_turn(view, facts, ends=facts.role == "agent" and is_final)


def _take_turn(view: View, facts: Facts, *, ends: bool) -> None:
    turn = facts.text("turn_id")
    if turn is None:
        return
    if ends:
        view.put("turn_end", (facts.session, turn), facts.seq, None, view.limits.sessions)
    else:
        view.put("turn", None, facts.seq, (facts.session, turn), 1)


def _speech(role: str, *, speaks: bool) -> Callable[[View, Facts], None]:
    def take(view: View, facts: Facts) -> None:
        view.put("voice", (role, facts.session, facts.who), facts.seq, speaks, view.limits.people)
        _take_turn(view, facts, ends=role == "agent" and not speaks)

    return take


def _state(family: str) -> Callable[[View, Facts], None]:
    def take(view: View, facts: Facts) -> None:
        view.put(family, facts.session, facts.seq, facts.text("state"), view.limits.sessions)

    return take


def _member(*, joined: bool) -> Callable[[View, Facts], None]:
    def take(view: View, facts: Facts) -> None:
        if facts.who is not None:
            view.put("member", facts.who, facts.seq, joined, view.limits.people)

    return take


def _take_session_started(view: View, facts: Facts) -> None:
    if facts.session is not None:
        view.put("started", facts.session, facts.seq, facts.number("timestamp"), view.limits.sessions)


def _take_session_ended(view: View, facts: Facts) -> None:
    ended = (facts.number("timestamp"), facts.text("reason"))
    view.put("ended", facts.session, facts.seq, ended, view.limits.sessions)


def _take_room_finished(view: View, facts: Facts) -> None:
    view.put("finished", None, facts.seq, None, 1)


def _tool(family: str, *fields: str) -> Callable[[View, Facts], None]:
    def take(view: View, facts: Facts) -> None:
        call = facts.text("call_id")
        if call is not None:
            value = {field: facts.event[field] for field in fields if field in facts.event}
            view.put(family, (facts.session, call), facts.seq, value, view.limits.tools)

    return take


HANDLERS: dict[str, Callable[[View, Facts], None]] = {
    "transcript": _take_transcript,
    "agent_speech_started": _speech("agent", speaks=True),
    "agent_speech_finished": _speech("agent", speaks=False),
    "user_speech_started": _speech("user", speaks=True),
    "user_speech_finished": _speech("user", speaks=False),
    "agent_state": _state("agent_state"),
    "user_state": _state("user_state"),
    "session_started": _take_session_started,
    "session_ended": _take_session_ended,
    "participant_joined": _member(joined=True),
    "participant_left": _member(joined=False),
    "room_finished": _take_room_finished,
    "tool_call_started": _tool("tool", "name", "arguments", "turn_id", "timestamp"),
    "tool_call_finished": _tool("tool_end", "name", "turn_id", "status", "output", "duration", "timestamp"),
}

MEMBERSHIP = frozenset({"participant_joined", "participant_left"})

ROLES = {
    "agent_speech_started": "agent",
    "agent_speech_finished": "agent",
    "agent_state": "agent",
    "user_speech_started": "user",
    "user_speech_finished": "user",
    "user_state": "user",
}
"""Whose voice or state an event is about, where it does not say so itself."""
