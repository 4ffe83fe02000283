"""The state of a conversation between session events: turns, segments, the last timestamp.

Pure state: no I/O and no clock. Every time comes from the event being translated, so the same events always give
the same ids and times. `streaming_hub_client.bridge` is its only user.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from streaming_hub_client.data import complete, repair
from streaming_hub_client.heard import Heard
from streaming_hub_client.turn import Segment, Turn

if TYPE_CHECKING:
    from livekit.agents.voice import events as lk

Event = dict[str, Any]

CALLS_REMEMBERED = 256
TURNS_WITHOUT_WORDS = 8
SPEECHES_REMEMBERED = 64
SAME_SPEECH_SECONDS = 1.0
"""Largest difference between LiveKit's and a realtime model's start time for the same speech."""
SAYS_REMEMBERED = 64
REPLIES_REMEMBERED = 256


@dataclass
class ToolCall:
    """A function call, remembered after it ends because a deferred reply may still refer to it."""

    name: str
    turn: Turn
    started_at: float


class Item(NamedTuple):
    """An item in a realtime model's conversation: its id, and whether it is the user's."""

    id: str
    of_user: bool


class Result(Protocol):
    """What a tool returned.

    Attributes:
        output: Any value.
        handoff: The id of the agent it hands over to, if any.
    """

    @property
    def output(self) -> Any: ...  # noqa: D102

    @property
    def handoff(self) -> str | None: ...  # noqa: D102


@dataclass
class Conversation:
    """The state of one session.

    Args:
        session_id: The session's id in every event, and the start of its turn and segment ids.
        room: The LiveKit room.
        user: The user's identity in the room.
        agent: The agent's identity in the room.
        about: Fields of `session_started` about LiveKit's job: `job_id`, `room_sid`, `agent_name`.

    The shell sets some attributes before it passes an event on. Before every event: `playing`, the id of the speech
    that LiveKit is playing; `made_by`, the id of the speech that caused the event; and `closing`, whether LiveKit is
    closing the session. While `awaits_words_of_several`: `order`, a realtime model's items, oldest first. Before the
    end of a tool call that has a result: `result`.

    `held` is a realtime model's final. It waits for its message, which follows immediately and says when it was spoken.
    `hook_runs` is whether the application's `on_user_turn_completed` is running.
    """

    session_id: str
    room: str
    user: str = "user"
    agent: str = "agent"
    about: dict[str, Any] = field(default_factory=dict)

    started: bool = False
    ended: bool = False
    closing: bool = False
    end_reason: str | None = None
    disconnect_reason: str | None = None
    last_timestamp: float = 0.0

    user_turn: Turn | None = None
    user_speaking: Turn | None = None
    heard: Heard = field(default_factory=Heard)
    wordless: list[Turn] = field(default_factory=list)
    given_up: list[Turn] = field(default_factory=list)
    speeches: list[tuple[float, Turn]] = field(default_factory=list)
    held: lk.UserInputTranscribedEvent | None = None
    order: list[Item] = field(default_factory=list)
    replies: dict[str, Turn] = field(default_factory=dict)

    reply_turn: Turn | None = None
    new_speech: bool = False
    speech_answers_user: bool = False
    deferred_reply: Turn | None = None
    hook_runs: bool = False
    hook_speeches: list[str] = field(default_factory=list)
    playing: str | None = None
    made_by: str | None = None
    answers: dict[str, Turn] = field(default_factory=dict)
    reply_speech: str | None = None
    says: dict[str, Turn | None] = field(default_factory=dict)
    tool_turn: Turn | None = None

    speech_turn: Turn | None = None
    speaking: bool = False
    speech_segment: Segment | None = None
    speech_cut: bool | None = None
    interrupted_at: float | None = None
    words_welcome: bool = False
    words_early: bool = False

    tools: dict[str, ToolCall] = field(default_factory=dict)
    result: Result | None = None
    last_usage: list[dict[str, Any]] = field(default_factory=list)
    _count: int = 0

    def event(self, kind: str, at: float, turn: Turn | None = None, **fields: Any) -> Event:
        """Build one event; its timestamp is never earlier than the session's last one.

        Args:
            kind: The event's type.
            at: When it happened, seconds since 1970.
            turn: The turn it belongs to, if any.
            **fields: Its other fields.
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
        """Build a transcript event with a segment's current text."""
        return self.event(
            "transcript",
            at,
            segment.turn,
            role=role,
            participant=self.user if role == "user" else self.agent,
            text=repair(segment.text if is_final else complete(segment.text)),
            is_final=is_final,
            segment_id=segment.id,
            **fields,
        )

    def new_turn(self) -> Turn:
        """Open a new turn."""
        self._count += 1
        return Turn(f"{self.session_id}.t{self._count}", self._count)

    def new_segment(self, turn: Turn) -> Segment:
        """Open a segment of a turn."""
        self._count += 1
        return Segment(f"{self.session_id}.s{self._count}", turn)

    def turn_of_user(self) -> Turn:
        """Return the turn that the user's current words belong to.

        A turn takes the user's words until LiveKit commits them or the agent answers. Noise without a transcript leaves
        its turn open for the next words.
        """
        turn = self.user_turn
        if turn is None or turn.committed or turn.answered or turn.passed:
            turn = self.user_turn = self.new_turn()
            self._expect_words(turn)
        return turn

    def remember_speech(self, at: float, turn: Turn) -> None:
        """Remember when the user began to speak in a turn, in seconds since 1970."""
        self.speeches.append((at, turn))
        del self.speeches[:-SPEECHES_REMEMBERED]

    def turn_at(self, started_at: float) -> Turn | None:
        """Return the turn of the speech that began at `started_at` (seconds since 1970); None if there is none."""
        nearest = min(self.speeches, key=lambda speech: abs(speech[0] - started_at), default=None)
        if nearest is not None and abs(nearest[0] - started_at) <= SAME_SPEECH_SECONDS:
            return nearest[1]
        return next((turn for at, turn in reversed(self.speeches) if at <= started_at), None)

    @property
    def awaits_words_of_several(self) -> bool:
        """Whether the next words may belong to any of several turns."""
        return len(self.wordless) + len(self.given_up) > 1

    def remember_reply(self, item_id: str, turn: Turn) -> None:
        """Remember the turn of an agent's message or tool call; forget the oldest one over the limit."""
        self.replies.pop(item_id, None)
        if len(self.replies) >= REPLIES_REMEMBERED:
            del self.replies[next(iter(self.replies))]
        self.replies[item_id] = turn

    def turn_in_order(self, item_id: str) -> Turn | None:
        """Return the turn of a user's item, inferred from its place among the model's items; None if that is ambiguous.

        A user's item follows the answers to earlier turns and precedes the answer to its own.
        """
        place = next((at for at, item in enumerate(self.order) if item.id == item_id), None)
        if place is None:
            return None
        waiting = [*self.given_up, *self.wordless]
        turn, between = self._nearest_turn(self.order[place + 1 :])
        if turn is not None:
            waiting = [one for one in waiting if one.number <= turn.number][::-1]
        else:
            turn, between = self._nearest_turn(self.order[:place][::-1])
            waiting = [one for one in waiting if turn is None or one.number > turn.number]
        return waiting[between] if between < len(waiting) else None

    def _nearest_turn(self, items: list[Item]) -> tuple[Turn | None, int]:
        """Return the turn of the first item whose turn is known, and the number of user items before it."""
        spoken = 0
        for item in items:
            said = self.heard.by_id.get(item.id)
            turn = self.replies.get(item.id) if said is None else said.turn
            if turn is not None:
                return turn, spoken
            spoken += item.of_user
        return None, spoken

    def turn_of_words(
        self, *, is_final: bool, started_at: float | None = None, item_id: str | None = None
    ) -> Turn:
        """Return the turn of words that begin a new segment.

        A realtime model answers before it has transcribed the question, so late words belong to the turn that has none
        yet. If the user is already speaking again, a final belongs to the previous turn.

        Args:
            is_final: Whether the words are complete.
            started_at: When the user began to say them, in seconds since 1970, if known.
            item_id: A realtime model's id for the words. They may belong to a turn that was given up because later
                words arrived first.
        """
        turn = None if started_at is None else self.turn_at(started_at)
        if turn is None and item_id is not None and self.awaits_words_of_several:
            turn = self.turn_in_order(item_id)
        if turn is None and item_id is not None and is_final and self.given_up and self._expects_no_final():
            turn = self.given_up[-1]
        if turn is None:
            turn = self._turn_of_next_words(is_final=is_final)
        turn.worded = True
        if turn in self.given_up:
            self.given_up.remove(turn)
        if turn in self.wordless:
            # A final means that the transcriptions of earlier speech have failed.
            place = self.wordless.index(turn)
            if is_final:
                self._give_up(place)
                place = 0
            del self.wordless[place]
        return turn

    def expect_no_words(self, started_at: float | None) -> None:
        """Record a failed transcription: of the speech that began then, or else of the oldest turn without words."""
        turn = None if started_at is None else self.turn_at(started_at)
        if turn is None and self.wordless:
            turn = self.wordless[0]
        for turns in (self.wordless, self.given_up):
            if turn in turns:
                turns.remove(turn)

    def _expects_no_final(self) -> bool:
        """Return whether no turn is waiting for words, other than one in which the user is still speaking."""
        if self.user_speaking is not None:
            return self.wordless == [self.user_speaking] and not self.user_speaking.answered
        return not self.wordless and (self.user_turn is None or self.user_turn.answered)

    def _give_up(self, count: int) -> None:
        self.given_up += self.wordless[:count]
        del self.wordless[:count], self.given_up[:-TURNS_WITHOUT_WORDS]

    def _turn_of_next_words(self, *, is_final: bool) -> Turn:
        waiting = self.wordless
        turn = waiting[-1] if waiting else self.turn_of_user()
        answered = [one for one in waiting if one.answered]
        if is_final and answered and self.user_speaking is turn and not turn.answered:
            turn = answered[-1]
        return turn

    def turn_of_typing(self) -> Turn:
        """Return the turn for a typed message: one without words from another message."""
        turn = self.user_turn
        if turn is not None and turn.worded and not turn.committed:
            self.user_turn = None
        turn = self.turn_of_user()
        turn.worded = True
        if turn in self.wordless:
            self.wordless.remove(turn)
        return turn

    def _expect_words(self, turn: Turn) -> None:
        self.wordless.append(turn)
        del self.wordless[:-TURNS_WITHOUT_WORDS]

    def settle_reply(self) -> Turn:
        """Decide which turn the agent is working on, and return it.

        A speech answers the message it was created for, or else the committed message that no speech was created for.
        A speech that answers no message (a greeting, a `say`) is a turn of its own. Without a new speech, the agent is
        continuing its last one, after a tool call or a false interruption.
        """
        speech, pending = self.playing, self.user_turn
        if pending is not None and (pending.answered or pending in self.answers.values()):
            pending = None
        # Several speeches may be created before the first is spoken.
        is_new = self.new_speech or (speech is not None and speech != self.reply_speech)
        if speech is not None and speech in self.answers:
            self.reply_turn = self.answers[speech]
        elif pending is not None and (pending.committed or self.speech_answers_user):
            self.reply_turn = pending
        elif is_new or self.reply_turn is None:
            self.reply_turn = self.deferred_reply or self._turn_of_new_speech()
        self.reply_speech = speech
        self.reply_turn.answered = True
        self.new_speech, self.speech_answers_user, self.deferred_reply = False, False, None
        return self.reply_turn

    def remember_hook_speech(self, speech_id: str) -> None:
        """Remember that the application made a speech while it was handling the user's words."""
        self.hook_speeches.append(speech_id)
        del self.hook_speeches[:-SPEECHES_REMEMBERED]

    def remember_say(self, speech_id: str) -> None:
        """Remember that a speech is a `say`; forget the oldest one over the limit."""
        if len(self.says) >= SAYS_REMEMBERED:
            del self.says[next(iter(self.says))]
        self.says[speech_id] = None

    def remember_answer(self, turn: Turn) -> None:
        """Remember that the current speech answers a turn's message; forget the oldest one over the limit."""
        if self.made_by is None:
            return
        if len(self.answers) >= SPEECHES_REMEMBERED:
            del self.answers[next(iter(self.answers))]
        self.answers[self.made_by] = turn

    def turn_of_say(self) -> Turn | None:
        """Return the turn of the `say` that is being spoken; None if something else is.

        Several speeches may be waiting, so the order of creation does not identify the one being spoken.
        """
        name = self.playing
        if name is None:  # LiveKit does not report it.
            name = next((one for one, turn in self.says.items() if turn is None), "")
        if name not in self.says:
            return None
        turn = self.says[name]
        if turn is None:
            turn = self.says[name] = self.new_turn()
            turn.answered = True
        return turn

    def pass_over_user(self, turn: Turn) -> None:
        """Record that the agent begins to speak in a turn, passing over user words it does not answer."""
        user = self.user_turn
        if user is not None and user.worded and self.user_speaking is None and user is not turn:
            user.passed = True

    def _turn_of_new_speech(self) -> Turn:
        if self.speech_answers_user and self.tool_turn is not None:
            # A realtime model is speaking about a tool's result.
            return self.tool_turn
        turn = self.new_turn()
        if self.speech_answers_user:  # This answers words whose transcript will follow.
            self._expect_words(turn)
        return turn

    def remember_call(self, call_id: str, call: ToolCall) -> None:
        """Remember a tool call; forget the oldest one over the limit."""
        if len(self.tools) >= CALLS_REMEMBERED:
            del self.tools[next(iter(self.tools))]
        self.tools[call_id] = call
