"""Turns what a hidden participant sees of one agent into the events that `attach` would send. Pure.

    session messages   everything as it happens, from Python agents             `message`
    transcription      the agent's words as they are spoken, and the user's     `words`, `words_ended`, `heard`
    attribute          `lk.agent.state`                                         `state`

Node agents address their session messages to the user, and agents with `session_host=False` send none: then words and
states are all there is, and turns are made of these. Which of the two an agent is becomes clear within
`HOLD_SECONDS`, for which everything is held back anyway: an agent that posts by `attach` needs no watcher.

Time is an argument, in seconds since 1970.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from streaming_hub_client import bridge
from streaming_hub_client.conversation import Conversation, Event

from .messages import Messages, chat_message, transcribed

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

HOLD_SECONDS = 2.0
MIN_MESSAGES = 2
"""Session messages after which an agent counts as one that sends them: a Node agent's first one may reach anyone."""
SETTLE_SECONDS = 0.5
SAME_WORDS_SECONDS = 2.0
REPLACED = "replaced"
SOURCE = "watcher"
"""What `session_started` gives as its `source`."""
WORKING = ("thinking", "speaking")


class Watched:
    """One agent in one room.

    Args:
        session_id: The session's, in every event.
        room: The room's name.
        agent: The agent's identity.
        about: `room_sid`, `job_id`, `agent_name`, if known.
        unknown: Counts what is left out of its messages, by name.
        state: `lk.agent.state` when the watcher joined; None if the agent has none.

    Attributes:
        begun: When its first event arrived; None before that.
        over: Whether it has ended.
    """

    def __init__(
        self,
        session_id: str,
        room: str,
        agent: str,
        about: dict[str, Any],
        *,
        unknown: Counter[str],
        state: str | None = None,
    ) -> None:
        self.begun: float | None = None
        self.over = False
        self._memory = Conversation(session_id, room, agent=agent, about=about | {"source": SOURCE})
        self._messages = Messages(unknown)
        self._held: list[Callable[[], list[Event]]] | None = []
        self._count = 0
        self._sends_messages = False
        self._found = state
        self._first_state: str | None = None
        self._state: str | None = None
        self._stream: str | None = None
        self._spoken: dict[str, str] = {}
        self._last_final: tuple[str, float] | None = None
        self._last_heard = ""
        self._waiting: list[tuple[str, float]] = []

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._memory.session_id

    @property
    def agent(self) -> str:
        """The agent's identity."""
        return self._memory.agent

    @property
    def live(self) -> bool:
        """Whether its session has been reported and has not ended."""
        return self._memory.started and not self._memory.ended

    def linked(self, user: str) -> None:
        """Set the user that the agent listens to."""
        self._memory.user = user

    def message(self, data: bytes, at: float) -> list[Event]:
        """Take a session message, as it was on the byte stream."""
        self._count += 1
        payloads = self._messages.read(data, at)
        if self._first_state is None:
            self._first_state = next(
                (one.old_state for name, one in payloads if name == "agent_state_changed"), None
            )
        return self._take(at, lambda: self._translate(payloads)) if payloads else []

    def words(self, stream: str, text: str, at: float) -> list[Event]:
        """Take the agent's next words.

        Args:
            stream: The text stream's id; each is a segment.
            text: The words since the last call.
            at: When they arrived.
        """
        return self._take(at, lambda: self._words(stream, text, at))

    def words_ended(self, stream: str, at: float) -> list[Event]:
        """Take the end of one of the agent's text streams."""
        return self._take(at, lambda: self._words_ended(stream, at))

    def heard(self, user: str, segment: str, text: str, at: float, *, is_final: bool) -> list[Event]:
        """Take the user's words so far, of one segment."""
        return self._take(at, lambda: self._heard(user, segment, text, at, is_final=is_final))

    def state(self, state: str, at: float) -> list[Event]:
        """Take a new value of `lk.agent.state`."""
        return self._take(at, lambda: self._attribute(state, at))

    def settle(self) -> list[Event]:
        """Return the states that waited for the user's final words, `SETTLE_SECONDS` after the first of them."""
        waiting, self._waiting = self._waiting, []
        return [event for state, at in waiting for event in self._changed(state, at)]

    @property
    def waits(self) -> bool:
        """Whether states wait for the user's final words."""
        return bool(self._waiting)

    def release(self) -> list[Event]:
        """Give what was held back; from now on events are given at once."""
        held, self._held = self._held, None
        if held is None or self.over:
            return []
        self._sends_messages = self._count >= MIN_MESSAGES
        events = self._seed()
        for take in held:
            events += take()
        return events

    def replaced(self, at: float) -> list[Event]:
        """End the session because the agent's own `attach` reports it; if still held back, it leaves no events."""
        if self._held is not None:
            self._held, self.over = None, True
            return []
        return self.close(REPLACED, at)

    def close(self, reason: str, at: float, disconnect_reason: str | None = None) -> list[Event]:
        """End the session.

        Args:
            reason: As `session_ended` gives it.
            at: When.
            disconnect_reason: LiveKit's, of the participant that left.
        """
        events = self.release() + self.settle()
        self.over = True
        if not self._memory.started:
            return events
        self._memory.end_reason, self._memory.disconnect_reason = reason, disconnect_reason
        closing = SimpleNamespace(reason=reason, error=None, created_at=at)
        return events + bridge.translate(self._memory, "close", closing)

    def _take(self, at: float, take: Callable[[], list[Event]]) -> list[Event]:
        if self.over:
            return []
        if self.begun is None:
            self.begun = at
        if self._held is not None:
            self._held.append(take)
            return []
        return take()

    def _seed(self) -> list[Event]:
        """Begin with what the agent was doing when the watcher joined."""
        if self._found not in WORKING or self.begun is None:
            return []
        if self._first_state not in (None, self._found):
            return []  # the messages, which are slower than the attribute, still report that state
        return self._changed(self._found, self.begun, before="initializing")

    def _translate(self, payloads: list[tuple[str, Any]]) -> list[Event]:
        if not self._sends_messages:
            self._sends_messages = self._count >= MIN_MESSAGES
        if not self._sends_messages:
            return []
        events: list[Event] = []
        for name, payload in payloads:
            if name == "agent_state_changed":
                events += self._changed(payload.new_state, payload.created_at, before=payload.old_state)
            elif not self._is_known(name, payload):
                events += bridge.translate(self._memory, name, payload)
        return events

    def _is_known(self, name: str, payload: Any) -> bool:
        """Return whether a final was already taken from the transcription, just before the first messages."""
        if name != "user_input_transcribed" or self._last_final is None:
            return False
        text, at = self._last_final
        return bool(payload.transcript == text and abs(payload.created_at - at) < SAME_WORDS_SECONDS)

    def _attribute(self, state: str, at: float) -> list[Event]:
        if self._sends_messages:
            return []
        # The agent begins to think a moment before the words that it thinks about are final in the room.
        if self._waiting or (state in WORKING and self._memory.heard.open is not None):
            self._waiting.append((state, at))
            return []
        return self._changed(state, at)

    def _changed(self, state: str, at: float, before: str | None = None) -> list[Event]:
        if state == self._state:
            return []
        events = self._speech(at) if state in WORKING and self._state not in WORKING else []
        payload = SimpleNamespace(
            old_state=self._state or before or "initializing", new_state=state, created_at=at
        )
        self._state = state
        return events + bridge.translate(self._memory, "agent_state_changed", payload)

    def _speech(self, at: float) -> list[Event]:
        """Report a new speech to the bridge, as LiveKit does not send it: the agent begins to work on one.

        The last speech continues if its words have no final yet. The new one answers the user if an utterance is
        unanswered.
        """
        memory = self._memory
        if memory.speech_segment is not None:
            return []
        asked = memory.user_turn
        answers = asked is not None and asked.worded and not asked.answered
        return bridge.translate(memory, "speech_created", _created(at, answers=answers))

    def _words(self, stream: str, text: str, at: float) -> list[Event]:
        events = self.settle()
        if not self._memory.started:
            events += bridge.translate(self._memory, "speech_created", _created(at, answers=False))
        elif stream != self._stream and self._state not in WORKING:
            events += self._speech(at)
        self._stream = stream
        self._spoken[stream] = self._spoken.get(stream, "") + text
        return events + bridge.agent_words(self._memory, text, at)

    def _words_ended(self, stream: str, at: float) -> list[Event]:
        text = self._spoken.pop(stream, "")
        if self._sends_messages or not text.strip():
            return []
        said = chat_message(stream, "assistant", text, at, interrupted=False)
        return self._item(said, at)

    def _item(self, item: Any, at: float) -> list[Event]:
        return bridge.translate(
            self._memory, "conversation_item_added", SimpleNamespace(item=item, created_at=at)
        )

    def _heard(self, user: str, segment: str, text: str, at: float, *, is_final: bool) -> list[Event]:
        self.linked(user)
        if self._sends_messages or (text == self._last_heard and not is_final):
            return []
        self._last_heard = "" if is_final else text
        payload = transcribed(text, is_final=is_final, item_id=segment or None)
        payload.created_at = at
        events = bridge.translate(self._memory, "user_input_transcribed", payload)
        events += bridge.release(self._memory)  # no message follows that dates it
        if is_final:
            self._last_final = text, at
            events += self.settle()
        return events


def _created(at: float, *, answers: bool) -> SimpleNamespace:
    """Return LiveKit's `SpeechCreatedEvent` as the bridge reads it; the room does not show a `say`."""
    return SimpleNamespace(source="generate_reply", user_initiated=not answers, created_at=at)
