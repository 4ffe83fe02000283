"""Recordings as LiveKit's SDK sends them, and broken ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from livekit.protocol.metrics import MetricsRecordingHeader

from streaming_hub.archive.uploads.otlp import Undecodable
from streaming_hub.archive.uploads.recording import Message, read
from tests.uploads import replay

TYPE = "multipart/form-data; boundary=b"


def real(version: str = replay.VERSION) -> replay.Upload:
    return next(one for one in replay.uploads(version) if one.kind == "recordings")


def test_a_real_one() -> None:
    one = real()
    found = read(one.content_type, one.body)
    job = next(event["job_id"] for event in replay.attached() if "job_id" in event)
    assert (found.job, found.room_sid[:3], found.redacted) == (job, "RM_", False)
    assert found.reason == "participant_disconnected"
    assert {model["type"] for model in found.usage} == {"llm_usage", "tts_usage", "stt_usage"}
    finals = [one for one in replay.attached() if one["type"] == "transcript" and one["is_final"]]
    assert sorted((said.role, said.text) for said in found.messages) == sorted(
        (said["role"], said["text"]) for said in finals
    )
    assert found.at > max(said.at for said in found.messages if said.at is not None)


def test_the_mark_of_redaction_is_read() -> None:
    one = real(replay.REDACTED)
    assert read(one.content_type, one.body).redacted


def body(header: bytes | None = None, history: Any = None, **summary: Any) -> bytes:
    if header is None:
        told = MetricsRecordingHeader(
            job_id="AJ_1",
            room_id="RM_1",
            duration=2000,
            session_summary=json.dumps(summary) if summary else "",
        )
        told.start_time.seconds = 100
        header = told.SerializeToString()
    parts = [("header", header)]
    if history is not None:
        parts.append(
            ("chat_history", history if isinstance(history, bytes) else json.dumps(history).encode())
        )
    out = b""
    for name, data in parts:
        out += (
            f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n\r\n'.encode()
            + data
            + b"\r\n"
        )
    return out + b"--b--\r\n"


def test_a_header_alone_is_enough_as_nodes_is() -> None:
    found = read(TYPE, body())
    assert (found.job, found.at, found.reason, found.usage, found.messages) == ("AJ_1", 102.0, None, [], [])


def test_items_that_do_not_fit_are_left_out() -> None:
    items = [
        None,
        7,
        {"type": "message"},
        {"type": "message", "role": "user", "content": "text"},
        {"type": "message", "role": "system", "content": ["prompt"]},
        {"type": "agent_config_update", "instructions": "prompt"},
        {"type": "message", "role": "user", "content": ["one", {"image": 1}, "two"], "created_at": "soon"},
        {"type": "message", "role": "assistant", "content": [" "]},
        {"type": "message", "role": "assistant", "content": ["three"], "created_at": 5},
    ]
    found = read(TYPE, body(history={"items": items}, timestamp="soon"))
    assert found.messages == [Message("user", "one\ntwo", None), Message("agent", "three", 5.0)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--b--",
        b"no parts at all",
        body(header=b"\xff\xff"),
        body(header=MetricsRecordingHeader(room_id="RM_1").SerializeToString()),
        body(header=MetricsRecordingHeader(job_id="AJ\n1").SerializeToString()),
    ],
)
def test_what_is_none_says_so(data: bytes) -> None:
    with pytest.raises(Undecodable):
        read(TYPE, data)


@pytest.mark.parametrize("history", [b"{", [], {"items": {"a": 1}}])
def test_a_chat_history_of_another_format_is_none_and_the_rest_stays(history: Any) -> None:
    found = read(TYPE, body(history=history))
    assert (found.job, found.messages) == ("AJ_1", None)


def test_what_an_event_cannot_have_is_left_out() -> None:
    found = read(TYPE, body(timestamp=-1.0, usage=[{"type": "x" * 50_000}]))
    assert (found.at, found.usage) == (0.0, [])
