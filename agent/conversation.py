"""What a conversation has to remember between two session events: turns, segments, the last timestamp.

Pure state: no I/O and no clock. Every moment comes from the event that is being translated, so the same
events always give the same ids and times. `agent.bridge` is its only user.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]

CALLS_REMEMBERED = 256


@dataclass
class Turn:
    """One user utterance and its answer; a greeting is a turn without the utterance.

    Attributes:
        id: The turn's name, unique across sessions.
        heard: A final transcript of the user's words was sent.
        committed: LiveKit has added the user's message, so later words start the next turn.
        answered: The agent has begun to work on its answer.
    """

    id: str
    heard: bool = False
    committed: bool = False
    answered: bool = False


@dataclass
class Segment:
    """A piece of speech whose interim transcripts and final share one id."""

    id: str
    turn: Turn
    text: str = ""


@dataclass
class ToolCall:
    """A function call; remembered after its end, since a reply that was put off may still name it."""

    name: str
    turn: Turn
    started_at: float


@dataclass
class Conversation:
    """One session's memory.

    Args:
        session_id: Names the session in every event; turn and segment ids start with it.
        room: The LiveKit room.
        user: The user's identity in the room.
        agent: The agent's identity in the room.
    """

    session_id: str
    room: str
    user: str = "user"
    agent: str = "agent"

    started: bool = False
    ended: bool = False
    end_reason: str | None = None
    last_timestamp: float = 0.0

    user_turn: Turn | None = None
    user_segment: Segment | None = None
    user_speaking: Turn | None = None

    reply_turn: Turn | None = None
    new_speech: bool = False
    speech_answers_user: bool = False
    deferred_reply: Turn | None = None

    speech_turn: Turn | None = None
    speaking: bool = False
    speech_segment: Segment | None = None
    speech_cut: bool | None = None
    interrupted_at: float | None = None
    words_welcome: bool = False

    tools: dict[str, ToolCall] = field(default_factory=dict)
    last_usage: list[dict[str, Any]] = field(default_factory=list)
    _count: int = 0

    def event(self, kind: str, at: float, turn: Turn | None = None, **fields: Any) -> Event:
        """Build one event; its timestamp never falls behind the session's last one.

        Args:
            kind: The event's type.
            at: When it happened, seconds since 1970.
            turn: The turn it belongs to, where it belongs to one.
            **fields: What else the event says.
        """
        self.last_timestamp = max(self.last_timestamp, at)
        event: Event = {
            "type": kind,
            "timestamp": self.last_timestamp,
            "room": self.room,
            "session_id": self.session_id,
        }
        if turn is not None:
            event["turn_id"] = turn.id
        event.update(fields)
        return event

    def transcript(self, segment: Segment, at: float, *, role: str, is_final: bool, **fields: Any) -> Event:
        """Build a transcript event of a segment's present text."""
        return self.event(
            "transcript",
            at,
            segment.turn,
            role=role,
            participant=self.user if role == "user" else self.agent,
            text=segment.text,
            is_final=is_final,
            segment_id=segment.id,
            **fields,
        )

    def new_turn(self) -> Turn:
        """Open a turn with an id of its own."""
        self._count += 1
        return Turn(f"{self.session_id}.t{self._count}")

    def new_segment(self, turn: Turn) -> Segment:
        """Open a segment of a turn."""
        self._count += 1
        return Segment(f"{self.session_id}.s{self._count}", turn)

    def turn_of_user(self) -> Turn:
        """Give the turn that the user's present words belong to.

        A turn takes the user's words until LiveKit commits them or the agent answers it. Noise that no
        transcript follows leaves its turn open for the next words.
        """
        turn = self.user_turn
        if turn is None or turn.committed or turn.answered:
            turn = self.user_turn = self.new_turn()
        return turn

    def settle_reply(self) -> Turn:
        """Decide which turn the agent works on now, and give it.

        A committed user message is answered first. A speech that answers nobody (a greeting, a `say`) is a
        turn of its own. Without a new speech the agent goes on with what it was at: a tool's answer, or a
        speech that resumes after a false interruption.
        """
        pending = self.user_turn
        if pending is not None and not pending.answered and (pending.committed or self.speech_answers_user):
            self.reply_turn = pending
        elif self.new_speech or self.reply_turn is None:
            self.reply_turn = self.deferred_reply or self.new_turn()
        self.reply_turn.answered = True
        self.new_speech, self.speech_answers_user, self.deferred_reply = False, False, None
        return self.reply_turn

    def remember_call(self, call_id: str, call: ToolCall) -> None:
        """Remember a tool call, and forget the oldest of too many."""
        if len(self.tools) >= CALLS_REMEMBERED:
            del self.tools[next(iter(self.tools))]
        self.tools[call_id] = call
