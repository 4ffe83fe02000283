"""The cases: what the server sends, and what a client should make of it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tools.conformance.server import Part, answer, head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.conformance.server import Request


@dataclass
class Seen:
    """What came of a case, for its check.

    Attributes:
        requests: The requests for the stream.
        errors: What the client reported, or ended with.
        woken: When a client that was put to sleep was woken, monotonic in seconds.
    """

    requests: Sequence[Request]
    errors: Sequence[str]
    woken: float = 0.0


class Case(NamedTuple):
    """One case.

    Attributes:
        name: As in the table.
        about: A sentence for the document: what the server does, and what passes.
        script: What the requests for the stream get.
        expected: The events that have to be handed out, in order, and no others: `n`, or `n` and `t`.
        check: What else has to be true, once they have been.
        seconds: How long to wait for it at most.
        settle: Seconds to wait for what must not come.
        sleep: Seconds for which the client is stopped after its first event.
    """

    name: str
    about: str
    script: Sequence[Part]
    expected: Sequence[int | tuple[int, str]]
    check: Callable[[Seen], bool] = lambda _seen: True
    seconds: float = 30.0
    settle: float = 1.0
    sleep: float = 0.0


HEAD = head("Content-Type: text/event-stream")
HTML = "Content-Type: text/html"
PROBLEM = "Content-Type: application/problem+json"
WAIT = 4
"""Seconds that a server asks clients to wait: longer than any of them waits by itself at first."""


def event(n: int, **more: object) -> bytes:
    """Return an event with an id of its own."""
    return f"id: e-{n}\ndata: {json.dumps({'type': 'note', 'n': n, **more})}\n\n".encode()


def data(n: int) -> bytes:
    """Return the data of an event, without its line."""
    return json.dumps({"type": "note", "n": n}).encode()


def connected(heartbeat: float = 15, begin: bytes = HEAD) -> bytes:
    """Return the head of a stream, and the first event of a hub's."""
    first = {"type": "connected", "cursor": "e-0", "head": "e-0", "heartbeat": heartbeat}
    return begin + f"data: {json.dumps(first)}\n\n".encode()


def live(*pieces: bytes | float, heartbeat: float = 15) -> Part:
    """Return a stream that stays open."""
    return Part([connected(heartbeat), *pieces], "hold")


def refused(status: int, title: str, detail: str, *headers: str) -> Part:
    """Return a hub's refusal (RFC 9457)."""
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return Part([answer(f"{status} {title}", PROBLEM, *headers, body=body.encode())])


def parsed(
    name: str, about: str, *pieces: bytes, expected: Sequence[int | tuple[int, str]], **more: Any
) -> Case:
    """Return a case of the parser: one connection that stays open."""
    return Case(name, about, [live(*pieces)], expected, **more)


def resumed(*ids: str) -> Callable[[Seen], bool]:
    """Return a check: the requests after the first one say these ids, in the header or the query."""

    def check(seen: Seen) -> bool:
        later = seen.requests[1 : len(ids) + 1]
        return len(later) == len(ids) and all(
            one.headers.get("last-event-id") == place or f"last_event_id={place}" in one.target
            for one, place in zip(later, ids, strict=True)
        )

    return check


def waited(seen: Seen) -> bool:
    """Check that the second request came after the wait that was asked for; a clock may be a little off."""
    return len(seen.requests) > 1 and seen.requests[1].at - seen.requests[0].at >= WAIT - 0.1


def gave_up(seen: Seen) -> bool:
    """Check that there was one request, and that the client said that it failed."""
    return len(seen.requests) == 1 and bool(seen.errors)


def told(*words: str) -> Callable[[Seen], bool]:
    """Return a check: what the client reported has all these words."""
    return lambda seen: any(all(word in error for word in words) for error in seen.errors)


def asked_once(seen: Seen) -> bool:
    """Check that the client kept its first connection."""
    return len(seen.requests) == 1


NEXT = live(event(2))
ENDS = Part([connected(), event(1)])

PARSING = (
    parsed(
        "LF, CR and CRLF end lines",
        "Two events, one with CR and one with CRLF as line endings.",
        b"data: %b\r\r" % data(1),
        b"data: %b\r\n\r\n" % data(2),
        expected=[1, 2],
    ),
    parsed(
        "CRLF across two reads",
        "CR ends one packet and LF begins the next: one line ending, not two.",
        b"data: %b\r" % data(1),
        b"\ndata: \r",
        b"\n\r",
        b"\n",
        expected=[1],
    ),
    parsed(
        "U+2028, U+2029 and U+0085 end no line",
        "They occur inside a text; `str.splitlines` treats them as line endings.",
        'data: {"type":"note","n":1,"t":"a\u2028b\u2029c\x85d"}\n\n'.encode(),
        expected=[(1, "a\u2028b\u2029c\x85d")],
    ),
    parsed(
        "several `data` lines are one event",
        "The lines are joined by LF.",
        b'data: {"type":"note",\ndata:"n":1}\n\n',
        expected=[1],
    ),
    parsed(
        "a character across two reads",
        "The bytes of one emoji arrive in two packets.",
        b'data: {"type":"note","n":1,"t":"\xf0\x9f',
        b'\x98\x80"}\n\n',
        expected=[(1, "\U0001f600")],
    ),
    parsed(
        "bytes that are not UTF-8",
        "They become U+FFFD, and the stream continues.",
        b'data: {"type":"note","n":1,"t":"a\xffb"}\n\n' + event(2),
        expected=[(1, "a\ufffdb"), 2],
    ),
    Case(
        "UTF-8 whatever the header says",
        "`Content-Type: text/event-stream; charset=windows-1252` changes nothing.",
        [
            Part(
                [
                    connected(begin=head("Content-Type: text/event-stream; charset=windows-1252")),
                    'data: {"type":"note","n":1,"t":"é"}\n\n'.encode(),
                ],
                "hold",
            )
        ],
        [(1, "é")],
    ),
    Case(
        "the media type in capitals, with parameters",
        "`Content-Type: Text/Event-Stream;x=y` is a stream.",
        [Part([connected(begin=head("Content-Type: Text/Event-Stream;x=y")), event(1)], "hold")],
        [1],
    ),
    Case(
        "a byte order mark at the beginning",
        "It is not part of a field's name.",
        [Part([HEAD, b"\xef\xbb\xbfdata: %b\n\n" % data(1)], "hold")],
        [1],
    ),
    parsed(
        "a byte order mark later on",
        "It is part of the field's name, which is then unknown.",
        event(1),
        b"\xef\xbb\xbfdata: %b\n\n" % data(2),
        event(3),
        expected=[1, 3],
    ),
    parsed(
        "comments and unknown fields",
        "Neither is an event, nor part of one.",
        b": hello\n\n:\n\nfoo: bar\nbaz\n DATA: x\nDatA: y\ndata : z\n\n",
        b": hello\ndata: %b\nfoo\n\n" % data(1),
        expected=[1],
    ),
    parsed(
        "only events with data are events",
        "A block with an `id` alone, an `event` alone, or a `retry` alone yields nothing.",
        b"id: e-0\n\nevent: x\n\nretry: 1000\n\n",
        event(1),
        expected=[1],
    ),
    parsed(
        "`event` counts for one event",
        "An event of another type is no message; the next one without a type is.",
        b"event: other\ndata: %b\n\n" % data(1),
        event(2),
        expected=[2],
    ),
    parsed(
        "a line of 250 KiB",
        "A snapshot of many rooms can be that long.",
        event(1, fill="x" * 250 * 1024),
        event(2),
        expected=[1, 2],
    ),
    Case(
        "an event that the end cuts off is dropped",
        "The body ends after an event's data line, without the empty line that completes it.",
        [Part([connected(), event(1), b"data: " + data(2) + b"\n"]), live()],
        [1],
    ),
)

RECONNECTING = (
    Case(
        "the stream ends",
        "The server closes the connection; the client connects again.",
        [ENDS, NEXT],
        [1, 2],
    ),
    Case(
        "the connection is reset",
        "By a TCP reset, in the middle of an event.",
        [Part([connected(), event(1), b"id: e-2\nda"], "reset"), NEXT],
        [1, 2],
    ),
    Case(
        "nothing listens for 5 s",
        "The server is gone, as during a restart; connections are refused meanwhile.",
        [Part([connected(), event(1)], away=5), NEXT],
        [1, 2],
        seconds=60,
    ),
    Case(
        "the connection ends without an answer",
        "The first connection is closed before a byte is sent.",
        [Part([]), live(event(1))],
        [1],
    ),
    Case(
        "no answer at all",
        "The first request gets no response: the client tries again within 60 s.",
        [Part([], "hold"), live(event(1))],
        [1],
        seconds=60,
    ),
    Case(
        "keeps to `retry`",
        f"The stream says `retry: {WAIT * 1000}`, then ends.",
        [Part([connected(), b"retry: %d\n\n" % (WAIT * 1000), event(1)]), NEXT],
        [1, 2],
        waited,
    ),
    Case(
        "`retry` with anything but digits is ignored",
        "`retry: 90000ms` must not become 90 s.",
        [Part([connected(), b"retry: 90000ms\nretry: 9e5\n\n", event(1)]), NEXT],
        [1, 2],
    ),
    Case(
        "follows a redirect",
        "307 to another path of the same server.",
        [Part([answer("307 Temporary Redirect", "Location: /stream2")]), live(event(1))],
        [1],
    ),
)

RESUMING = (
    Case(
        "says where it was",
        "The second request has the last id, as `Last-Event-ID` or in the query.",
        [ENDS, NEXT],
        [1, 2],
        resumed("e-1"),
    ),
    Case(
        "says it every time",
        "The third and the fourth request have the newest id, not an older one.",
        [ENDS, *(Part([connected(), event(n)]) for n in (2, 3)), live(event(4))],
        [1, 2, 3, 4],
        resumed("e-1", "e-2", "e-3"),
        60,
    ),
    Case(
        "keeps it over a failure",
        "A 503 in between loses nothing.",
        [ENDS, Part([answer("503 Service Unavailable")]), NEXT],
        [1, 2],
        resumed("e-1", "e-1"),
    ),
    Case(
        "an id stays until there is another",
        "An event without an `id` keeps the previous event's id in place.",
        [Part([connected(), event(1), b"data: " + data(2) + b"\n\n"]), live(event(3))],
        [1, 2, 3],
        resumed("e-1"),
    ),
    Case(
        "an id without data counts",
        "A block with only an `id` is no event, but moves the position.",
        [Part([connected(), event(1), b"id: e-5\n\n"]), live(event(6))],
        [1, 6],
        resumed("e-5"),
    ),
    Case(
        "an id with NUL is ignored",
        "The previous id stays.",
        [Part([connected(), event(1), b"id: e\x00-9\ndata: %b\n\n" % data(2)]), live(event(3))],
        [1, 2, 3],
        resumed("e-1"),
    ),
)

SILENCE = (
    Case(
        "a dead connection",
        "Nothing arrives any more, not even a FIN, as when a NAT has dropped the connection. `connected` announced a "
        "heartbeat every 2 s; the client reconnects within 30 s.",
        [live(event(1), heartbeat=2), NEXT],
        [1, 2],
        resumed("e-1"),
    ),
    Case(
        "comments count as life",
        "For 12 s only a comment arrives every second, with the same heartbeat: the client stays connected.",
        [live(*[b":\n", 1.0] * 12, event(1), heartbeat=2)],
        [1],
        asked_once,
    ),
)

REFUSALS = (
    *(
        Case(
            f"{status}: gives up",
            f"{status} {title} with a problem document: one request, and an error for the program.",
            [refused(status, title, "Not for you."), live(event(1))],
            [],
            gave_up,
            settle=6,
        )
        for status, title in ((401, "Unauthorized"), (403, "Forbidden"))
    ),
    Case(
        "says why",
        "The error has the status and the problem document's `detail`.",
        [refused(403, "Forbidden", "This key may not read the room."), live(event(1))],
        [],
        told("403", "This key may not read the room."),
        settle=6,
    ),
    Case(
        "429: keeps to `Retry-After` in seconds",
        f"429 with `Retry-After: {WAIT}`: tries again, and not earlier.",
        [refused(429, "Too Many Requests", "Later.", f"Retry-After: {WAIT}"), live(event(1))],
        [1],
        waited,
    ),
    Case(
        "503: keeps to `Retry-After`",
        f"503 with `Retry-After: {WAIT}`: tries again, and not earlier.",
        [refused(503, "Service Unavailable", "Draining.", f"Retry-After: {WAIT}"), live(event(1))],
        [1],
        waited,
    ),
    Case(
        "503 after 5 times 503",
        "A server that is unavailable for longer.",
        [*[Part([answer("503 Service Unavailable")])] * 5, live(event(1))],
        [1],
        seconds=90,
    ),
)

PROXIES = (
    *(
        Case(
            f"a proxy's page with {status}",
            f"{status} with HTML, as while the server behind the proxy restarts.",
            [Part([answer(status, HTML, body=b"<html>")]), live(event(1))],
            [1],
        )
        for status in ("502 Bad Gateway", "504 Gateway Timeout", "200 OK")
    ),
    Case(
        "AirPlay's 403",
        "macOS's AirPlay responds on port 5000: `403` with `Server: AirTunes`. The client gives up, and its error "
        "names that server.",
        [Part([answer("403 Forbidden", "Server: AirTunes/850.1.2")]), live(event(1))],
        [],
        lambda seen: gave_up(seen) and told("403", "AirTunes")(seen),
        settle=6,
    ),
)

NAP = 22.0
SLEEPING = (
    Case(
        "wakes on a connection that lives",
        f"Stopped for {NAP:g} s (programs by SIGSTOP, pages frozen by the browser) while events arrive: the client "
        "gets all of them once.",
        [live(event(1), 6.0, event(2), event(3), heartbeat=60)],
        [1, 2, 3],
        seconds=60,
        sleep=NAP,
    ),
    Case(
        "wakes on a connection that died",
        f"Stopped for {NAP:g} s, with a heartbeat of 8 s that stopped, too: the client reconnects within 12 s of "
        "waking, without waiting for the whole silence again.",
        [live(event(1), heartbeat=8), NEXT],
        [1, 2],
        lambda seen: resumed("e-1")(seen) and seen.requests[1].at - seen.woken < 12,
        seconds=60,
        sleep=NAP,
    ),
)

GROUPS: dict[str, tuple[Case, ...]] = {
    "Parsing": PARSING,
    "Reconnecting": RECONNECTING,
    "Resuming": RESUMING,
    "Silence": SILENCE,
    "Refusals": REFUSALS,
    "Proxies": PROXIES,
    "Sleep": SLEEPING,
}
CASES = tuple(case for group in GROUPS.values() for case in group)
