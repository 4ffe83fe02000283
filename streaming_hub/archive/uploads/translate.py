"""Turns an agent's spans into the hub's events, with the fields that `attach` uses (streaming_hub_client.bridge). Pure.

LiveKit sends a span when it ends, in batches, children before their parents. Each new span is processed once; `Memory`
carries over from one batch to the next and is stored with the job.

    user_turn, user_speaking        user_speech_started/_finished, transcript, turn_metrics
    agent_turn, agent_speaking      agent_speech_started/_finished, transcript, turn_metrics, interruption
    function_tool                   tool_call_started, tool_call_finished
    ..._request_run with an error   error
    session_close, else its parents session_ended

Every event has an `event_id` made of the job and the span, so a repeated one is stored once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.archive.reduce import REPLACED, rounded
from streaming_hub.archive.uploads.otlp import as_name
from streaming_hub.archive.uploads.trace import AGENT_TURN, USER_TURN, error_of, turn_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streaming_hub.archive.uploads.otlp import Span

Event = dict[str, Any]

PREFIX: Final = "upload:"
"""Prefix of these events' `event_id`, which posted events may not use."""
REMEMBERED: Final = 50
"""Turns to remember: more than can still be answered."""
EARLY: Final = 1.0
"""Seconds by which an answer may begin before the user's turn has ended: LiveKit prepares it."""
REDACTED: Final = "lk.redaction.enabled"
"""LiveKit's mark: the receiver has to drop what was said."""
NODE: Final = "nodejs"
USER: Final = "user"
AGENT: Final = "agent"
ENDS: Final = ("session_close", "agent_session", "job_entrypoint")
"""Spans that end with the session, the best first."""
_RUN: Final = "_request_run"


class Said(msgspec.Struct):
    """A user turn that a response may belong to; only a hash of its words is remembered."""

    span: str
    words: str
    ended: float
    answered: bool = False


class Memory(msgspec.Struct):
    """What carries over from one batch of a job to the next.

    Attributes:
        started, ended: whether `session_started` and `session_ended` were made.
        user, agent: the participants' identities.
        turns: the user's newest turns.
        answers: span ids of `agent_turn`s -> the ids of their turns, once decided.
        spoken: span ids of `agent_turn`s -> when their speech began and ended.
        latencies: span ids of `agent_turn`s -> LiveKit's figures for their nodes.
    """

    started: bool = False
    ended: bool = False
    user: str | None = None
    agent: str | None = None
    turns: list[Said] = []
    answers: dict[str, str] = {}
    spoken: dict[str, tuple[float, float]] = {}
    latencies: dict[str, dict[str, float]] = {}


class Facts(msgspec.Struct, frozen=True):
    """What `session_started` says about a job."""

    job: str
    room_sid: str | None = None
    agent_name: str | None = None


def translate(memory: Memory, facts: Facts, batch: Iterable[Span]) -> list[Event]:
    """Return the events of new spans, by time, without `room`.

    Args:
        memory: of the job; updated.
        facts: about the job.
        batch: the new spans of one upload.
    """
    spans = sorted(batch, key=lambda span: (span.ended, span.started, span.id))
    if not spans:
        return []
    _note_people(memory, spans)
    _note_figures(memory, spans)
    _pair(memory, facts.job, spans)
    made: list[tuple[float, int, Event]] = []
    for span in spans:
        events = _events(memory, facts.job, span, spans)
        made += [(event["timestamp"], len(made) + place, event) for place, event in enumerate(events)]
    events = [event for _, _, event in sorted(made, key=lambda one: one[:2])]
    opening: list[Event] = []
    if not memory.started:
        memory.started = True
        opening = [_started(facts, spans)]
    if not memory.ended:
        events += _ended(memory, facts.job, spans)
    _forget(memory)
    return opening + events


def ended(memory: Memory, job: str, at: float, reason: str | None) -> list[Event]:
    """Return the end of a session from its recording, if no span had it."""
    if memory.ended:
        return []
    memory.ended = True
    told = {} if reason is None else {"reason": reason}
    return [_event(job, "session_ended", at, "recording", **told)]


def replaced(job: str, at: float) -> Event:
    """Return the end of the session that the uploads made, as something else now reports the job."""
    return _event(job, "session_ended", at, REPLACED, reason=REPLACED)


def usage(job: str, at: float, model_usage: list[Any]) -> Event:
    """Return a session's model usage, from its recording."""
    return _event(job, "usage", at, "recording", model_usage=model_usage)


def _started(facts: Facts, spans: Sequence[Span]) -> Event:
    at = next((span.started for span in spans if span.name == "session_start"), None)
    at = min(span.started for span in spans) if at is None else at
    known = {"job_id": facts.job, "room_sid": facts.room_sid, "agent_name": facts.agent_name}
    told = {name: value for name, value in known.items() if value}
    return _event(facts.job, "session_started", at, "session", **told)


def _ended(memory: Memory, job: str, spans: Sequence[Span]) -> list[Event]:
    for name in ENDS:
        for span in spans:
            if span.name == name:
                return ended(memory, job, span.ended, _text(span, "lk.close_reason"))
    return []


def _note_people(memory: Memory, spans: Sequence[Span]) -> None:
    for span in spans:
        identity = _text(span, "lk.pii.participant_identity")
        if identity is None:
            continue
        identity = as_name(identity)
        if span.name in ("room_connect", "agent_speaking", AGENT_TURN):
            memory.agent = memory.agent or identity
        elif span.name in ("wait_for_participant", "user_speaking", USER_TURN):
            memory.user = identity


def _note_figures(memory: Memory, spans: Sequence[Span]) -> None:
    """Remember the nodes' figures and the speech of a response, whose own span arrives later."""
    for span in spans:
        for name, attribute, figure in (
            ("llm_node", "lk.response.ttft", "llm_node_ttft"),
            ("tts_node", "lk.response.ttfb", "tts_node_ttfb"),
        ):
            value = _number(span, attribute)
            if span.name == name and value is not None:
                memory.latencies.setdefault(span.parent, {})[figure] = value
        if span.name == "agent_speaking":
            begun = memory.spoken.get(span.parent)
            memory.spoken[span.parent] = (span.started if begun is None else begun[0], span.ended)


def _pair(memory: Memory, job: str, spans: Sequence[Span]) -> None:
    """Decide which turn each response belongs to: LiveKit's spans do not link the two."""
    memory.turns += [
        Said(span.id, _hash(_text(span, "lk.pii.user_transcript") or ""), span.ended)
        for span in spans
        if span.name == USER_TURN
    ]
    for span in spans:
        if span.name == AGENT_TURN and span.id not in memory.answers:
            memory.answers[span.id] = _turn_answered(memory, job, span)
    for span in spans:
        # The response continues: report what it has done so far.
        if span.name in ("agent_speaking", "function_tool") and span.parent not in memory.answers:
            memory.answers[span.parent] = _turn_going_on(memory, job, span)


def _turn_answered(memory: Memory, job: str, span: Span) -> str:
    asked = _text(span, "lk.pii.user_input")
    before = [said for said in memory.turns if said.ended <= span.ended]
    same = [said for said in before if asked is not None and said.words == _hash(asked)]
    # Redacted, or the response after a tool, which some SDKs make a span of its own. A `say` asks no model.
    generated = "llm_node_ttft" in memory.latencies.get(span.id, {})
    if not same and asked is None and generated and span.attributes.get("lk.e2e_latency") is not None:
        same = [said for said in before if said.ended >= span.started - EARLY] or before[-1:]
    # Newest first: the same words may have been said before.
    for said in sorted(same, key=lambda one: (one.answered, -one.ended)):
        said.answered = True
        return turn_of(job, said.span)
    return turn_of(job, span.id)


def _turn_going_on(memory: Memory, job: str, span: Span) -> str:
    waiting = [said for said in memory.turns if not said.answered and said.ended <= span.started + EARLY]
    if not waiting:
        return turn_of(job, span.parent)
    waiting[-1].answered = True
    return turn_of(job, waiting[-1].span)


def _events(memory: Memory, job: str, span: Span, batch: Sequence[Span]) -> list[Event]:
    if span.name == "user_speaking":
        turn = turn_of(job, span.parent)
        return _speech(job, span, turn, _who(USER, memory.user))
    if span.name == USER_TURN:
        return _user_turn(memory, job, span)
    if span.name == "agent_speaking":
        return _speech(job, span, memory.answers[span.parent], _who(AGENT, memory.agent))
    if span.name == AGENT_TURN:
        return _agent_turn(memory, job, span, batch)
    if span.name == "function_tool":
        return _tool(job, span, memory.answers.get(span.parent))
    failed = span.name.endswith(_RUN) and span.error is not None
    return [_error(job, span, batch)] if failed else []


def _speech(job: str, span: Span, turn: str, who: Event) -> list[Event]:
    role = who["role"]
    begin = _event(job, f"{role}_speech_started", span.started, span.id, turn, started_at=span.started, **who)
    end = _event(job, f"{role}_speech_finished", span.ended, span.id, turn, stopped_at=span.ended, **who)
    return [begin, end]


def _user_turn(memory: Memory, job: str, span: Span) -> list[Event]:
    turn, who = turn_of(job, span.id), _who(USER, memory.user)
    text = _text(span, "lk.pii.user_transcript")
    events: list[Event] = []
    if text:
        at = _final_at(span)
        events = [_transcript(span, at, turn, text, who)]
    # The Node SDK sends milliseconds here, and seconds everywhere else.
    scale = 1000.0 if span.sdk == NODE else 1.0
    told = {name: _number(span, f"lk.{name}") for name in ("transcription_delay", "end_of_turn_delay")}
    known = {name: value / scale for name, value in told.items() if value is not None}
    if known:
        events.append(_event(job, "turn_metrics", span.ended, span.id, turn, **who, **known))
    return events


def _agent_turn(memory: Memory, job: str, span: Span, batch: Sequence[Span]) -> list[Event]:
    turn, who = memory.answers[span.id], _who(AGENT, memory.agent)
    text = _text(span, "lk.pii.response.text")
    cut = span.attributes.get("lk.interrupted") is True
    spoken = memory.spoken.get(span.id)
    cut_at = {"interrupted_at": span.ended if spoken is None else spoken[1]} if cut else {}
    events: list[Event] = []
    # The end of a session is not an interruption.
    closing = any(one.name == "session_close" and one.started <= span.ended for one in batch)
    if cut and spoken is not None and not closing:
        events.append(_event(job, "interruption", spoken[1], span.id, turn, **cut_at, **who))
    if text:
        events.append(_transcript(span, span.ended, turn, text, who, interrupted=cut, **cut_at))
    told: dict[str, float | None] = {"e2e_latency": _number(span, "lk.e2e_latency")}
    told |= memory.latencies.get(span.id, {})
    if spoken is not None:
        told |= {"started_speaking_at": spoken[0], "stopped_speaking_at": spoken[1]}
    known = {name: value for name, value in told.items() if value is not None}
    if known:
        events.append(_event(job, "turn_metrics", span.ended, span.id, turn, **who, **known))
    return events


def _tool(job: str, span: Span, turn: str | None) -> list[Event]:
    call = _text(span, "lk.function_tool.id") or span.id
    name = _text(span, "lk.function_tool.name") or "unnamed"
    begin = {"call_id": call, "name": name, "arguments": _json(_text(span, "lk.pii.function_tool.arguments"))}
    failed = span.attributes.get("lk.function_tool.is_error") is True or span.error is not None
    end = {
        "call_id": call,
        "status": "error" if failed else "done",
        "output": span.attributes.get("lk.pii.function_tool.output"),
        "name": name,
        "duration": rounded(max(0.0, span.ended - span.started)),
    }
    return [
        _event(job, "tool_call_started", span.started, span.id, turn, **begin),
        _event(job, "tool_call_finished", span.ended, span.id, turn, **end),
    ]


def _error(job: str, span: Span, batch: Sequence[Span]) -> Event:
    return _event(
        job,
        "error",
        span.ended,
        span.id,
        source=span.name.removesuffix(_RUN),
        message=error_of(span) or "failed",
        recoverable=not _is_lost(span, batch),
    )


def _is_lost(run: Span, batch: Sequence[Span]) -> bool:
    """Return whether a request failed with an attempt: its own span ends with the last one."""
    request = next((one for one in batch if one.id == run.parent), None)
    if request is None or request.error is not None:
        return request is not None
    # The Node SDK does not mark the request.
    attempts = [one for one in batch if one.parent == run.parent and one.name == run.name]
    return run.sdk == NODE and attempts[-1].id == run.id


def _transcript(span: Span, at: float, turn: str, text: str, who: Event, **more: Any) -> Event:
    return _event(
        span.job,
        "transcript",
        at,
        span.id,
        turn,
        **who,
        text=text,
        is_final=True,
        segment_id=f"{turn}.{who['role']}.{span.id}",
        **more,
    )


def _event(job: str, kind: str, at: float, about: str, turn: str | None = None, **fields: Any) -> Event:
    event: Event = {
        "type": kind,
        "timestamp": at,
        "session_id": job,
        "event_id": f"{PREFIX}{job}:{kind}:{about}",
    }
    if turn is not None:
        event["turn_id"] = turn
    return event | fields


def _who(role: str, identity: str | None) -> Event:
    return {"role": role} | ({} if identity is None else {"participant": identity})


def _final_at(span: Span) -> float:
    """Return when the last final transcript of a turn arrived: the span ends when the turn is committed."""
    found = _json(_text(span, "lk.stt.events"))
    times = [
        one["received_at"]
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
        and one.get("type") == "final_transcript"
        and isinstance(one.get("received_at"), float)
    ]
    return times[-1] if times and span.started <= times[-1] <= span.ended else span.ended


def _hash(text: str) -> str:
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()


def _forget(memory: Memory) -> None:
    del memory.turns[:-REMEMBERED]
    for names in (memory.answers, memory.spoken, memory.latencies):
        for name in list(names)[:-REMEMBERED]:
            del names[name]


def _text(span: Span, name: str) -> str | None:
    value = span.attributes.get(name)
    return value if isinstance(value, str) and value else None


def _number(span: Span, name: str) -> float | None:
    value = span.attributes.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _json(text: str | None) -> Any:
    """Decode JSON; return other values unchanged."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
