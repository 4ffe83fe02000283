"""Frames: read back by a decoder that follows the standard, whatever stands in the JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.errors import HubError
from streaming_hub.events import sse
from streaming_hub.events.posted import parse_one
from streaming_hub.events.stored import encode
from tests.kit.sse import unchunk
from tests.streaming_hub.making import NOW, posted

values = st.dictionaries(st.text(max_size=6), st.text(max_size=30) | st.integers(-(2**53), 2**53), max_size=5)


def decode(body: bytes) -> list[dict[str, Any]]:
    """The standard's algorithm (WHATWG HTML, 9.2.6): only CR, LF and CRLF end a line."""
    found: list[dict[str, Any]] = []
    data: list[str] = []
    fields: dict[str, Any] = {}
    for line in body.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line == "":
            if data:
                found.append({**fields, "data": "\n".join(data)})
            data, fields = [], {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        else:
            fields[name] = value
    assert data == [], "a frame without its end"
    return found


def test_an_event_is_an_id_and_one_line_of_data() -> None:
    frame, start = sse.event_frame(b"abc-1", b'{"x":1}')
    assert frame == b'id: abc-1\ndata: {"x":1}\n\n'
    assert frame[start:-2] == b'{"x":1}'


def test_a_control_event_has_no_id_unless_it_is_given_one() -> None:
    assert sse.control_frame({"type": "connected"}) == b'data: {"type":"connected"}\n\n'
    assert (
        sse.control_frame({"type": "heartbeat"}, event_id="e-7") == b'id: e-7\ndata: {"type":"heartbeat"}\n\n'
    )
    assert (
        sse.control_frame({"type": "goodbye"}, retry_ms=1500) == b'retry: 1500\ndata: {"type":"goodbye"}\n\n'
    )


@pytest.mark.parametrize("place", ["value", "key", "number beside it"])
def test_no_program_sees_a_line_end_within_an_event(place: str) -> None:
    text = "a\u2028b\u2029c\u0085d\u2027\u0084 \\\u2028"
    fields = {"type": "test", "text": text} if place != "key" else {"type": "test", text: 1}
    body = json.dumps(fields, ensure_ascii=False).encode()
    for frame in (sse.event_frame(b"e-1", body)[0], sse.control_frame(fields)):
        assert frame.decode().splitlines() == frame.decode().removesuffix("\n").split("\n")
        assert json.loads(frame[frame.index(b"data: ") + 6 :]) == fields


def test_what_else_ends_lines_cannot_stand_in_json_as_it_is() -> None:
    for code in (0x0B, 0x0C, 0x1C, 0x1D, 0x1E):
        with pytest.raises(HubError):
            parse_one(b'{"type":"test","text":"a%cb"}' % code)
        with pytest.raises(HubError):
            parse_one(b'{"type":"test",%c"text":"ab"}' % code)


def test_a_chunk_has_its_length_in_bytes() -> None:
    assert sse.chunk("é".encode()) == b"2\r\n\xc3\xa9\r\n"
    assert unchunk(sse.chunk(b"a" * 300) + sse.chunk(b"b") + sse.LAST_CHUNK) == (b"a" * 300 + b"b", True)


@given(st.lists(values, min_size=1, max_size=4))
def test_what_the_standard_reads_is_what_was_posted(events: list[dict[str, Any]]) -> None:
    kept = [{k: v for k, v in fields.items() if k not in ("type", "id")} for fields in events]
    body = b"".join(
        encode("e", seq, posted("a", **fields), NOW).frame
        for seq, fields in enumerate(kept, 1)
        if _fine(fields)
    )
    expected = [(seq, fields) for seq, fields in enumerate(kept, 1) if _fine(fields)]
    read = decode(body)
    assert [one["id"] for one in read] == [f"e-{seq}" for seq, _ in expected]
    for one, (seq, fields) in zip(read, expected, strict=True):
        data = json.loads(one["data"])
        assert data == {"timestamp": NOW, **fields, "type": "a", "id": f"e-{seq}"}
        assert set(one) == {"id", "data"}


@given(values)
def test_control_events_survive_any_text(fields: dict[str, Any]) -> None:
    (one,) = decode(sse.control_frame({**fields, "type": "stream_reset"}, retry_ms=1))
    assert json.loads(one["data"]) == {**fields, "type": "stream_reset"}
    assert set(one) == {"retry", "data"}


def _fine(fields: dict[str, Any]) -> bool:
    checked = {"room", "session_id", "participant", "role", "turn_id", "event_id", "timestamp"}
    return not checked & set(fields)
