"""Reduces a session's events, in order, to what they tell about it: turns, words, tools and errors. Pure.

    events, oldest first -> Reduction.take -> State -> figures.summary, figures.turn_row ...

`State` holds everything that later events may still change; it can be stored and loaded again. A value of the wrong
type (a list as text, a string as time) counts as absent, since events may have any value in any field.

A JavaScript twin of this module and of `figures` passes the same tests/vectors/figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.archive import words
from streaming_hub.events.types import operator_only
from streaming_hub.events.types.base import MAX_TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Mapping

STAGES: Final = (
    "e2e_latency",
    "transcription_delay",
    "end_of_turn_delay",
    "llm_node_ttft",
    "tts_node_ttfb",
    "playback_latency",
)
"""LiveKit's figures of a turn, in seconds."""
USER: Final = "user"
AGENT: Final = "agent"
OPERATOR: Final = "operator"
"""`audience` of events that viewers do not see."""
ABANDONED: Final = "abandoned"
REPLACED: Final = "replaced"
"""Reason of a session that another one reports, too: lists and figures leave it out."""
REPORT: Final = "session_report"
"""Type of the hub's own summary of a session, which is not part of the session."""


class Speech(msgspec.Struct):
    """A talk interval of one voice; `stopped` is None while it is open, `told` is set once it has a transcript."""

    role: str
    participant: str | None
    turn_id: str | None
    started: float
    stopped: float | None = None
    told: bool = False


class Turn(msgspec.Struct):
    """One turn. Times are seconds since 1970; the stages are LiveKit's, in seconds.

    Attributes:
        user_stops: when the user's speech stopped, each time.
        tools: positions in `State.tools`.
        operator_only: whether it appears only in events that viewers do not see.
    """

    turn_id: str
    index: int
    started: float
    operator_only: bool = False
    user_text: str | None = None
    agent_text: str | None = None
    user_started: float | None = None
    user_stops: list[float] = []
    agent_started: float | None = None
    agent_stopped: float | None = None
    interrupted: bool = False
    e2e_latency: float | None = None
    transcription_delay: float | None = None
    end_of_turn_delay: float | None = None
    llm_node_ttft: float | None = None
    tts_node_ttfb: float | None = None
    playback_latency: float | None = None
    tools: list[int] = []


class Utterance(msgspec.Struct):
    """One final transcript.

    Attributes:
        operator_only: whether viewers do not see it.
        speech: the position of its talk interval in `State.speeches`, if it has one.
    """

    at: float
    role: str | None
    participant: str | None
    turn_id: str | None
    text: str | None
    interrupted: bool
    operator_only: bool = False
    speech: int | None = None


class Tool(msgspec.Struct):
    """One tool call; `ended` once it has finished."""

    call_id: str | None
    turn_id: str | None
    name: str | None = None
    arguments: Any = None
    output: Any = None
    status: str | None = None
    started: float | None = None
    duration: float | None = None
    ended: bool = False


class Failure(msgspec.Struct):
    """One `error` event."""

    at: float
    turn_id: str | None
    source: str | None
    message: str | None
    recoverable: bool | None


class Person(msgspec.Struct):
    """A participant named in the session's events, except in those for operators only."""

    identity: str
    role: str | None


class State(msgspec.Struct):
    """Everything known about a session.

    Attributes:
        started: time of its first event; `newest`: the latest time of any.
        hidden_user_words, hidden_agent_words: how many of the words viewers do not see.
        job_id: LiveKit's id of the agent's job, if an event has it.
        reason_hidden: whether viewers do not see the event that gave the reason.
    """

    session_id: str
    room: str | None
    started: float
    newest: float
    ended: float | None = None
    reason: str | None = None
    agent: str | None = None
    participants: list[Person] = []
    turns: list[Turn] = []
    utterances: list[Utterance] = []
    tools: list[Tool] = []
    errors: list[Failure] = []
    speeches: list[Speech] = []
    first_agent_speech: float | None = None
    user_words: int = 0
    agent_words: int = 0
    interruptions: int = 0
    false_interruptions: int = 0
    usage: list[Any] | None = None
    hidden_user_words: int = 0
    hidden_agent_words: int = 0
    reason_hidden: bool = False
    job_id: str | None = None


class Changes(msgspec.Struct):
    """Positions in the lists of a `State` whose rows have to be written."""

    turns: set[int] = set()
    utterances: set[int] = set()
    tools: set[int] = set()
    errors: set[int] = set()


class Reduction:
    """Updates a session's state from its events.

    Args:
        state: the initial state.

    Attributes:
        state: the current state.
        changes: what `take` has changed since this was last cleared.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.changes = Changes()
        self._turns = {turn.turn_id: turn for turn in state.turns}
        self._tools = {tool.call_id: index for index, tool in enumerate(state.tools) if tool.call_id}
        self._people = {person.identity: person for person in state.participants}
        # Positions: of the open speech of a role and participant, and of the utterance of a speech. Searching the lists
        # would make a session of many events, or of many voices that never stop, slower with each of them.
        self._open = {
            (speech.role, speech.participant): index
            for index, speech in enumerate(state.speeches)
            if speech.stopped is None
        }
        self._utterance_of = {said.speech: place for place, said in enumerate(state.utterances)}

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Reduction:
        """Return the reduction of a new session; its first event still has to be passed to `take`."""
        at = time_of(event, "timestamp") or 0.0
        return cls(State(text_of(event, "session_id") or "", text_of(event, "room"), at, at))

    def take(self, event: Mapping[str, Any]) -> None:
        """Apply the session's next event."""
        kind = event.get("type")
        if kind == REPORT:
            return
        state = self.state
        at = time_of(event, "timestamp")
        if at is None:
            at = state.newest
        state.newest = max(state.newest, at)
        self._note_person(event)
        turn = self._turn_of(event, at)
        handler = _HANDLERS.get(kind) if isinstance(kind, str) else None
        if handler is not None:
            handler(self, event, at, turn)

    def abandon(self) -> None:
        """End a session that has no end event."""
        if self.state.ended is None:
            self.state.ended, self.state.reason = self.state.newest, ABANDONED

    def drop_words(self) -> None:
        """Forget what was said, and mark every row for writing."""
        state = self.state
        state.utterances = []
        self._utterance_of = {}
        for speech in state.speeches:
            speech.told = False
        for turn in state.turns:
            turn.user_text = turn.agent_text = None
        for tool in state.tools:
            tool.arguments = tool.output = None
        for failure in state.errors:
            failure.message = None
        turns, tools, errors = (set(range(len(one))) for one in (state.turns, state.tools, state.errors))
        self.changes = Changes(turns, set(), tools, errors)

    def _note_person(self, event: Mapping[str, Any]) -> None:
        identity = text_of(event, "participant")
        if not identity or event.get("audience") == OPERATOR:
            return
        role = text_of(event, "role")
        known = self._people.get(identity)
        if known is None:
            self._people[identity] = person = Person(identity, role)
            self.state.participants.append(person)
        elif known.role is None:
            known.role = role

    def _turn_of(self, event: Mapping[str, Any], at: float) -> Turn | None:
        turn_id = text_of(event, "turn_id")
        if not turn_id:
            return None
        turn = self._turns.get(turn_id)
        if turn is None:
            turn = self._turns[turn_id] = Turn(turn_id, len(self.state.turns), at, operator_only=True)
            self.state.turns.append(turn)
            self.changes.turns.add(turn.index)
        if turn.operator_only and not operator_only(text_of(event, "type") or "", event.get("audience")):
            turn.operator_only = False
            self.changes.turns.add(turn.index)
        return turn

    def _touch(self, turn: Turn | None) -> None:
        if turn is not None:
            self.changes.turns.add(turn.index)

    def _started(self, event: Mapping[str, Any], _at: float, _turn: Turn | None) -> None:
        if self.state.agent is None:
            self.state.agent = text_of(event, "agent_name")
        if self.state.job_id is None:
            self.state.job_id = text_of(event, "job_id")

    def _ended(self, event: Mapping[str, Any], at: float, _turn: Turn | None) -> None:
        if self.state.ended is None:
            self.state.ended, self.state.reason = at, text_of(event, "reason")
            self.state.reason_hidden = event.get("audience") == OPERATOR

    def _user_started(self, event: Mapping[str, Any], at: float, turn: Turn | None) -> None:
        at = self._open_speech(USER, event, at, turn)
        if turn is not None:
            turn.user_started = at if turn.user_started is None else min(turn.user_started, at)

    def _agent_started(self, event: Mapping[str, Any], at: float, turn: Turn | None) -> None:
        at = self._open_speech(AGENT, event, at, turn)
        first = self.state.first_agent_speech
        self.state.first_agent_speech = at if first is None else min(first, at)
        if turn is not None:
            turn.agent_started = at if turn.agent_started is None else min(turn.agent_started, at)

    def _user_stopped(self, event: Mapping[str, Any], at: float, turn: Turn | None) -> None:
        at = self._close_speech(USER, event, at)
        if turn is not None:
            turn.user_stops.append(at)
            self._touch(turn)

    def _agent_stopped(self, event: Mapping[str, Any], at: float, turn: Turn | None) -> None:
        at = self._close_speech(AGENT, event, at)
        if turn is not None:
            turn.agent_stopped = at if turn.agent_stopped is None else max(turn.agent_stopped, at)
            turn.interrupted = turn.interrupted or event.get("interrupted") is True
            self._touch(turn)

    def _open_speech(self, role: str, event: Mapping[str, Any], at: float, turn: Turn | None) -> float:
        at = _or(time_of(event, "started_at"), at)
        self._touch(turn)
        participant = text_of(event, "participant")
        if (role, participant) not in self._open:
            self._open[role, participant] = len(self.state.speeches)
            turn_id = None if turn is None else turn.turn_id
            self.state.speeches.append(Speech(role, participant, turn_id, at))
        return at

    def _close_speech(self, role: str, event: Mapping[str, Any], at: float) -> float:
        at = _or(time_of(event, "stopped_at"), at)
        index = self._open.pop((role, text_of(event, "participant")), None)
        if index is not None:
            self.state.speeches[index].stopped = at
            if index in self._utterance_of:
                self.changes.utterances.add(self._utterance_of[index])
        return at

    def _transcript(self, event: Mapping[str, Any], at: float, turn: Turn | None) -> None:
        if event.get("is_final", True) is False:
            return
        role, text = text_of(event, "role"), text_of(event, "text")
        turn_id = None if turn is None else turn.turn_id
        said = Utterance(
            at,
            role,
            text_of(event, "participant"),
            turn_id,
            text,
            interrupted=event.get("interrupted") is True,
            operator_only=event.get("audience") == OPERATOR,
        )
        said.speech = self._speech_of(said)
        place = len(self.state.utterances)
        if said.speech is not None:
            self._utterance_of[said.speech] = place
        self.state.utterances.append(said)
        self.changes.utterances.add(place)
        count = words.count(text) if text else 0
        hidden = count if said.operator_only else 0
        if role == USER:
            self.state.user_words += count
            self.state.hidden_user_words += hidden
        elif role == AGENT:
            self.state.agent_words += count
            self.state.hidden_agent_words += hidden
        if turn is not None:
            self._add_text(turn, role, text)
            turn.interrupted = turn.interrupted or (role == AGENT and said.interrupted)
            self._touch(turn)

    def _speech_of(self, said: Utterance) -> int | None:
        """Return the latest speech of the same voice and turn, unless an earlier transcript belongs to it."""
        speeches = self.state.speeches
        for index in range(len(speeches) - 1, max(len(speeches) - 1 - _LOOK_BACK, -1), -1):
            speech = speeches[index]
            same_voice = (
                None in (speech.participant, said.participant) or speech.participant == said.participant
            )
            if speech.role == said.role and speech.turn_id == said.turn_id and same_voice:
                if speech.told:
                    return None
                speech.told = True
                return index
        return None

    @staticmethod
    def _add_text(turn: Turn, role: str | None, text: str | None) -> None:
        if text is None:
            return
        if role == USER:
            turn.user_text = text if turn.user_text is None else f"{turn.user_text} {text}"
        elif role == AGENT:
            turn.agent_text = text if turn.agent_text is None else f"{turn.agent_text} {text}"

    def _interruption(self, _event: Mapping[str, Any], _at: float, turn: Turn | None) -> None:
        self.state.interruptions += 1
        if turn is not None:
            turn.interrupted = True
            self._touch(turn)

    def _false_interruption(self, _event: Mapping[str, Any], _at: float, _turn: Turn | None) -> None:
        self.state.false_interruptions += 1

    def _tool_started(self, event: Mapping[str, Any], at: float, turn: Turn | None) -> None:
        tool = self._tool(event, turn)
        tool.started = at if tool.started is None else tool.started
        tool.arguments = event.get("arguments")

    def _tool_finished(self, event: Mapping[str, Any], at: float, turn: Turn | None) -> None:
        tool = self._tool(event, turn)
        tool.ended = True
        tool.status, tool.output = text_of(event, "status"), event.get("output")
        tool.duration = number_of(event, "duration")
        if tool.duration is None and tool.started is not None:
            tool.duration = rounded(max(0.0, at - tool.started))

    def _tool(self, event: Mapping[str, Any], turn: Turn | None) -> Tool:
        call_id = text_of(event, "call_id")
        index = self._tools.get(call_id) if call_id else None
        if index is None:
            index = len(self.state.tools)
            self.state.tools.append(Tool(call_id, None if turn is None else turn.turn_id))
            if call_id:
                self._tools[call_id] = index
            if turn is not None:
                turn.tools.append(index)
                self._touch(turn)
        self.changes.tools.add(index)
        tool = self.state.tools[index]
        tool.name = text_of(event, "name") if tool.name is None else tool.name
        return tool

    def _metrics(self, event: Mapping[str, Any], _at: float, turn: Turn | None) -> None:
        if turn is None:
            return
        for name in STAGES:
            # Once per turn: a response after a tool call has its own figures, but the user waited for the first one.
            if getattr(turn, name) is None:
                setattr(turn, name, number_of(event, name))
        self._touch(turn)

    def _usage(self, event: Mapping[str, Any], _at: float, _turn: Turn | None) -> None:
        usage = event.get("model_usage")
        if isinstance(usage, list):
            self.state.usage = usage

    def _error(self, event: Mapping[str, Any], at: float, turn: Turn | None) -> None:
        recoverable = event.get("recoverable")
        self.state.errors.append(
            Failure(
                at,
                None if turn is None else turn.turn_id,
                text_of(event, "source"),
                text_of(event, "message"),
                recoverable if isinstance(recoverable, bool) else None,
            )
        )
        self.changes.errors.add(len(self.state.errors) - 1)


_LOOK_BACK: Final = 50
"""How many talk intervals to search for the one that a transcript belongs to."""

_HANDLERS: Final = {
    "session_started": Reduction._started,
    "session_ended": Reduction._ended,
    "user_speech_started": Reduction._user_started,
    "user_speech_finished": Reduction._user_stopped,
    "agent_speech_started": Reduction._agent_started,
    "agent_speech_finished": Reduction._agent_stopped,
    "transcript": Reduction._transcript,
    "interruption": Reduction._interruption,
    "agent_false_interruption": Reduction._false_interruption,
    # As agents that are not LiveKit's may call it.
    "false_interruption": Reduction._false_interruption,
    "tool_call_started": Reduction._tool_started,
    "tool_call_finished": Reduction._tool_finished,
    "turn_metrics": Reduction._metrics,
    "usage": Reduction._usage,
    "error": Reduction._error,
}


def text_of(event: Mapping[str, Any], field: str) -> str | None:
    """Return a field if it is a string without NUL (PostgreSQL cannot store one), else None."""
    value = event.get(field)
    return value if isinstance(value, str) and "\0" not in value else None


def number_of(event: Mapping[str, Any], field: str) -> float | None:
    """Return a field if it is a number between -`MAX_TIMESTAMP` and `MAX_TIMESTAMP`, else None."""
    value = event.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_TIMESTAMP:
        return None
    return value


def time_of(event: Mapping[str, Any], field: str) -> float | None:
    """Return a field if it is a time in seconds since 1970, else None."""
    value = number_of(event, field)
    return value if value is not None and value >= 0 else None


def rounded(seconds: float) -> float:
    """Round seconds to microseconds: the digits of a double beyond them are noise.

    The arithmetic is the same in JavaScript, so both give the same double.
    """
    return (seconds * 1e6 + 0.5) // 1 / 1e6


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
