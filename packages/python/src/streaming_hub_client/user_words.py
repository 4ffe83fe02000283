"""Translates LiveKit's transcripts and messages of the user into `transcript` events. Pure, like `bridge`.

`streaming_hub_client.heard` tracks which segment the words belong to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streaming_hub_client.heard import begins_with

if TYPE_CHECKING:
    from livekit.agents import llm
    from livekit.agents.voice import events as lk

    from streaming_hub_client.conversation import Conversation, Event
    from streaming_hub_client.turn import Segment, Turn


def transcribed(memory: Conversation, ev: lk.UserInputTranscribedEvent) -> list[Event]:
    """Return the user's words. Interims and their final share a segment, as do all finals of one `item_id`."""
    if ev.is_final and ev.item_id is not None and memory.heard.find(ev.item_id, ev.transcript) is None:
        memory.held = ev
        return []
    return _heard(memory, ev, None)


def release(memory: Conversation, item: Any = None) -> list[Event]:
    """Return the final that was held until its message shows when the user began to say it.

    Args:
        memory: The session's memory; it is updated.
        item: The item that LiveKit has added to its history; None if anything else, or nothing, follows.
    """
    held, memory.held = memory.held, None
    if held is None:
        return []
    return _heard(memory, held, _started_at(item) if getattr(item, "id", None) == held.item_id else None)


def _started_at(message: Any) -> float | None:
    """Return when the user began to say a message, if a realtime model reports it."""
    metrics: dict[str, Any] = getattr(message, "metrics", None) or {}
    return metrics.get("started_speaking_at")


def _heard(memory: Conversation, ev: lk.UserInputTranscribedEvent, started_at: float | None) -> list[Event]:
    heard, said = memory.heard, ev.transcript.strip()
    segment = heard.find(ev.item_id, ev.transcript)
    if not said and (segment is None or segment is not heard.open or not ev.is_final):
        if ev.is_final and segment is None and ev.item_id is not None:
            memory.expect_no_words(started_at)
        return []  # Noise, or a realtime model's signal that the user is silent.
    events = []
    if segment is not None and _is_left_behind(memory, segment, ev):
        events, segment = close_open(memory, ev.created_at), None
    if segment is None:
        turn = memory.turn_of_words(is_final=ev.is_final, started_at=started_at, item_id=ev.item_id)
        if heard.open is not None and not _is_before(turn, heard.open.turn):
            # The open segment is another item's, whose transcription has failed.
            events = close_open(memory, ev.created_at)
        segment = memory.new_segment(turn)
    elif (
        segment is heard.open
        and segment.item_id is None
        and (segment.turn.committed or segment.turn.answered)
    ):
        segment.turn = memory.turn_of_words(is_final=ev.is_final)  # The user continued after the turn's end.
    if ev.item_id is not None:
        segment.item_id = ev.item_id
        heard.remember(ev.item_id, segment)
    if not ev.is_final and heard.overtaken(segment, ev.transcript):
        return events
    return events + _transcript(memory, segment, ev)


def _is_left_behind(memory: Conversation, segment: Segment, ev: lk.UserInputTranscribedEvent) -> bool:
    """Return whether a message typed meanwhile has begun another turn, and these are other words, said after it."""
    if segment is not memory.heard.open or segment.item_id is not None or memory.user_speaking is not None:
        return False
    return segment.turn is not memory.user_turn and not begins_with(ev.transcript, segment.text)


def _is_before(turn: Turn, other: Turn) -> bool:
    return turn is not other and turn.answered and not other.answered


def _transcript(memory: Conversation, segment: Segment, ev: lk.UserInputTranscribedEvent) -> list[Event]:
    if ev.transcript.strip() or ev.item_id is None:
        # An empty final with an item id means that the transcription failed, so keep the interim words.
        segment.text = ev.transcript
    if ev.is_final:
        segment.final, segment.final_at = True, ev.created_at
        memory.heard.finish(segment)
    else:
        segment.final, memory.heard.open, memory.heard.unconfirmed = False, segment, None
        if segment in memory.heard.pending:
            memory.heard.pending.remove(segment)
    fields = {} if ev.language is None else {"language": str(ev.language)}
    if ev.speaker_id is not None:
        fields["speaker_id"] = ev.speaker_id
    return [memory.transcript(segment, ev.created_at, role="user", is_final=ev.is_final, **fields)]


def close_open(memory: Conversation, at: float) -> list[Event]:
    """Return a final with the last words of the open segment, whose own final has not arrived."""
    segment = memory.heard.open
    if segment is None:
        return []
    memory.heard.close(segment)
    segment.final = True
    return [memory.transcript(segment, at, role="user", is_final=True)]


def close_unfinished(memory: Conversation, at: float) -> list[Event]:
    """Close the open segment of a turn that is over, once the user speaks again."""
    segment = memory.heard.open
    if segment is None:
        return []
    turn = segment.turn
    # a message typed meanwhile has begun another turn
    over = turn.committed or turn.answered or turn.passed or turn is not memory.user_turn
    return close_open(memory, at) if over else []


def close_answered(memory: Conversation, turn: Turn, at: float) -> list[Event]:
    """Close the open segment of a turn that a realtime model answers before LiveKit has committed it."""
    segment = memory.heard.open
    if segment is None or segment.turn is not turn or turn.committed:
        return []
    return close_open(memory, at)


def message(memory: Conversation, item: llm.ChatMessage, at: float) -> list[Event]:
    """Return a committed user message's events: its transcript, if its words have not been sent, and its metrics."""
    turn, segment = _said_by_message(memory, item)
    events = []
    if segment is not None:
        segment.final = True
        events = [memory.transcript(segment, at, role="user", is_final=True)]
    turn.committed = True
    memory.remember_answer(turn)
    if not turn.answered and (memory.user_turn is None or memory.user_turn.answered):
        # It began before the last answered turn and is still waiting for its own answer.
        memory.user_turn = turn
    metrics = dict(item.metrics)
    fields = {"role": "user", "participant": memory.user, **metrics}
    return events + ([memory.event("turn_metrics", at, turn, **fields)] if metrics else [])


def _said_by_message(memory: Conversation, item: llm.ChatMessage) -> tuple[Turn, Segment | None]:
    """Return a user message's turn, and the segment with its words that have not been sent, if any.

    LiveKit sets `transcript_confidence` on spoken messages. If the transcript has an `item_id`, the message has the
    same.
    """
    heard, text = memory.heard, item.text_content or ""
    if (known := heard.by_id.get(item.id)) is not None:
        changed = not known.final or text not in ("", known.text)
        known.text = text or known.text
        heard.finish(known)
        heard.settle(known)
        return known.turn, known if changed else None
    if not text.strip():
        started_at = _started_at(item)
        turn = None if started_at is None else memory.turn_at(started_at)
        return turn or memory.turn_of_user(), None
    spoken = item.transcript_confidence is not None
    passed_on = memory.made_by in memory.hook_speeches
    if (claimed := heard.claim(text, item.created_at, spoken=spoken or passed_on)) is not None:
        return claimed.turn, None
    if spoken and (finished := heard.claim_open(text)) is not None:
        return finished.turn, finished
    if spoken and (rewritten := heard.claim_rewritten(item.created_at)) is not None:
        return rewritten.turn, None
    segment = memory.new_segment(memory.turn_of_words(is_final=True) if spoken else memory.turn_of_typing())
    segment.text = text
    heard.remember(item.id, segment)
    return segment.turn, segment
