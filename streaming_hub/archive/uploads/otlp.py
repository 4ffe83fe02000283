"""Decodes OTLP/HTTP bodies to spans and log lines (OpenTelemetry protocol 1.x, protobuf and JSON). Pure.

`opentelemetry-proto` has the messages. LiveKit's Python SDK sends protobuf; its Node SDK sends logs as JSON, where ids
are hexadecimal rather than base64 (OTLP specification, "JSON Protobuf Encoding").
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_DECODED: Final = 16 * 1024 * 1024
"""Maximum bytes of a body after decompression."""
MAX_TEXT: Final = 16_384
"""Maximum characters of one value."""
MAX_RECORDS: Final = 20_000
"""Maximum spans or log records of a body; LiveKit's SDKs send 512."""
MAX_OBJECTS: Final = 100_000
"""Maximum objects of a JSON body: reading one takes about 10 us."""
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
TYPES: Final = (PROTOBUF, JSON)
ENCODINGS: Final = ("", "identity", "gzip")
NANO: Final = 1e9
_REQUESTS: Final = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_PARTS: Final = {
    "traces": ("resource_spans", "scope_spans", "spans"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
}
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
_JOB: Final = re.compile(r"[!-~]{1,128}")
_BREAKS: Final = re.compile("[\r\n\0]")

Attributes = dict[str, Any]


class Undecodable(ValueError):
    """A body does not match its headers."""


class TooLong(ValueError):
    """A body has more bytes, once decompressed, or more parts than are accepted."""


class Happening(msgspec.Struct, frozen=True):
    """A span's event."""

    name: str
    at: float
    attributes: Attributes = {}


class Span(msgspec.Struct, frozen=True):
    """A span. Times are seconds since 1970; ids are hexadecimal.

    Attributes:
        job: `job_id`, LiveKit's id of the call.
        sdk: the language of OpenTelemetry's SDK, `python` or `nodejs`.
        error: the message of its status if it failed, which may be empty; else None.
    """

    job: str
    trace: str
    id: str
    parent: str
    name: str
    started: float
    ended: float
    error: str | None = None
    attributes: Attributes = {}
    events: list[Happening] = []
    sdk: str = ""

    @property
    def key(self) -> str:
        """Its unique key."""
        return self.trace + self.id


class Line(msgspec.Struct, frozen=True):
    """A log record.

    Attributes:
        job: as for a span.
        scope: the logger's name by OpenTelemetry, `chat_history` for LiveKit's own report.
        severity: 1 to 24, by OpenTelemetry.
        room: the room's name, if the scope has it.
        body: the logged text; empty for other values.
    """

    job: str
    trace: str
    span: str
    at: float
    scope: str
    severity: int
    body: str
    room: str = ""
    attributes: Attributes = {}


def unpacked(body: bytes, encoding: str) -> bytes:
    """Decompress a body.

    Raises:
        Undecodable: it is not compressed that way.
        TooLong: it has more than `MAX_DECODED` bytes decompressed.
    """
    if encoding in ("", "identity"):
        data = body
    else:
        opened = zlib.decompressobj(wbits=31)
        try:
            data = opened.decompress(body, MAX_DECODED + 1)
        except zlib.error as error:
            raise Undecodable(f"not gzip: {error}") from error
        if len(data) <= MAX_DECODED and not opened.eof:
            raise Undecodable("the gzip data is cut off")
    if len(data) > MAX_DECODED:
        raise TooLong(f"more than {MAX_DECODED} bytes once decompressed")
    return data


def check(kind: str, content_type: str, data: bytes) -> None:
    """Check that a decompressed body can be decoded.

    Raises:
        Undecodable: it cannot.
        TooLong: it has more parts than are accepted.
    """
    if content_type == JSON and data.count(b"{") > MAX_OBJECTS:
        raise TooLong(f"more than {MAX_OBJECTS} objects")
    request = _request(kind, content_type, data)
    if _has_more(request, _PARTS.get(kind, ()), MAX_RECORDS):
        raise TooLong(f"more than {MAX_RECORDS} {kind}")


def _has_more(message: Any, path: tuple[str, ...], limit: int) -> bool:
    """Return whether a message has more than `limit` parts, at any one step of a path of repeated fields."""
    found = [message]
    for name in path:
        if sum(len(getattr(one, name)) for one in found) > limit:
            return True
        found = [part for one in found for part in getattr(one, name)]
    return False


def spans(content_type: str, data: bytes) -> Iterator[Span]:
    """Yield the spans of an ExportTraceServiceRequest; `job` is empty for those without one.

    Raises:
        Undecodable: it is not such a request.
    """
    for part in _request("traces", content_type, data).resource_spans:
        resource = _attributes(part.resource.attributes)
        sdk = resource.get("telemetry.sdk.language")
        for scope in part.scope_spans:
            for span in scope.spans:
                attributes = _attributes(span.attributes)
                yield Span(
                    _job(attributes, resource),
                    _id(span.trace_id),
                    _id(span.span_id),
                    _id(span.parent_span_id),
                    _text(span.name),
                    span.start_time_unix_nano / NANO,
                    span.end_time_unix_nano / NANO,
                    _text(span.status.message) if span.status.code == Status.STATUS_CODE_ERROR else None,
                    attributes,
                    [
                        Happening(_text(one.name), one.time_unix_nano / NANO, _attributes(one.attributes))
                        for one in span.events
                    ],
                    sdk if isinstance(sdk, str) else "",
                )


def lines(content_type: str, data: bytes) -> Iterator[Line]:
    """Yield the records of an ExportLogsServiceRequest; `job` is empty for those without one.

    Raises:
        Undecodable: it is not such a request.
    """
    for part in _request("logs", content_type, data).resource_logs:
        resource = _attributes(part.resource.attributes)
        for scope in part.scope_logs:
            about = _attributes(scope.scope.attributes)
            room = about.get("room")
            for record in scope.log_records:
                attributes = _attributes(record.attributes)
                at = record.time_unix_nano or record.observed_time_unix_nano
                body = _value(record.body)
                yield Line(
                    _job(attributes, about | resource),
                    _id(record.trace_id),
                    _id(record.span_id),
                    at / NANO,
                    _text(scope.scope.name),
                    int(record.severity_number),
                    body if isinstance(body, str) else msgspec.json.encode(body).decode(),
                    as_name(room) if isinstance(room, str) else "",
                    attributes,
                )


def _request(kind: str, content_type: str, data: bytes) -> Any:
    request: Any = _REQUESTS[kind]()
    try:
        if content_type == PROTOBUF:
            request.ParseFromString(data)
        else:
            fields = msgspec.json.decode(data, type=dict[str, Any])
            json_format.ParseDict(_ids_as_base64(fields), request, ignore_unknown_fields=True)
    except (
        DecodeError,
        json_format.ParseError,
        msgspec.MsgspecError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:
        raise Undecodable(f"not an OTLP {kind} request: {error}") from error
    return request


def _ids_as_base64(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _base64(one) if name in _IDS and isinstance(one, str) else _ids_as_base64(one)
            for name, one in value.items()
        }
    return [_ids_as_base64(one) for one in value] if isinstance(value, list) else value


def _base64(text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except (ValueError, binascii.Error):
        return ""


def _id(data: bytes) -> str:
    # 16 or 8 bytes by the specification, but protobuf allows any length.
    return data[:16].hex()


def _job(attributes: Attributes, resource: Attributes) -> str:
    # With LiveKit's thread executor every resource is the first job's, so the record's own attributes count.
    found = attributes.get("job_id") or resource.get("job_id")
    return found if isinstance(found, str) and is_job(found) else ""


def is_job(name: str) -> bool:
    """Return whether this can be LiveKit's id of a job, which becomes the id of a session."""
    return _JOB.fullmatch(name) is not None


def as_name(text: str) -> str:
    """Return the name of a room or participant as events have it: without CR, LF and NUL."""
    return _BREAKS.sub("\N{REPLACEMENT CHARACTER}", text)


def _attributes(pairs: Iterable[Any]) -> Attributes:
    return {_text(pair.key): _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "string_value":
        return _text(value.string_value)
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()[:MAX_TEXT]
    found = getattr(value, kind)
    # JSON has no NaN and no infinity.
    return None if isinstance(found, float) and not -1e308 < found < 1e308 else found


def _text(text: str) -> str:
    # PostgreSQL cannot store NUL.
    return text[:MAX_TEXT].replace("\0", "")
