"""The cases: what the server sends, and what a client should make of it. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from tools.conformance.server import Part, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.conformance.server import Request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n"


class Case(NamedTuple):
    """One case.

    Attributes:
        name: as in the table.
        script: what the requests for the stream get.
        expected: `n` of the events that have to be handed out, in order, and no others.
        check: what the requests have to be, besides.
        seconds: how long to wait for it at most.
        settle: seconds to wait for what must not come.
    """

    name: str
    script: Sequence[Part]
    expected: Sequence[int]
    check: Callable[[Sequence[Request]], bool] = lambda _requests: True
    seconds: float = 30.0
    settle: float = 0.5


def event(n: int, **more: object) -> bytes:
    """Return an event with an id of its own."""
    return f"id: e-{n}\ndata: {json.dumps({'type': 'note', 'n': n, **more})}\n\n".encode()


def connected(heartbeat: float = 15) -> bytes:
    """Return the head of a stream, and the first event of a hub's."""
    first = {"type": "connected", "cursor": "e-0", "head": "e-0", "heartbeat": heartbeat}
    return HEAD + f"data: {json.dumps(first)}\n\n".encode()


def parsed(name: str, *pieces: bytes, expected: Sequence[int]) -> Case:
    """Return a case of the parser: one connection that stays open."""
    return Case(name, [Part([connected(), *pieces], close=False)], expected)


def resumed(requests: Sequence[Request]) -> bool:
    """Return whether the second request says where the first one ended."""
    second = requests[1]
    return second.headers.get("last-event-id") == "e-1" or "last_event_id=e-1" in second.target


def waited(seconds: float) -> Callable[[Sequence[Request]], bool]:
    """Return a check that the second request came this long after the first one."""
    return lambda requests: requests[1].at - requests[0].at >= seconds


ONE, TWO = b'{"type":"note","n":1}', b'{"type":"note","n":2}'
HTML = ("Content-Type: text/html",)
STREAM_AFTER = Part([connected(), event(1)], close=False)

PARSER = (
    parsed("lines end by LF, CR or CRLF", b"data: %b\r\r" % ONE, b"data: %b\r\n\r\n" % TWO, expected=[1, 2]),
    parsed("CRLF across two reads", b"data: %b\r" % ONE, b"\n\r", b"\n", expected=[1]),
    parsed(
        "U+2028, U+0085 and form feed end no line",
        event(1, text="a").replace(b'"a"', b'"a\xe2\x80\xa8\xc2\x85b"'),
        expected=[1],
    ),
    parsed("several data lines are one event", b'data: {"type":"note",\ndata:"n":1}\n\n', expected=[1]),
    parsed(
        "a character across two reads", event(1)[:-3] + b',"t":"\xf0\x9f', b'\x98\x80"}\n\n', expected=[1]
    ),
    parsed("comments and unknown fields", b": hello\nfoo: bar\nbaz\ndata: %b\n\n" % ONE, expected=[1]),
    Case(
        "a byte order mark at the beginning",
        [Part([HEAD, b"\xef\xbb\xbfdata: %b\n\n" % ONE], close=False)],
        [1],
    ),
    Case(
        "an event that the end cuts off is dropped",
        [Part([connected(), event(1), b"data: " + TWO + b"\n"]), Part([connected(), event(3)], close=False)],
        [1, 3],
    ),
    Case(
        "an id without a later one stays",
        [
            Part([connected(), event(1), b"data: " + TWO + b"\n\n"]),
            Part([connected(), event(3)], close=False),
        ],
        [1, 2, 3],
        resumed,
    ),
)

CONNECTION = (
    Case(
        "reconnects when the stream ends",
        [Part([connected(), event(1)]), Part([connected(), event(2)], close=False)],
        [1, 2],
    ),
    Case(
        "says where it was",
        [Part([connected(), event(1)]), Part([connected(), event(2)], close=False)],
        [1, 2],
        resumed,
    ),
    Case(
        "keeps to `retry:`",
        [Part([connected(), b"retry: 4000\n\n", event(1)]), Part([connected(), event(2)], close=False)],
        [1, 2],
        waited(3.9),
        30,
    ),
    Case("reconnects after 503", [Part([answer("503 Service Unavailable")]), STREAM_AFTER], [1]),
    Case(
        "keeps to `Retry-After`",
        [Part([answer("503 Service Unavailable", "Retry-After: 4")]), STREAM_AFTER],
        [1],
        waited(3.9),
        30,
    ),
    Case(
        "outlasts a proxy's 502 page",
        [Part([answer("502 Bad Gateway", *HTML, body=b"<html>")]), STREAM_AFTER],
        [1],
    ),
    Case(
        "outlasts a proxy's page with 200",
        [Part([answer("200 OK", *HTML, body=b"<html>")]), STREAM_AFTER],
        [1],
    ),
    Case(
        "does not try again after 401",
        [Part([answer("401 Unauthorized")]), STREAM_AFTER],
        [],
        lambda requests: len(requests) == 1,
        settle=5,
    ),
    Case(
        "reconnects when nothing comes for 2.5 heartbeats",
        [Part([connected(0.4), event(1)], close=False), Part([connected(), event(2)], close=False)],
        [1, 2],
    ),
)
