"""The parser against the standard's own rules, at once and cut at every place."""

from __future__ import annotations

import pytest
from streaming_hub_client.sse import LONGEST_EVENT, Message, Parser

CASES = [
    (b"data: a\n\n", [("message", "a", "")]),
    (
        b"data: a\r\n\r\ndata: b\r\rdata: c\n\n",
        [("message", "a", ""), ("message", "b", ""), ("message", "c", "")],
    ),
    (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
    (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [("message", "a", "")]),
    (b"data: a\ndata\ndata:b\ndata:  c\n\n", [("message", "a\n\nb\n c", "")]),
    (b": comment\nevent: x\nid: 7\ndata: a\n\ndata: b\n\n", [("x", "a", "7"), ("message", "b", "7")]),
    (
        b"id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\nid\ndata: c\n\n",
        [("message", "a", "1"), ("message", "b", "1"), ("message", "c", "")],
    ),
    ("data: a\u2028b\u0085c\x0bd\x0ce\n\n".encode(), [("message", "a\u2028b\u0085c\x0bd\x0ce", "")]),
    (b"event: x\n\ndata: a\n\n", [("message", "a", "")]),
    (
        b"id: 1\n\nid: 1\n\ndata: a\n\nid\n\n",
        [("message", None, "1"), ("message", "a", "1"), ("message", None, "")],
    ),
    (b"data: a\n\ndata: cut off\n", [("message", "a", "")]),
    (b"data: \xf0\x9f\x91\x8b\n\n", [("message", "\U0001f44b", "")]),
    (b"data: \xff\n\n", [("message", "\ufffd", "")]),
]


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_events_however_the_bytes_are_cut(stream: bytes, expected: list[tuple[str, str | None, str]]) -> None:
    wanted = [Message(*one) for one in expected]
    assert Parser().feed(stream) == wanted
    for cut in range(1, len(stream)):
        parser = Parser()
        assert parser.feed(stream[:cut]) + parser.feed(stream[cut:]) == wanted, cut
    parser = Parser()
    assert [one for byte in stream for one in parser.feed(bytes([byte]))] == wanted


@pytest.mark.parametrize(
    ("line", "found"), [(b"12", 12), (b"1.5", None), (b"-1", None), ("\u0661".encode(), None), (b"", None)]
)
def test_retry_is_digits_alone(line: bytes, found: int | None) -> None:
    parser = Parser()
    parser.feed(b"retry: " + line + b"\n")
    assert parser.retry_ms == found


def test_a_line_without_an_end_is_given_up() -> None:
    parser = Parser()
    with pytest.raises(ValueError, match="16 Mi"):
        parser.feed(b"x" * (LONGEST_EVENT + 1))


@pytest.mark.parametrize(("line", "many"), [(b"data: " + b"x" * 1000 + b"\n", 20_000), (b"data\n", 300_000)])
def test_an_event_without_an_end_is_given_up(line: bytes, many: int) -> None:
    parser = Parser()
    for _ in range(26):
        parser.feed(line * 600)
    with pytest.raises(ValueError, match="16 Mi"):
        parser.feed(line * many)


def test_many_events_are_no_long_one() -> None:
    parser = Parser()
    block = b"data: " + b"x" * (LONGEST_EVENT // 4) + b"\n\n"
    assert sum(len(parser.feed(block)) for _ in range(8)) == 8
