"""The current state of each room, as `/api/rooms` and `snapshot=1` return it. Pure: no I/O, no clock.

`facts` keeps what is needed of the events, and explains why expiry and restarts cannot change the result;
here it is read: who is there, who is speaking, which turn is open, what was said last.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from streaming_hub.events.types.effects import string_field
from streaming_hub.rooms.facts import Limits, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streaming_hub.events.types.snapshot import (
        Line,
        Participant,
        RoomForViewers,
        RoomState,
        RoomSummary,
        SessionLine,
        ToolCall,
        Turn,
    )

DEFAULT_LIMITS = Limits()


class Reading:
    """One view at one moment: every result comes from events that are still stored."""

    def __init__(self, view: View, oldest: int) -> None:
        self._view = view
        self._oldest = oldest
        self._ended = self._family("ended")
        self._members = self._family("member")
        self._finished = self._family("finished").get(None, (0, None))[0]

    def _family(self, name: str) -> dict[Any, tuple[int, Any]]:
        return self._view.family(name, self._oldest)

    def _is_over(self, session: str | None, seq: int) -> bool:
        """Return whether the session (or all of them, or the room) ended after the event `seq`."""
        ends = (self._ended[key][0] for key in (session, None) if key in self._ended)
        return seq < max(self._finished, *ends, 0)

    def _has_left(self, who: str | None, seq: int) -> bool:
        left, joined = self._members.get(who, (0, True))
        return not joined and seq < left

    def participants(self) -> list[Participant]:
        """Return who is there: who joined and has not left; if none of it is known, who took part in a session."""
        roles = self._family("role")
        joined = {who for who, (seq, here) in self._members.items() if here and seq > self._finished}
        seen = {
            who
            for who, (seq, session) in self._family("mention").items()
            if who not in self._members and not self._is_over(session, seq)
        }
        return [{"identity": who, "role": roles.get(who, (0, None))[1]} for who in sorted(joined | seen)]

    def speaking(self) -> list[str]:
        """Return whose speech has started and not finished: identities, or roles if there is no identity.

        An end without a participant ends the speech of all participants in that role.
        """
        voices = self._family("voice")
        speaking = []
        for (role, session, who), (seq, speaks) in voices.items():
            silences = [voices.get(key) for key in ((role, session, None), (role, None, None))]
            hushed = any(end and not end[1] and end[0] > seq for end in silences)
            if speaks and not hushed and not self._is_over(session, seq) and not self._has_left(who, seq):
                speaking.append(who or role)
        return list(dict.fromkeys(speaking))

    def state(self, family: str) -> str | None:
        """Return the newest state in a session that has not ended."""
        told = [state for key, (seq, state) in self._family(family).items() if not self._is_over(key, seq)]
        return told[-1] if told else None

    def transcript(self) -> list[Line]:
        """Return the last lines, in the order in which they began."""
        segments = self._family("segment")
        began = {key: seq for key, (seq, _) in segments.items()}
        for seq, key in reversed(self._view.order or ()):
            if seq >= self._oldest and key in began:
                began[key] = seq
        return [segments[key][1] for key in sorted(segments, key=began.__getitem__)]

    def turn(self, transcript: list[Line]) -> Turn | None:
        """Return the turn in which something was said last, unless it has ended since.

        Speech that starts opens a turn again; words of the user that arrive after its end do not.
        """
        starts, words, ends = (self._family(f"turn_{name}") for name in ("start", "words", "end"))
        newest, is_open, named = 0, False, None
        for key in (*starts, *words):
            began, said, ended = (family.get(key, (0, None))[0] for family in (starts, words, ends))
            continues = began > ended or not ended
            seq = max(began, said) if not ended or said < ended else began or ended
            if seq > newest:
                newest, is_open, named = seq, continues, key
        if named is None or not is_open or self._is_over(named[0], newest):
            return None
        session, turn = named
        lines = [ln for ln in transcript if (ln["session_id"], ln["turn_id"]) == named]
        return {
            "turn_id": turn,
            "session_id": session,
            "user": " ".join(line["text"] for line in lines if line["role"] == "user"),
            "agent": " ".join(line["text"] for line in lines if line["role"] == "agent"),
        }

    def sessions(self) -> list[SessionLine]:
        """Return the last sessions, oldest first; `started` is None if that event has expired."""
        started, answer = self._family("started"), []
        for session, (seq, updated) in self._family("session").items():
            began, at = started.get(session, (0, None))
            entry: SessionLine = {"session_id": session, "started": at, "updated": updated}
            ended, (ended_at, reason) = self._ended.get(session, (0, (None, None)))
            if ended > began:
                entry["ended"], entry["reason"] = ended_at, reason
            answer.append((began or seq, entry))
        return [entry for _, entry in sorted(answer, key=lambda pair: pair[0])]

    def tools(self) -> list[ToolCall]:
        """Return the last tool calls, oldest first: `running`, or `unfinished` if the session ended first."""
        calls, ends = self._family("tool"), self._family("tool_end")
        answer = []
        for session, call_id in dict.fromkeys((*calls, *ends)):
            began, call = calls.get((session, call_id), (0, {}))
            ended, end = ends.get((session, call_id), (0, {}))
            end = end if ended > began else {}
            open_status = "unfinished" if self._is_over(session, began) else "running"
            known: ToolCall = {
                "session_id": session,
                "call_id": call_id,
                "turn_id": call.get("turn_id", end.get("turn_id")),
                "name": call.get("name", end.get("name")),
                "arguments": call.get("arguments"),
                "started": call.get("timestamp"),
                "status": end.get("status") if ended > began else open_status,
                "output": end.get("output"),
                "duration": end.get("duration"),
                "finished": end.get("timestamp"),
            }
            answer.append((began or ended, known))
        return [known for _, known in sorted(answer, key=lambda pair: pair[0])]


class Rooms:
    """The rooms that have stored events, each as its viewers and as its operators may see it.

    Events arrive in the order of their sequence numbers; those without a room belong to none. Every result is
    computed from events that are still stored, so a room that was rebuilt later is correct as well.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._oldest = 0
        # Room -> what operators see, what viewers see; the room of the newest event last. Both are one object
        # until an event is for operators only; viewers have none where all events were.
        self._rooms: OrderedDict[str, tuple[View, View | None]] = OrderedDict()

    def apply(self, seq: int, event: Mapping[str, Any], *, operator_only: bool = False) -> None:
        """Apply one stored event.

        Args:
            seq: its sequence number, higher than all before in its room.
            event: its fields. No value of any type raises.
            operator_only: hidden from viewers (as is one with `"audience": "operator"`).
        """
        room = string_field(event, "room")
        if room is None:
            return
        hidden = operator_only or event.get("audience") == "operator"
        operators, viewers = self._rooms.pop(room, (None, None))
        if operators is None:
            operators = View(self._limits)
            viewers = None if hidden else operators
        elif hidden and operators is viewers:
            operators = operators.copy()
        elif not hidden and viewers is None:
            viewers = View(self._limits)
        operators.apply(seq, event)
        if viewers is not None and viewers is not operators and not hidden:
            viewers.apply(seq, event)
        self._rooms[room] = (operators, viewers)

    def prune(self, oldest: int) -> None:
        """Forget what came from events before `oldest`, the first stored one (head + 1 if there is none)."""
        self._oldest = max(self._oldest, oldest)
        while self._rooms and next(iter(self._rooms.values()))[0].last_seq < self._oldest:
            self._rooms.popitem(last=False)

    def forget(self, room: str) -> None:
        """Drop a room, as when events of it are erased: the remaining ones may be applied again, in order."""
        self._rooms.pop(room, None)

    def names(self, *, viewer: bool = False) -> list[str]:
        """Return the rooms with stored events that this audience may see, the newest event's room first."""
        views = sorted(self._views(viewer=viewer), key=lambda pair: pair[1].last_seq, reverse=True)
        return [room for room, _ in views]

    def describe(self, room: str, *, viewer: bool) -> RoomForViewers | None:
        """Return the room's current state as plain JSON-able values; None if nothing of it is stored.

        Args:
            room: its name.
            viewer: true for the viewers' state, which has no `tools`.
        """
        operators, viewers = self._rooms.get(room, (None, None))
        view = viewers if viewer else operators
        if view is None or view.last_seq < self._oldest:
            return None
        reading = Reading(view, self._oldest)
        transcript = reading.transcript()
        state: RoomForViewers = {
            **self._summary(room, view, reading),
            "user_state": reading.state("user_state"),
            "turn": reading.turn(transcript),
            "transcript": transcript,
            "sessions": reading.sessions(),
        }
        if viewer:
            return state
        full: RoomState = {**state, "tools": reading.tools()}
        return full

    def summaries(self, *, viewer: bool, limit: int = 1000) -> list[RoomSummary]:
        """Return summaries of the rooms, the newest event's room first, at most `limit`."""
        newest = nlargest(limit, self._views(viewer=viewer), key=lambda pair: pair[1].last_seq)
        return [self._summary(room, view, Reading(view, self._oldest)) for room, view in newest]

    def _views(self, *, viewer: bool) -> Iterator[tuple[str, View]]:
        for room, (operators, viewers) in self._rooms.items():
            view = viewers if viewer else operators
            if view is not None and view.last_seq >= self._oldest:
                yield room, view

    def _summary(self, room: str, view: View, reading: Reading) -> RoomSummary:
        updated = view.updated
        return {
            "room": room,
            "last_seq": view.last_seq,
            "updated": updated[1] if updated and updated[0] >= self._oldest else None,
            "participants": reading.participants(),
            "agent_state": reading.state("agent_state"),
            "speaking": reading.speaking(),
        }
