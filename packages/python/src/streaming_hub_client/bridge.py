"""Translates LiveKit's session events into the hub's events, by a table of event name -> function.

Every function takes the conversation's memory and one payload of `AgentSession.on(...)`, and returns the events to
send, in order. No I/O, no clock, no LiveKit import at run time: payloads are read by their documented fields
(livekit-agents 1.8.9, `livekit.agents.voice.events`). `attach` is the shell that listens and sends.
"""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

from streaming_hub_client import user_words
from streaming_hub_client.conversation import Conversation, Event, ToolCall
from streaming_hub_client.data import plain, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit.agents import llm
    from livekit.agents.voice import events as lk

    from streaming_hub_client.turn import Segment, Turn

    Translate = Callable[[Conversation, Any], list[Event]]


def translate(memory: Conversation, name: str, payload: Any) -> list[Event]:
    """Translate one session event into the events to send.

    The first event of a session is preceded by `session_started`; after `session_ended` nothing follows.

    Args:
        memory: The session's memory; it is updated.
        name: LiveKit's event name.
        payload: LiveKit's event.

    Raises:
        KeyError: The name is not in `TABLE`.
    """
    if memory.ended:
        return []
    row = TABLE[name]
    opening: list[Event] = []
    if not memory.started:
        opening = [memory.event("session_started", payload.created_at, **memory.about)]
    item = payload.item if name == "conversation_item_added" else None
    events = opening + user_words.release(memory, item) + row(memory, payload)
    memory.started = True  # only now: if a row raises, `session_started` still comes first
    return events


def release(memory: Conversation) -> list[Event]:
    """Return the held final, for a message that LiveKit has not added.

    Args:
        memory: The session's memory; it is updated.
    """
    return [] if memory.ended else user_words.release(memory)


def user_state_changed(memory: Conversation, ev: lk.UserStateChangedEvent) -> list[Event]:
    """Return `user_state`, and the start or end of speech, which LiveKit backdates to the first or last sound."""
    fields = {"role": "user", "participant": memory.user}
    at = ev.created_at
    turn = memory.turn_of_user() if ev.new_state == "speaking" else memory.user_speaking
    state = {"state": ev.new_state, "previous": ev.old_state, **fields}
    events = [memory.event("user_state", at, turn, **state)]
    if ev.new_state == "speaking":
        memory.user_speaking = turn
        if turn is not None:
            memory.remember_speech(at, turn)
        events = user_words.close_unfinished(memory, at) + events
        events.append(memory.event("user_speech_started", at, turn, started_at=at, **fields))
    elif turn is not None:
        memory.user_speaking = None
        events.append(memory.event("user_speech_finished", at, turn, stopped_at=at, **fields))
    return events


def agent_state_changed(memory: Conversation, ev: lk.AgentStateChangedEvent) -> list[Event]:
    """Return `agent_state`, and the start, end and interruption of the agent's speech, which follow from it."""
    turn = None
    if ev.new_state in ("thinking", "speaking"):
        said = memory.turn_of_say() if ev.new_state == "speaking" else None
        turn = said or memory.settle_reply()
    question = [] if turn is None else user_words.close_answered(memory, turn, ev.created_at)
    state = {"state": ev.new_state, "previous": ev.old_state, "role": "agent", "participant": memory.agent}
    events = [*question, memory.event("agent_state", ev.created_at, turn or memory.speech_turn, **state)]
    if ev.new_state == "speaking" and turn is not None and not memory.speaking:
        return events + _start_speech(memory, turn, ev.created_at)
    if memory.speaking and ev.new_state != "speaking":
        return events + _finish_speech(memory, ev.created_at, ev.new_state)
    if ev.new_state == "thinking":
        memory.words_welcome = True
    return events


def _start_speech(memory: Conversation, turn: Turn, at: float) -> list[Event]:
    resumed = memory.speech_turn is turn
    events = [] if resumed or memory.words_early else close_segment(memory, at)
    memory.words_early = False
    if not resumed:
        memory.pass_over_user(turn)
    memory.speech_turn, memory.tool_turn = turn, None
    memory.speaking, memory.words_welcome = True, True
    memory.speech_cut = memory.interrupted_at = None
    return [*events, memory.event("agent_speech_started", at, memory.speech_turn, **_agent(memory))]


def _finish_speech(memory: Conversation, at: float, new_state: str, *, closing: bool = False) -> list[Event]:
    # At a natural end LiveKit adds the message before the state changes. At an interruption with a pausing output the
    # state changes first, and the message follows once the user's words are final.
    cut = memory.speech_cut
    closing = closing or memory.closing or memory.end_reason is not None
    if cut is None:
        cut = new_state == "listening" and (closing or memory.user_speaking is not None)
    memory.speaking = False
    fields = {"interrupted": cut, **_agent(memory)}
    events = [memory.event("agent_speech_finished", at, memory.speech_turn, **fields)]
    if cut:
        memory.interrupted_at = at
    if cut and not closing:  # The end of a session is not an interruption.
        fields = {"interrupted_at": at, **_agent(memory)}
        events.append(memory.event("interruption", at, memory.speech_turn, **fields))
    return events


def _agent(memory: Conversation) -> dict[str, Any]:
    return {"role": "agent", "participant": memory.agent}


def agent_words(memory: Conversation, text: str, at: float) -> list[Event]:
    """Return the agent's words as they are spoken, from a text output behind LiveKit's synchronizer.

    Args:
        memory: The session's memory; it is updated.
        text: The words spoken since the last call.
        at: When they were spoken, seconds since 1970.

    Returns:
        One interim transcript with all words of the segment so far; nothing for a word after the segment's final.
    """
    segment = memory.speech_segment
    if memory.ended or not text or (segment is None and not memory.words_welcome):
        return []
    before: list[Event] = []
    if segment is not None and not memory.speaking and _is_of_another_speech(memory, segment):
        before, segment = close_segment(memory, at), None
    if segment is None:
        turn = _turn_spoken(memory)
        before += user_words.close_answered(memory, turn, at)
        segment = memory.speech_segment = memory.new_segment(turn)
        memory.words_early = not memory.speaking
    segment.text += text
    return [*before, memory.transcript(segment, at, role="agent", is_final=False)]


def _is_of_another_speech(memory: Conversation, segment: Segment) -> bool:
    said = memory.turn_of_say()
    if said is not None:
        return segment.turn is not said
    return memory.new_speech or segment.turn is not memory.reply_turn


def _turn_spoken(memory: Conversation) -> Turn:
    if (said := memory.turn_of_say()) is not None:
        return said
    if memory.new_speech and not memory.speaking:  # Without audio, words arrive before the state changes.
        return memory.settle_reply()
    turn = memory.speech_turn if memory.speaking else memory.reply_turn
    return turn or memory.speech_turn or memory.settle_reply()


def close_segment(memory: Conversation, at: float) -> list[Event]:
    """Return the final for agent words that no message follows, as with `say(add_to_chat_ctx=False)`."""
    segment, memory.speech_segment = memory.speech_segment, None
    if segment is None:
        return []
    return [memory.transcript(segment, at, role="agent", is_final=True, interrupted=bool(memory.speech_cut))]


def conversation_item_added(memory: Conversation, ev: lk.ConversationItemAddedEvent) -> list[Event]:
    """Return a committed message's events: the agent's final words, a typed user message, metrics, or a handoff."""
    item: Any = ev.item
    if item.type == "agent_handoff":
        return _handoff(memory, item, ev.created_at)
    if item.type != "message":
        return []
    if item.role == "user":
        return user_words.message(memory, item, ev.created_at)
    if item.role == "assistant":
        return _agent_message(memory, item, ev.created_at)
    return []


def _handoff(memory: Conversation, item: llm.AgentHandoff, at: float) -> list[Event]:
    if item.old_agent_id is None:  # the session's first agent
        return []
    names = {"old_agent": item.old_agent_id, "new_agent": item.new_agent_id}
    return [memory.event("handoff", at, memory.reply_turn, **names)]


def _agent_message(memory: Conversation, item: llm.ChatMessage, at: float) -> list[Event]:
    segment = memory.speech_segment or memory.new_segment(_turn_of_message(memory))
    segment.text, memory.speech_segment = item.text_content or "", None
    memory.words_welcome, memory.speech_cut = False, item.interrupted
    extra: dict[str, Any] = {"interrupted": item.interrupted}
    cut_at = {}
    if item.interrupted:
        cut_at = {"interrupted_at": at if memory.interrupted_at is None else memory.interrupted_at}
    memory.remember_reply(item.id, segment.turn)
    final = memory.transcript(segment, at, role="agent", is_final=True, **extra, **cut_at)
    metrics = dict(item.metrics)
    if not metrics:
        return [final]
    fields = {**_agent(memory), "segment_id": segment.id, **metrics, **cut_at}
    return [final, memory.event("turn_metrics", at, segment.turn, **fields)]


def _turn_of_message(memory: Conversation) -> Turn:
    return memory.speech_turn or memory.reply_turn or memory.settle_reply()


def speech_created(memory: Conversation, ev: lk.SpeechCreatedEvent) -> list[Event]:
    """Remember that a new speech begins, rather than one that resumes. Returns no event."""
    memory.words_welcome = True
    if memory.hook_runs:
        memory.remember_hook_speech(ev.speech_handle.id)
    if ev.source == "say":
        memory.remember_say(ev.speech_handle.id)
    else:
        memory.new_speech, memory.speech_answers_user = True, not ev.user_initiated
    return []


def tool_execution_updated(memory: Conversation, ev: lk.ToolExecutionUpdatedEvent) -> list[Event]:
    """Return `tool_call_started`, `tool_call_updated` or `tool_call_finished`."""
    update: Any = ev.update
    return TOOL_TABLE[update.type](memory, update, ev.created_at)


def _tool_started(memory: Conversation, update: lk.ToolCallStarted, at: float) -> list[Event]:
    call = update.function_call
    turn = memory.settle_reply()
    question = user_words.close_answered(memory, turn, at)
    memory.remember_call(call.call_id, ToolCall(call.name, turn, at))
    memory.remember_reply(call.id, turn)
    fields = {"call_id": call.call_id, "name": call.name, "arguments": _arguments(call.arguments)}
    return [*question, memory.event("tool_call_started", at, turn, **fields)]


def _tool_updated(memory: Conversation, update: lk.ToolCallUpdated, at: float) -> list[Event]:
    call = memory.tools.get(update.call_id)
    fields = {"call_id": update.call_id, "message": _data(update.message), "silent": update.silent}
    return [memory.event("tool_call_updated", at, call.turn if call else memory.reply_turn, **fields)]


def _tool_finished(memory: Conversation, update: lk.ToolCallEnded, at: float) -> list[Event]:
    call = memory.tools.get(update.call_id)
    result, memory.result = memory.result, None
    output = update.message if result is None else result.output
    fields: dict[str, Any] = {"call_id": update.call_id, "status": update.status, "output": plain(output)}
    if result is not None and result.handoff is not None:
        fields["handoff"] = result.handoff
    if call is not None:
        memory.tool_turn = call.turn
        fields |= {"name": call.name, "duration": round(max(at - call.started_at, 0.0), 6)}
    return [memory.event("tool_call_finished", at, call.turn if call else memory.reply_turn, **fields)]


def _tool_reply(memory: Conversation, update: lk.ToolReplyUpdated, _at: float) -> list[Event]:
    # A deferred reply is a new speech, but belongs to the turn of the tool call it reports on.
    names = (name.removesuffix("_final").split("_update_")[0] for name in update.update_ids)
    calls = (memory.tools.get(name) for name in names)
    turns = [call.turn for call in calls if call is not None]
    if update.status == "scheduled" and (turns or memory.reply_turn):
        memory.deferred_reply = turns[0] if turns else memory.reply_turn
    return []


def _arguments(text: str) -> Any:
    """Parse a call's JSON arguments; return malformed JSON as text."""
    try:
        return plain(json.loads(text, parse_constant=_refuse))
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _data(text: str) -> Any:
    """Parse a progress message that LiveKit made from a dict or list with `str()`; return other text as it is."""
    if not text.startswith(("{", "[", "(")):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        try:
            return plain(ast.literal_eval(text))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return text
    return text


def session_usage_updated(memory: Conversation, ev: lk.SessionUsageUpdatedEvent) -> list[Event]:
    """Return `usage` with LiveKit's model usage if it changed: LiveKit repeats it every second."""
    usage = [model.model_dump() for model in ev.usage.model_usage]
    if usage == memory.last_usage:
        return []
    memory.last_usage = usage
    return [memory.event("usage", ev.created_at, model_usage=usage)]


def error(memory: Conversation, ev: lk.ErrorEvent) -> list[Event]:
    """Return `error` with the exception's message, which LiveKit's own serialization drops."""
    cause = ev.error
    fields = {
        "source": _source(cause),
        "label": str(getattr(cause, "label", "") or type(ev.source).__name__),
        "message": _message(cause),
        "recoverable": bool(getattr(cause, "recoverable", False)),
    }
    return [memory.event("error", ev.created_at, memory.reply_turn, **fields)]


def _source(cause: Any) -> str:
    return str(getattr(cause, "type", "") or type(cause).__name__).removesuffix("_error")


def _message(cause: Any) -> str:
    return text_of(getattr(cause, "error", cause), repr)


def agent_false_interruption(memory: Conversation, ev: lk.AgentFalseInterruptionEvent) -> list[Event]:
    """Return `agent_false_interruption`: noise paused the agent."""
    memory.interrupted_at = None
    return [memory.event("agent_false_interruption", ev.created_at, memory.speech_turn, resumed=ev.resumed)]


def user_transcription_timeout(memory: Conversation, ev: lk.UserTranscriptionTimeoutEvent) -> list[Event]:
    """Return `user_transcription_timeout`: speech without a transcript."""
    fields = {"speech_duration": ev.speech_duration, "started_at": ev.vad_speech_started_at}
    return [memory.event("user_transcription_timeout", ev.created_at, memory.user_turn, **fields)]


def close(memory: Conversation, ev: lk.CloseEvent) -> list[Event]:
    """Return `session_ended`, preceded by the ends of open speech and segments."""
    at = ev.created_at
    events = []
    if memory.speech_cut is None:  # The close cut off words that had no message yet.
        memory.speech_cut = True
    if memory.speaking:
        events = _finish_speech(memory, at, "listening", closing=True)
    events += close_segment(memory, at)
    events += user_words.close_open(memory, at)
    memory.ended = True
    reason = str(getattr(ev.reason, "value", ev.reason))
    # An error is always the cause; any other close reason may hide the real one.
    fields: dict[str, Any] = {"reason": reason if reason == "error" else memory.end_reason or reason}
    if memory.disconnect_reason is not None:
        fields["disconnect_reason"] = memory.disconnect_reason
    if ev.error is not None:
        fields |= {"source": _source(ev.error), "message": _message(ev.error)}
    return [*events, memory.event("session_ended", at, **fields)]


TOOL_TABLE: dict[str, Callable[[Conversation, Any, float], list[Event]]] = {
    "tool_call_started": _tool_started,
    "tool_call_updated": _tool_updated,
    "tool_call_ended": _tool_finished,
    "tool_reply_updated": _tool_reply,
}

TABLE: dict[str, Translate] = {
    "user_state_changed": user_state_changed,
    "agent_state_changed": agent_state_changed,
    "user_input_transcribed": user_words.transcribed,
    "user_transcription_timeout": user_transcription_timeout,
    "conversation_item_added": conversation_item_added,
    "speech_created": speech_created,
    "tool_execution_updated": tool_execution_updated,
    "agent_false_interruption": agent_false_interruption,
    "session_usage_updated": session_usage_updated,
    "error": error,
    "close": close,
}
