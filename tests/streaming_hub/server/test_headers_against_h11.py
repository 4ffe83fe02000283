"""Header fields are read as h11 reads them: what ours takes, h11 takes, with the same fields and end.

Two readers that differ are how requests are smuggled past a proxy. Ours may refuse more, for the reasons in `STRICTER`
alone. `uv run pytest -m search tests/streaming_hub/server` looks for new cases for minutes.
"""

from __future__ import annotations

import io
import re

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streaming_hub.server.direct import parse
from streaming_hub.server.environ import STREAM_PATH
from streaming_hub.server.headers import MAX_FIELDS, MAX_HEAD, MAX_LINE, Headers

Fields = list[tuple[bytes, bytes]]
Head = tuple[Fields, bytes]
"""A head's fields, names in lower case, and the bytes that follow it."""

ONCE = (b"content-type", b"transfer-encoding", b"authorization", b"content-length", b"host")


def ours(block: bytes) -> Head | None:
    """Read a head as the server does; None where it is refused."""
    stream = io.BytesIO(block)
    try:
        headers = Headers(stream.readline)
    except ValueError:
        return None
    if headers.get("host") is None:  # asked for by the handler, which knows the version
        return None
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return _comparable(fields), stream.read()


def theirs(block: bytes) -> Head | None:
    """Read a head by h11; None where it is refused or has no end."""
    request = their_request(b"GET / HTTP/1.1\r\n" + block)
    return None if request is None else (_comparable(list(request[0].headers)), request[1])


def their_request(data: bytes) -> tuple[h11.Request, bytes] | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return (event, connection.trailing_data[0]) if isinstance(event, h11.Request) else None


def _comparable(fields: Fields) -> Fields:
    # A coding's name has no case; h11 makes it lower.
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in fields]


def _values(block: bytes, name: bytes) -> list[bytes]:
    return re.findall(rb"(?im)^%b:[ \t]*(.*?)[ \t\r]*$" % re.escape(name), block)


STRICTER = {
    "a folded line (RFC 9112, 5.2)": lambda block: re.search(rb"\n[ \t]", block),
    "a control character in a value (RFC 9110, 5.5)": lambda block: re.search(
        rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]", block
    ),
    "a field that stands twice (RFC 9112, 6.3)": lambda block: any(len(_values(block, n)) > 1 for n in ONCE),
    "a length beside a coding (RFC 9112, 6.1)": lambda block: (
        _values(block, b"transfer-encoding") and _values(block, b"content-length")
    ),
    "a length that is a list or has over 18 digits": lambda block: (
        not all(re.fullmatch(rb"[0-9]{1,18}", value) for value in _values(block, b"content-length"))
    ),
    "too much": lambda block: (
        block.count(b"\n") > MAX_FIELDS
        or len(block) > MAX_HEAD
        or any(len(line) >= MAX_LINE for line in block.split(b"\n"))
    ),
}
"""Why ours refuses what h11 takes."""

CORPUS = {
    "curl": b"Host: localhost:5000\r\nUser-Agent: curl/8.9.1\r\nAccept: */*\r\n\r\n",
    "a browser's stream": b"Host: 127.0.0.1:5000\r\nConnection: keep-alive\r\nAccept: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\nLast-Event-ID: 8c1f-42\r\nSec-Fetch-Site: same-origin\r\n"
    b'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"\r\nAccept-Language: de,en;q=0.9\r\n\r\n',
    "a body": b"Host: h\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{}",
    "chunks": b"Host: h\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"Host: h\nA: b\n\nrest",
    "mixed ends": b"Host: h\r\nA: b\n\r\nrest",
    "spaces around": b"Host:\t h \t\r\nA:\r\nB: \t\r\nC: d  e\r\n\r\n",
    "bytes above ASCII": b"Host: h\r\nA: \xe4\xff\xa0\x85\r\n\r\n",
    "cookies": b"Host: h\r\nCookie: a=b\r\nCookie: c=d\r\nX: 1\r\nX: 2\r\n\r\n",
    "no host": b"A: b\r\n\r\n",
    "no field": b"\r\n",
    "no end": b"Host: h\r\nA: b\r\n",
    "no end of a line": b"Host: h\r\nA: b",
    "space before the colon": b"Host: h\r\nContent-Length : 5\r\n\r\n",
    "no colon": b"Host: h\r\nContent-Length\r\n\r\n",
    "no name": b"Host: h\r\n: x\r\n\r\n",
    "a name above ASCII": b"Host: h\r\n\xe4: x\r\n\r\n",
    "first line folded": b" Host: h\r\nHost: h\r\n\r\n",
    "carriage return in a value": b"Host: h\r\nA: b\rContent-Length: 5\r\n\r\n",
    "carriage returns before the end": b"Host: h\r\r\n\r\n",
    "NUL": b"Host: h\r\nA: b\0c\r\n\r\n",
    "vertical tab and form feed": b"Host: h\r\nA: b\x0b\x0cc\r\n\r\n",
    "two hosts": b"Host: h\r\nHost: i\r\n\r\n",
    "two lengths": b"Host: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a signed length": b"Host: h\r\nContent-Length: +5\r\n\r\n",
    "another coding": b"Host: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "a coding in disguise": b"Host: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
}
REFUSED_BY_US = {
    "folded": (b"Host: h\r\nA: b\r\n c\r\n\r\n", "a folded line (RFC 9112, 5.2)"),
    "bell": (b"Host: h\r\nA: \x07\r\n\r\n", "a control character in a value (RFC 9110, 5.5)"),
    "DEL": (b"Host: h\r\nA: \x7f\r\n\r\n", "a control character in a value (RFC 9110, 5.5)"),
    "equal lengths": (
        b"Host: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "a field that stands twice (RFC 9112, 6.3)",
    ),
    "both": (
        b"Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "a length beside a coding (RFC 9112, 6.1)",
    ),
    "list": (b"Host: h\r\nContent-Length: 5, 5\r\n\r\n", "a length that is a list or has over 18 digits"),
    "many": (b"Host: h\r\n" + b"A: b\r\n" * MAX_FIELDS + b"\r\n", "too much"),
    "long": (b"Host: h\r\nA: " + b"b" * MAX_LINE + b"\r\n\r\n", "too much"),
}


def check(block: bytes) -> None:
    """Hold our reading of a head against h11's."""
    here, there = ours(block), theirs(block)
    if here is not None:
        assert here == there
    elif there is not None:
        assert [reason for reason, holds in STRICTER.items() if holds(block)], "refused for no listed reason"


@pytest.mark.parametrize("block", CORPUS.values(), ids=CORPUS)
def test_heads_from_the_field_are_read_alike(block: bytes) -> None:
    assert ours(block) == theirs(block)


@pytest.mark.parametrize(("block", "reason"), REFUSED_BY_US.values(), ids=REFUSED_BY_US)
def test_ours_is_stricter_where_listed(block: bytes, reason: str) -> None:
    assert theirs(block) is not None
    assert ours(block) is None
    assert STRICTER[reason](block)


def test_each_listed_difference_has_its_example() -> None:
    assert {reason for _, reason in REFUSED_BY_US.values()} == set(STRICTER)


NAMES = st.sampled_from(
    [
        b"Host",
        b"host",
        b"Content-Length",
        b"content-length",
        b"Transfer-Encoding",
        b"Cookie",
        b"A",
        b"X_y",
        b"A!#$%'*+.^`|~",
    ]
) | st.binary(max_size=3)
COLONS = st.sampled_from([b":", b": ", b":\t", b" :", b"", b"::", b": \t "])
VALUES = st.sampled_from(
    [b"h", b"5", b"0", b"5, 5", b"chunked", b"Chunked", b"gzip", b"", b"a b", b"\xe4", b"9" * 19]
) | st.binary(max_size=6)
ENDS = st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r", b"\r\r\n", b" \r\n", b"\r\n ", b"\0\r\n", b""])
LINES = st.tuples(NAMES, COLONS, VALUES, ENDS).map(b"".join)
REST = st.sampled_from([b"", b"x", b"GET / HTTP/1.1\r\n", b"\r\n"])
BLOCKS = st.tuples(
    st.sampled_from([b"Host: h\r\n", b""]),
    st.lists(LINES, max_size=5).map(b"".join),
    st.sampled_from([b"\r\n", b"\n"]),
    REST,
).map(b"".join)


@given(BLOCKS)
@example(b"Host: h\r\nA: \x0b\r\n\r\n")
def test_any_head_is_read_alike_or_refused(block: bytes) -> None:
    check(block)


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b":", b" ", b"\t", b"\0", b"Host: h", b"a", b"Content-Length: 1"]
        )
    ).map(b"".join)
)
def test_any_bytes_are_read_alike_or_refused(block: bytes) -> None:
    check(block)


TARGETS = st.sampled_from(
    [
        b"/api/stream",
        b"/api/stream?a=b&c=%20",
        b"/api/stream?",
        b"/api/streams",
        b"http://h/api/stream",
        b"/api/stream?a b",
        b"/api/stream#x",
    ]
) | st.binary(max_size=5).map(lambda tail: b"/api/stream?" + tail)
STARTS = st.sampled_from([b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/1.1\n", b"  HTTP/1.1\r\n"])


@given(TARGETS, STARTS, BLOCKS)
@example(b"/api/stream?a=b", b" HTTP/1.1\r\n", CORPUS["a browser's stream"])
def test_a_stream_is_served_directly_only_where_h11_sees_the_same_request(
    target: bytes, start: bytes, block: bytes
) -> None:
    asked = parse(b"GET " + target + start + block)
    if asked is None:
        return
    query, headers = asked
    found = their_request(b"GET " + target + start + block)
    assert found is not None
    request, rest = found
    assert request.method == b"GET"
    assert request.http_version == b"1.1"
    assert request.target.partition(b"?") in {
        (STREAM_PATH.encode(), b"?", query.encode()),
        *([(STREAM_PATH.encode(), b"", b"")] if not query else []),
    }
    assert _comparable(list(request.headers)) == [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]
    assert rest == b""


def test_a_browsers_stream_is_served_directly() -> None:
    asked = parse(b"GET /api/stream?a=b HTTP/1.1\r\n" + CORPUS["a browser's stream"])
    assert asked is not None
    assert asked[0] == "a=b"
