"""Uploads that no agent of LiveKit's would send: each gets a clear answer, and costs others nothing.

The caller has LiveKit's secret: it is an agent with a fault, or one whose room has strange names.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.kit.hub import Hub
from tests.streaming_hub.web.api.archiving import KEYS, OPERATOR, eventually, wait_for
from tests.uploads import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRACES = next(one for one in replay.uploads() if one.kind == "traces")
LOGS = next(one for one in replay.uploads() if one.kind == "logs")
RECORDING = next(one for one in replay.uploads() if one.kind == "recordings")
JOB = next(event["job_id"] for event in replay.attached() if "job_id" in event)
STRANGE = "al\r\nice\0\N{BOM}" + "x" * 300


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path, **KEYS, **replay.PROJECT) as running:
        eventually(lambda: running.get("/api/health").json()["archive"], "ok")
        yield running
        assert "Traceback" not in running.log
        assert "unexpected error" not in running.log


def metric(server: Hub, name: str) -> float:
    lines = server.get("/metrics", **OPERATOR).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def is_drained(server: Hub) -> None:
    eventually(lambda: metric(server, "hub_uploads_waiting "), 0.0)


def still_works(server: Hub) -> None:
    """A whole call's uploads become a session."""
    replay.send_all(server.url)
    wait_for(server, JOB)
    found = server.get(f"/api/sessions/{JOB}", **OPERATOR).json()
    assert found["session"]["turns"] == 5


def changed(one: replay.Upload, change: Callable[[str, Any], Any], job: str = "AJ_strange") -> bytes:
    """Return an upload of another job, each text attribute changed."""
    request: Any = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest}[one.kind]()
    request.ParseFromString(gzip.decompress(one.body))
    for part in request.resource_spans if one.kind == "traces" else request.resource_logs:
        inner = [one for scope in part.scope_spans for one in scope.spans] if one.kind == "traces" else []
        for attributes in [part.resource.attributes, *(span.attributes for span in inner)]:
            for pair in attributes:
                if pair.key == "job_id":
                    pair.value.string_value = job
                elif pair.value.HasField("string_value"):
                    pair.value.string_value = change(pair.key, pair.value.string_value)
    return gzip.compress(request.SerializeToString())


def test_a_refusal_is_no_traceback(server: Hub) -> None:
    def status(one: replay.Upload = TRACES, **options: Any) -> int:
        return replay.send(server.url, one, **options).status_code

    assert status(body=b"no gzip") == 400
    assert status(body=TRACES.body[:-20]) == 400
    assert status(body=gzip.compress(b"\xff\xff")) == 400
    assert status(body=gzip.compress(bytes(17 * 1024 * 1024))) == 413
    assert status(body=bytes(65 * 1024 * 1024)) == 413
    assert status(**{"content-type": "text/plain"}) == 415
    assert status(**{"content-encoding": "br"}) == 415
    assert status(RECORDING, body=RECORDING.body[:-20]) == 400
    assert status(bearer="none") == 401
    still_works(server)


@pytest.mark.parametrize("body", ["length", "chunked"])
def test_a_body_that_breaks_off_is_not_stored(server: Hub, body: str) -> None:
    framing = {"length": "Content-Length: 5000", "chunked": "Transfer-Encoding: chunked"}[body]
    first = {"length": b"abc", "chunked": b"5\r\nabc"}[body]
    head = (
        f"POST {TRACES.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {replay.token()}\r\n"
        f"Content-Type: {TRACES.content_type}\r\nContent-Encoding: gzip\r\n{framing}\r\n\r\n"
    )
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
            sock.sendall(head.encode() + first)
            time.sleep(0.2)
    eventually(lambda: metric(server, 'hub_uploads_total{kind="traces",outcome="undecodable"}'), 5.0)
    assert list((server.folder / "data" / "uploads").iterdir()) == []
    still_works(server)


def test_hundreds_of_bodies_that_never_end_hold_up_nothing(server: Hub) -> None:
    head = (
        f"POST {RECORDING.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {replay.token()}\r\n"
        f"Content-Type: {RECORDING.content_type}\r\nContent-Length: {64 * 1024 * 1024}\r\n\r\n"
    )
    with contextlib.ExitStack() as opened:
        dripping = [
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            for _ in range(300)
        ]
        for sock in dripping:
            sock.sendall(head.encode() + b"--")
        for _ in range(3):
            for sock in dripping:
                sock.sendall(b"x")
            assert replay.send(server.url, TRACES).status_code == 200
            assert server.get("/api/health").status_code == 200
        still_works(server)
    eventually(lambda: list((server.folder / "data" / "uploads").glob("*.part")), [])


def test_uploads_in_the_wrong_order_and_twice_lose_and_repeat_no_words(server: Hub) -> None:
    for one in [*reversed(replay.uploads()), *replay.uploads()]:
        assert replay.send(server.url, one).status_code == 200
    wait_for(server, JOB)
    is_drained(server)
    found = server.get(f"/api/sessions/{JOB}", **OPERATOR).json()
    finals = [one for one in replay.attached() if one["type"] == "transcript" and one["is_final"]]
    said = sorted((one["role"], one["text"]) for one in found["transcript"])
    assert said == sorted((one["role"], one["text"]) for one in finals)
    assert found["reconciliation"]["complete"]
    assert found["session"]["state"] == "ended"


def test_names_that_no_event_may_have_hold_up_nothing(server: Hub) -> None:
    strange = ("lk.pii.participant_identity", "lk.pii.room_name", "room_id", "lk.agent_name")
    for one in replay.uploads():
        if one.kind == "traces":
            body = changed(one, lambda key, text: STRANGE if key in strange else text)
            assert replay.send(server.url, one, body=body).status_code == 200
    still_works(server)
    found = server.get("/api/sessions/AJ_strange", **OPERATOR).json()
    assert (found["session"]["turns"], found["session"]["state"]) == (5, "ended")
    assert len(found["transcript"]) == 9


@pytest.mark.parametrize("job", ["AJ\nx", "x" * 5000, "", "\N{RIGHT-TO-LEFT OVERRIDE}../../etc"])
def test_a_job_that_is_none_of_livekits_is_counted_and_ignored(server: Hub, job: str) -> None:
    for one in (TRACES, LOGS):
        assert replay.send(server.url, one, body=changed(one, lambda _, text: text, job)).status_code == 200
    is_drained(server)
    eventually(lambda: metric(server, 'hub_upload_items_total{outcome="unknown"}') > 0, True)
    still_works(server)
    assert [one["session_id"] for one in server.get("/api/sessions", **OPERATOR).json()["sessions"]] == [JOB]


def test_a_request_of_very_many_parts_is_refused_before_it_costs_time(server: Hub) -> None:
    many = b'{"resourceSpans":[' + b"{}," * 2_000_000 + b"{}]}"
    begun = time.monotonic()
    answer = replay.send(
        server.url, TRACES, body=gzip.compress(many, 1), **{"content-type": "application/json"}
    )
    assert answer.status_code == 413, answer.text
    assert time.monotonic() - begun < 20
    deep = b'{"resourceSpans":' + b"[" * 100_000
    answer = replay.send(
        server.url, TRACES, body=deep, **{"content-type": "application/json", "content-encoding": ""}
    )
    assert answer.status_code == 400
    still_works(server)


ODD: dict[str, bytes] = {
    "a list": b"[1]",
    "items that are none": b'{"items": {"a": 1}}',
    "odd fields": json.dumps(
        {
            "items": [
                None,
                {"type": "message", "role": ["user"], "content": ["a"]},
                {"type": "message", "role": "user", "content": [{"a": 1}, 5, "kept"], "created_at": True},
                {"type": "message", "role": "user", "content": ["kept"], "created_at": 10**400},
                {"type": ["message"], "role": "assistant", "content": "text", "created_at": "now"},
            ]
        }
    ).encode(),
}


@pytest.mark.parametrize("history", ODD.values(), ids=ODD)
def test_a_recording_with_an_odd_chat_history_still_ends_its_session(server: Hub, history: bytes) -> None:
    for one in replay.uploads():
        if one.kind == "traces" and b"session_close" not in gzip.decompress(one.body):
            assert replay.send(server.url, one).status_code == 200
    boundary = RECORDING.content_type.partition("boundary=")[2].encode()
    parts = RECORDING.body.split(b"--" + boundary)
    (place,) = [number for number, part in enumerate(parts) if b'name="chat_history"' in part]
    parts[place] = parts[place].partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + history + b"\r\n"
    body = (b"--" + boundary).join(parts)
    assert replay.send(server.url, RECORDING, body=body).status_code == 200
    eventually(lambda: _state(server), "ended")


def _state(server: Hub) -> Any:
    found = server.get(f"/api/sessions/{JOB}", **OPERATOR).json()
    return found.get("session", {}).get("state")
