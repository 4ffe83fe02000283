"""OTLP bodies as LiveKit's SDKs send them, and broken ones."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from streaming_hub.archive.uploads import otlp
from tests.uploads import replay


def spans() -> list[otlp.Span]:
    return [
        span
        for one in replay.uploads()
        if one.kind == "traces"
        for span in otlp.spans(one.content_type, otlp.unpacked(one.body, one.encoding))
    ]


def test_the_spans_of_a_real_call() -> None:
    found = spans()
    names = [span.name for span in found]
    assert names.count("user_turn") == names.count("agent_turn") - 1 == 4
    assert len({span.job for span in found}) == 1
    turn = next(span for span in found if span.name == "user_turn")
    assert turn.attributes["lk.pii.user_transcript"] == "Hello there."
    assert 0 < turn.ended - turn.started < 20
    assert turn.error is None
    (speaking,) = [span for span in found if span.parent == turn.id and span.name == "user_speaking"]
    assert turn.started <= speaking.started < speaking.ended <= turn.ended
    assert len({span.key for span in found}) == len(found)


def as_json(one: replay.Upload) -> bytes:
    """Write logs as the Node SDK does: ids in hexadecimal."""
    request = ExportLogsServiceRequest.FromString(otlp.unpacked(one.body, one.encoding))
    fields = json_format.MessageToDict(request)
    for resource in fields["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                for name in ("traceId", "spanId"):
                    if name in record:
                        import base64

                        record[name] = base64.b64decode(record[name]).hex()
                record["aFieldOfTheFuture"] = {"x": 1}
    return json.dumps(fields).encode()


def test_json_says_the_same_as_protobuf() -> None:
    for one in replay.uploads():
        if one.kind == "logs":
            data = otlp.unpacked(one.body, one.encoding)
            found = list(otlp.lines(one.content_type, data))
            assert found
            assert list(otlp.lines(otlp.JSON, as_json(one))) == found
            assert all(line.job for line in found)


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (otlp.PROTOBUF, b"\xff\xff\xff"),
        (otlp.JSON, b"{"),
        (otlp.JSON, b"[]"),
        (otlp.JSON, b'{"resourceSpans": 7}'),
        (otlp.JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]}'),
    ],
)
def test_what_cannot_be_read_says_so(content_type: str, data: bytes) -> None:
    with pytest.raises(otlp.Undecodable):
        list(otlp.spans(content_type, data))


def test_compression_is_undone_within_a_limit() -> None:
    assert otlp.unpacked(gzip.compress(b"x"), "gzip") == b"x"
    assert otlp.unpacked(b"x", "identity") == b"x"
    assert len(otlp.unpacked(gzip.compress(bytes(otlp.MAX_DECODED)), "gzip")) == otlp.MAX_DECODED
    for body, encoding in (
        (gzip.compress(bytes(otlp.MAX_DECODED + 1)), "gzip"),
        (bytes(otlp.MAX_DECODED + 1), ""),
    ):
        with pytest.raises(otlp.TooLong):
            otlp.unpacked(body, encoding)
    for body in (b"x", gzip.compress(b"whole")[:-4]):
        with pytest.raises(otlp.Undecodable):
            otlp.unpacked(body, "gzip")


def test_odd_values_become_plain_ones() -> None:
    def body(value: Any) -> bytes:
        attribute = {"key": "x", "value": value}
        span = {"name": "n", "attributes": [attribute, {"key": "job_id", "value": {"stringValue": "AJ_1"}}]}
        return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()

    for value, wanted in (
        ({"doubleValue": "NaN"}, None),
        ({"doubleValue": "Infinity"}, None),
        ({"stringValue": "a\0b"}, "ab"),
        ({"stringValue": "x" * 99_999}, "x" * otlp.MAX_TEXT),
        ({"intValue": "7"}, 7),
        ({"boolValue": True}, True),
        ({"arrayValue": {"values": [{"intValue": "1"}]}}, [1]),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}}, {"k": 1}),
        ({}, None),
    ):
        (span,) = otlp.spans(otlp.JSON, body(value))
        assert span.attributes["x"] == wanted
