"""From LiveKit's `AgentSessionMessage` to the payloads that `streaming_hub_client.bridge` translates. Pure.

An agent sends one message a session event over the byte stream `lk.agent.session` (livekit-agents 1.8.9,
`voice/remote_session.py`). The format is LiveKit's own and may grow: what is not known here is counted by name
and left out, never guessed.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from livekit.protocol.agent_pb import agent_session as pb

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    Payload = tuple[str, Any]

AGENT_STATES = {
    pb.AS_INITIALIZING: "initializing",
    pb.AS_IDLE: "idle",
    pb.AS_LISTENING: "listening",
    pb.AS_THINKING: "thinking",
    pb.AS_SPEAKING: "speaking",
}
USER_STATES = {pb.US_SPEAKING: "speaking", pb.US_LISTENING: "listening", pb.US_AWAY: "away"}
ROLES = {pb.DEVELOPER: "developer", pb.SYSTEM: "system", pb.USER: "user", pb.ASSISTANT: "assistant"}
CALL_STATES = {pb.TC_DONE: "done", pb.TC_ERROR: "error", pb.TC_CANCELLED: "cancelled"}
REPLY_STATES = {
    pb.TR_SCHEDULED: "scheduled",
    pb.TR_COMPLETED: "completed",
    pb.TR_INTERRUPTED: "interrupted",
    pb.TR_SKIPPED: "skipped",
}
UNUSED = frozenset(
    {"overlapping_speech", "amd_prediction", "eot_prediction", "function_tools_started", "debug_message"}
)
"""Events that `attach` does not send either."""

MAX_CLOCK_DIFFERENCE = 86_400.0
"""Seconds by which the clock of the agent's machine may be wrong."""

_ERROR = re.compile(
    r"^type='(?P<type>\w+)'.*?label='(?P<label>[^']*)'(?: error=(?P<error>.*))? recoverable=(?P<again>\w+)$",
    re.S,
)


class UnknownValue(Exception):
    """A message has a value of an enum that this version does not know; `name` is the enum's."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Messages:
    """Reads the messages of one agent.

    Args:
        unknown: Counts what is left out, by name: fields as `Message.number`, values as the enum's name,
            `undecodable`.
    """

    def __init__(self, unknown: Counter[str]) -> None:
        self._unknown = unknown
        self._calls: set[str] = set()

    def read(self, data: bytes, at: float) -> list[Payload]:
        """Return the bridge's event names and payloads of one message; requests and responses have none.

        Args:
            data: the whole byte stream.
            at: when it arrived, which replaces a time that no clock shows: times do not go back in a session, so one
                far ahead would stay.
        """
        message = pb.AgentSessionMessage()
        try:
            message.ParseFromString(data)
        except DecodeError:
            self._unknown["undecodable"] += 1
            return []
        self._count_fields(message)
        if message.WhichOneof("message") != "event":
            return []
        event = message.event
        self._count_fields(event)
        name = event.WhichOneof("event")
        if name is None or name in UNUSED:
            return []
        self._count_fields(getattr(event, name))
        try:
            created = seconds(event.created_at)
            created = created if abs(created - at) < MAX_CLOCK_DIFFERENCE else at
            return self._payloads(name, getattr(event, name), created)
        except UnknownValue as error:
            self._unknown[error.name] += 1
            return []

    def _payloads(self, name: str, body: Any, at: float) -> list[Payload]:
        if name == "function_tools_executed":
            return self._tools_executed(body, at)
        if name == "tool_execution_updated":
            return self._tool(body, at)
        if name not in TABLE:
            self._unknown[f"event {name}"] += 1
            return []
        payload = TABLE[name](body)
        if payload is None:
            return []
        payload.created_at = at
        return [(name, payload)]

    def _tool(self, body: pb.AgentSessionEvent.ToolExecutionUpdated, at: float) -> list[Payload]:
        which = body.WhichOneof("update")
        if which is None:
            return []
        update = UPDATES[which](getattr(body, which))
        if which == "started":
            self._calls.add(update.function_call.call_id)
        return [("tool_execution_updated", SimpleNamespace(update=update, created_at=at))]

    def _tools_executed(self, body: pb.AgentSessionEvent.FunctionToolsExecuted, at: float) -> list[Payload]:
        """Report calls at their end: SDKs without `tool_execution_updated` only sum them up."""
        outputs = {one.call_id: one for one in body.function_call_outputs}
        found: list[Payload] = []
        for call in body.function_calls:
            if call.call_id in self._calls:
                continue
            output = outputs.get(call.call_id)
            failed = output is not None and output.is_error
            ended = SimpleNamespace(
                type="tool_call_ended",
                call_id=call.call_id,
                status="error" if failed else "done",
                message=None if output is None else output.output,
            )
            found += [
                ("tool_execution_updated", SimpleNamespace(update=update, created_at=at))
                for update in (_started(SimpleNamespace(function_call=call)), ended)
            ]
        self._calls.difference_update(call.call_id for call in body.function_calls)
        return found

    def _count_fields(self, message: Message) -> None:
        fields: Any = UnknownFieldSet(message)
        for field in fields:
            self._unknown[f"{message.DESCRIPTOR.name}.{field.field_number}"] += 1


def seconds(stamp: Any) -> float:
    """Return a protobuf timestamp as seconds since 1970."""
    whole: float = stamp.seconds + stamp.nanos / 1e9
    return whole


def _one_of(table: dict[Any, str], value: Any, name: str) -> str:
    try:
        return table[value]
    except KeyError:
        raise UnknownValue(name) from None


def _agent_state(body: pb.AgentSessionEvent.AgentStateChanged) -> SimpleNamespace:
    old, new = (_one_of(AGENT_STATES, one, "AgentState") for one in (body.old_state, body.new_state))
    return SimpleNamespace(old_state=old, new_state=new)


def _user_state(body: pb.AgentSessionEvent.UserStateChanged) -> SimpleNamespace:
    old, new = (_one_of(USER_STATES, one, "UserState") for one in (body.old_state, body.new_state))
    return SimpleNamespace(old_state=old, new_state=new)


def _transcribed(body: pb.AgentSessionEvent.UserInputTranscribed) -> SimpleNamespace:
    language = body.language if body.HasField("language") else None
    return transcribed(body.transcript, is_final=body.is_final, language=language)


def transcribed(
    text: str, *, is_final: bool, language: str | None = None, item_id: str | None = None
) -> SimpleNamespace:
    """Return LiveKit's `UserInputTranscribedEvent` without the fields that the room does not have."""
    return SimpleNamespace(
        transcript=text, is_final=is_final, language=language, speaker_id=None, item_id=item_id
    )


def _item(body: pb.AgentSessionEvent.ConversationItemAdded) -> SimpleNamespace | None:
    which = body.item.WhichOneof("item")
    if which == "message":
        return SimpleNamespace(item=_message(body.item.message))
    if which == "agent_handoff":
        handoff = body.item.agent_handoff
        old = handoff.old_agent_id if handoff.HasField("old_agent_id") else None
        return SimpleNamespace(
            item=SimpleNamespace(type=which, old_agent_id=old, new_agent_id=handoff.new_agent_id)
        )
    return None


def _message(body: pb.ChatMessage) -> SimpleNamespace:
    confidence = body.transcript_confidence if body.HasField("transcript_confidence") else None
    return chat_message(
        body.id,
        _one_of(ROLES, body.role, "ChatRole"),
        "\n".join(part.text for part in body.content),
        seconds(body.created_at),
        interrupted=body.interrupted,
        confidence=confidence,
        metrics=_metrics(body.metrics),
    )


def chat_message(
    name: str,
    role: str,
    text: str,
    at: float,
    *,
    interrupted: bool,
    confidence: float | None = None,
    metrics: dict[str, float] | None = None,
) -> SimpleNamespace:
    """Return LiveKit's `ChatMessage` as the bridge reads it."""
    return SimpleNamespace(
        type="message",
        id=name,
        role=role,
        text_content=text,
        interrupted=interrupted,
        transcript_confidence=confidence,
        created_at=at,
        metrics=metrics or {},
    )


def _metrics(report: pb.MetricsReport) -> dict[str, float]:
    return {
        field.name: seconds(value) if isinstance(value, Message) else float(value)
        for field, value in report.ListFields()
    }


def _usage(body: pb.AgentSessionEvent.SessionUsageUpdated) -> SimpleNamespace:
    found = [_Usage(one) for one in body.usage.model_usage if one.WhichOneof("usage") is not None]
    return SimpleNamespace(usage=SimpleNamespace(model_usage=found))


class _Usage:
    def __init__(self, usage: pb.ModelUsage) -> None:
        kind = usage.WhichOneof("usage")
        self._kind, self._usage = f"{kind}_usage", getattr(usage, str(kind))

    def model_dump(self) -> dict[str, Any]:
        fields = {field.name: getattr(self._usage, field.name) for field in self._usage.DESCRIPTOR.fields}
        return {"type": self._kind, **fields}


class _Cause:
    """An error of which only LiveKit's text is known."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _error(body: pb.AgentSessionEvent.Error) -> SimpleNamespace:
    # LiveKit sends `str()` of its error model: "type='llm_error' timestamp=... label='...' recoverable=True"
    parsed = _ERROR.match(body.message)
    found = {"type": "", "label": "", "error": None, "again": ""} if parsed is None else parsed.groupdict()
    cause = SimpleNamespace(
        type=found["type"] or "session",
        label=found["label"],
        error=_Cause(found["error"] or body.message),
        recoverable=found["again"] == "True",
    )
    return SimpleNamespace(error=cause, source=None)


def _false_interruption(body: pb.AgentSessionEvent.AgentFalseInterruption) -> SimpleNamespace:
    return SimpleNamespace(resumed=body.resumed)


TABLE: dict[str, Callable[[Any], SimpleNamespace | None]] = {
    "agent_state_changed": _agent_state,
    "user_state_changed": _user_state,
    "user_input_transcribed": _transcribed,
    "conversation_item_added": _item,
    "session_usage_updated": _usage,
    "error": _error,
    "agent_false_interruption": _false_interruption,
}


def _started(body: Any) -> SimpleNamespace:
    call = body.function_call
    function_call = SimpleNamespace(
        id=call.id, call_id=call.call_id, name=call.name, arguments=call.arguments
    )
    return SimpleNamespace(type="tool_call_started", function_call=function_call)


def _updated(body: pb.AgentSessionEvent.ToolExecutionUpdated.CallUpdated) -> SimpleNamespace:
    # The message does not say whether the user hears of it.
    return SimpleNamespace(type="tool_call_updated", call_id=body.call_id, message=body.message, silent=False)


def _ended(body: pb.AgentSessionEvent.ToolExecutionUpdated.Ended) -> SimpleNamespace:
    return SimpleNamespace(
        type="tool_call_ended",
        call_id=body.call_id,
        status=_one_of(CALL_STATES, body.status, "ToolCallStatus"),
        message=body.message if body.HasField("message") else None,
    )


def _reply(body: pb.AgentSessionEvent.ToolExecutionUpdated.ReplyUpdated) -> SimpleNamespace:
    status = _one_of(REPLY_STATES, body.status, "ToolReplyStatus")
    return SimpleNamespace(type="tool_reply_updated", update_ids=list(body.update_ids), status=status)


UPDATES: dict[str, Callable[[Any], SimpleNamespace]] = {
    "started": _started,
    "call_updated": _updated,
    "ended": _ended,
    "reply_updated": _reply,
}
