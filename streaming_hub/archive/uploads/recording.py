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

from streaming_hub.archive.uploads.otlp import Undecodable, is_job
from streaming_hub.events.types.base import MAX_TIMESTAMP

PACKAGE: Final = "hub.uploads"
ROLES: Final = {"user": "user", "assistant": "agent"}
MAX_USAGE: Final = 32 * 1024
"""Maximum bytes of the models' usage, which becomes an event."""
MAX_MESSAGES: Final = 10_000
"""Maximum messages of a chat history, as of spans."""
_REASON: Final = "CR_"


class Message(msgspec.Struct, frozen=True):
    """A message of LiveKit's chat history: `user` or `agent`, its text, when it was made, whether it was cut."""

    role: str
    text: str
    at: float | None
    interrupted: bool = False


class Recording(msgspec.Struct, frozen=True):
    """What a recording says about a session.

    Attributes:
        redacted: whether LiveKit's mark says that nothing of what was said may be kept.
        at: when the report was made, seconds since 1970; 0 where it does not say.
        reason: why the session ended, as `session_ended` gives it.
        usage: of each model.
        messages: the chat history's; None if it cannot be read.
        audio: Ogg Opus; empty where there is none.
        start: when the audio begins, seconds since 1970.
    """

    job: str
    room_sid: str
    redacted: bool
    at: float = 0.0
    reason: str | None = None
    usage: list[Any] = []
    messages: list[Message] | None = None
    audio: bytes = b""
    start: float = 0.0


class _History(msgspec.Struct):
    items: list[Any] = []


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
    start = _time(header.start_time.seconds + header.start_time.nanos / 1e9)
    return Recording(
        header.job_id,
        header.room_id,
        header.redaction_enabled,
        _time(summary.timestamp or (start + header.duration / 1000 if start and header.duration else 0.0)),
        reason or None,
        summary.usage if len(msgspec.json.encode(summary.usage)) <= MAX_USAGE else [],
        _messages(parts.get("chat_history", b"{}")),
        parts.get("audio", b""),
        start,
    )


def _time(at: float) -> float:
    """Return seconds since 1970; 0 for what an event cannot have as its time."""
    return at if 0 <= at < MAX_TIMESTAMP else 0.0


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
    if not is_job(header.job_id):
        raise Undecodable(f"the job of a recording is {header.job_id[:40]!r}")
    return header


def _summary(text: str) -> _Summary:
    try:
        return msgspec.json.decode(text or "{}", type=_Summary)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # A newer format; the chat history is still there.
        return _Summary()


def _messages(data: bytes) -> list[Message] | None:
    try:
        items = msgspec.json.decode(data, type=_History).items
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # A newer format; the header is still there.
        return None
    return [message for item in items[:MAX_MESSAGES] if (message := _message(item)) is not None]


def _message(item: Any) -> Message | None:
    if not isinstance(item, dict) or item.get("type") != "message" or item.get("role") not in tuple(ROLES):
        return None
    content, at = item.get("content"), item.get("created_at")
    parts = content if isinstance(content, list) else []
    text = "\n".join(part for part in parts if isinstance(part, str)).replace("\0", "")
    if not text.strip():
        return None
    if not isinstance(at, int | float) or not 0 < at < MAX_TIMESTAMP:
        at = None
    cut = item.get("interrupted") is True
    return Message(ROLES[item["role"]], text, None if at is None else float(at), cut)


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
