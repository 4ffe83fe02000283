"""Splits a recording upload into its parts: header, chat history, audio. Pure.

LiveKit's SDK sends `multipart/form-data` (RFC 7578) with a `livekit.MetricsRecordingHeader` in protobuf, the chat
history in JSON, and perhaps Ogg Opus. The header's fields are declared here by their numbers (livekit-protocol,
`livekit_metrics.proto`): the archive's process loads no LiveKit package.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from streaming_hub.archive.uploads.otlp import Undecodable

PACKAGE: Final = "hub.uploads"
ROLES: Final = {"user": "user", "assistant": "agent"}
_REASON: Final = "CR_"


class Message(msgspec.Struct, frozen=True):
    """A message of LiveKit's chat history: `user` or `agent`, its text, and when it was made."""

    role: str
    text: str
    at: float | None


class Recording(msgspec.Struct, frozen=True):
    """What a recording says about a session.

    Attributes:
        redacted: whether LiveKit's mark says that nothing of what was said may be kept.
        at: when the report was made, seconds since 1970; 0 where it does not say.
        reason: why the session ended, as `session_ended` gives it.
        usage: of each model.
        messages: the chat history's.
        audio: Ogg Opus; empty where there is none.
        start: when the audio begins, seconds since 1970.
    """

    job: str
    room_sid: str
    redacted: bool
    at: float = 0.0
    reason: str | None = None
    usage: list[Any] = []
    messages: list[Message] = []
    audio: bytes = b""
    start: float = 0.0


class _Summary(msgspec.Struct):
    timestamp: float = 0.0
    close_reason: str = ""
    usage: list[Any] = []


def read(content_type: str, body: bytes) -> Recording:
    """Decode a recording.

    Args:
        content_type: including the boundary.
        body: as received.

    Raises:
        Undecodable: it is not a recording, or has no header.
    """
    parts = _parts(content_type, body)
    header = _header(parts.get("header", b""))
    summary = _summary(header.session_summary)
    reason = summary.close_reason.removeprefix(_REASON).lower()
    start = header.start_time.seconds + header.start_time.nanos / 1e9
    return Recording(
        header.job_id,
        header.room_id,
        header.redaction_enabled,
        summary.timestamp or (start + header.duration / 1000 if header.duration else 0.0),
        reason or None,
        summary.usage,
        _messages(parts.get("chat_history", b"{}")),
        parts.get("audio", b""),
        start,
    )


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    boundary = content_type.partition("boundary=")[2].encode("ascii", "replace")
    decoder = MultipartDecoder(boundary)
    found: dict[str, list[bytes]] = {}
    name = ""
    try:
        decoder.receive_data(body)
        decoder.receive_data(None)
        while not isinstance(event := decoder.next_event(), Epilogue | NeedData):
            if isinstance(event, Field | File):
                name = event.name
            elif isinstance(event, Data):
                found.setdefault(name, []).append(event.data)
    except ValueError as error:
        raise Undecodable(f"not multipart/form-data: {error}") from error
    return {name: b"".join(pieces) for name, pieces in found.items()}


def _header(data: bytes) -> Any:
    header = _header_class()()
    try:
        header.ParseFromString(data)
    except DecodeError as error:
        raise Undecodable(f"not a header of a recording: {error}") from error
    if not header.job_id:
        raise Undecodable("a recording without a job")
    return header


def _summary(text: str) -> _Summary:
    try:
        return msgspec.json.decode(text or "{}", type=_Summary)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # A newer format; the chat history is still there.
        return _Summary()


def _messages(data: bytes) -> list[Message]:
    try:
        items = msgspec.json.decode(data).get("items", [])
    except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError) as error:
        raise Undecodable(f"not a chat history: {error}") from error
    found: list[Message] = []
    for item in items if isinstance(items, list) else []:
        role = (
            ROLES.get(item.get("role", ""))
            if isinstance(item, dict) and item.get("type") == "message"
            else None
        )
        content = item.get("content") if role is not None else None
        if role is not None and isinstance(content, list):
            text = "\n".join(part for part in content if isinstance(part, str)).replace("\0", "")
            at = item.get("created_at")
            if text.strip():
                found.append(Message(role, text, float(at) if isinstance(at, int | float) else None))
    return found


@cache
def _header_class() -> Any:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="hub/uploads.proto", package=PACKAGE, syntax="proto3")

    def declare(name: str, *fields: tuple[str, int, Any]) -> None:
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            told = {"type_name": f".{PACKAGE}.Time"} if kind == kinds.TYPE_MESSAGE else {}
            message.field.add(name=field, number=number, type=kind, label=kinds.LABEL_OPTIONAL, **told)

    declare("Time", ("seconds", 1, kinds.TYPE_INT64), ("nanos", 2, kinds.TYPE_INT32))
    declare(
        "Header",
        ("room_id", 1, kinds.TYPE_STRING),
        ("duration", 3, kinds.TYPE_UINT64),
        ("start_time", 4, kinds.TYPE_MESSAGE),
        ("job_id", 8, kinds.TYPE_STRING),
        ("redaction_enabled", 10, kinds.TYPE_BOOL),
        ("session_summary", 11, kinds.TYPE_STRING),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Header"))
