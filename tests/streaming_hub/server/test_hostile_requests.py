"""Requests that try to block the server, over real sockets: too slow, too large, malformed."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

import gevent
import pytest
from gevent.event import Event

from flask_server import create_app
from streaming_hub.logs import Gate
from streaming_hub.server import bounds
from streaming_hub.server.bounds import MAX_BODY
from streaming_hub.server.headers import MAX_FIELDS, MAX_HEAD, MAX_LINE
from streaming_hub.server.listening import listen
from streaming_hub.server.server import Server
from streaming_hub.settings import Settings
from streaming_hub.stream.writer import Writer
from streaming_hub.web.current import services_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 20.0
SECRET = "a-key-in-the-wrong-place"


def serve(listener: socket.socket, ready: threading.Event, ended: list[object]) -> None:
    """Serve an open hub on a gevent loop of this thread's own until `ended[0]` is sent to."""
    app = create_app(Settings(history="memory://"))
    parts = services_of(app)
    writer = Writer(parts.hub, heartbeat=5)
    server = Server(listener, app, writer)
    stop = Event()
    waker = gevent.get_hub().loop.async_()
    waker.start(stop.set)
    writer.start()
    server.start()
    ended.append(waker)
    ready.set()
    stop.wait()
    server.stop(timeout=0)
    writer.close()
    parts.stop()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(bounds, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(bounds, "IDLE_TIMEOUT", 0.7)
    listener = listen("127.0.0.1", 0)
    listener.setblocking(False)
    ready, ended = threading.Event(), []
    thread = threading.Thread(target=serve, args=(listener, ready, ended))
    thread.start()
    assert ready.wait(PATIENCE)
    yield listener.getsockname()[1]
    ended[0].send()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def drip(port: int, beginning: bytes, drop: bytes) -> float:
    """Send a request byte by byte until the server closes the connection; return the seconds."""
    with connect(port) as sock:
        sock.sendall(beginning)
        started = time.monotonic()
        sock.settimeout(0.05)
        while time.monotonic() - started < PATIENCE:
            try:
                sock.sendall(drop)
                if not sock.recv(1000):
                    return time.monotonic() - started
            except TimeoutError:
                continue
            except OSError:
                return time.monotonic() - started
    raise AssertionError("the server waited for a request that never ends")


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"G", b"E"),
        (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
        (b"GET / HTTP/1.1\r\nX-A: ", b"b"),
        (
            b"POST /api/agent/data HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
            b"x",
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"", b""),
    ],
)
def test_a_slow_request_is_given_up_and_costs_others_nothing(
    port: int, beginning: bytes, drop: bytes
) -> None:
    with connect(port) as other:
        assert drip(port, beginning, drop) < PATIENCE / 2
        other.close()
    assert answer(port, b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0] == 200


def answer(port: int, request: bytes) -> tuple[int, bytes]:
    """The status and the whole answer."""
    with connect(port) as sock:
        sock.sendall(request)
        got = b""
        while data := sock.recv(65536):
            got += data
    return int(got.split(b" ", 2)[1]), got


POST = b"POST /api/agent/data HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nX-A: " + b"x" * MAX_LINE + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + (b"X-A: " + b"x" * 4000 + b"\r\n") * (MAX_HEAD // 4000 + 1) + b"\r\n", 400),
        (b"GET /" + b"x" * 8_300 + b" HTTP/1.1\r\n\r\n", 414),
        (POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (POST + b"Content-Length: 99999999999999\r\n\r\n", 413),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: +12\r\n\r\n{}", 400),
        (POST + b"Content-Length: 1_2\r\n\r\n{}", 400),
        (POST + b"Content-Length: \xa012\r\n\r\n{}", 400),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (POST.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n\r\n", 400),
        (b"GET /api/health HTTP/1.1\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (
            POST
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"100000\r\n"
            + b"x" * 0x100000
            + b"\r\n1\r\n1\r\n0\r\n\r\n",
            413,
        ),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX A: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"NONSENSE %b\r\n\r\n" % SECRET.encode(), 400),
        (b"GET /?ticket=%b HTTP/9.9\r\n\r\n" % SECRET.encode(), 400),
    ],
    ids=lambda value: value[:60].decode("latin-1") if isinstance(value, bytes) else str(value),
)
def test_what_is_too_large_or_malformed_is_refused_before_it_is_read(
    port: int, request_: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    started = time.monotonic()
    found, got = answer(port, request_)
    assert found == status
    assert b"<html" not in got
    assert SECRET.encode() not in got
    assert SECRET not in caplog.text
    assert time.monotonic() - started < PATIENCE / 2
    assert (
        b"200"
        in answer(port, b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[1][:20]
    )


def test_a_request_line_that_is_too_long_is_refused_in_words(port: int) -> None:
    search = b"GET /api/sessions?q=" + b"word+" * 2000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head, _, body = answer(port, search)[1].partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert problem["status"] == 414
    assert "8192 bytes" in problem["detail"]


def test_bad_requests_do_not_fill_the_log(
    port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(bounds, "_unreadable", Gate(1, lambda: now))
    caplog.set_level(logging.INFO, "streaming_hub.server")
    for _ in range(20):
        assert answer(port, b"NONSENSE\r\n\r\n")[0] == 400
    now = 1.0
    assert answer(port, b"NONSENSE\r\n\r\n")[0] == 400
    first, second = caplog.messages
    assert first.endswith("could not be read (_InvalidClientRequest)")
    assert second.endswith("could not be read (_InvalidClientRequest), after 19 others")


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://localhost/api/health", b"localhost", 200),
        (b"HTTP://127.0.0.1:5000/api/health", b"evil.example", 200),
        (b"http://evil.example/api/health", b"localhost", 421),
        (b"http://localhost", b"localhost", 200),
        (b"http://localhost?x=1", b"localhost", 200),
        (b"http://localhost/api/events?limit=x", b"localhost", 400),
        (b"http:///api/health", b"localhost", 404),
        (b"ftp://localhost/api/health", b"localhost", 404),
    ],
)
def test_a_target_with_its_host_is_taken_and_that_host_counts(
    port: int, target: bytes, host: bytes, status: int
) -> None:
    request = b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (target, host)
    assert answer(port, request)[0] == status


def test_the_host_of_one_target_does_not_count_for_the_next(port: int) -> None:
    head = b"GET %b/api/health HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
    both = head % (b"http://evil.example", b"") + head % (b"", b"Connection: close\r\n")
    got = answer(port, both)[1]
    assert [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]] == [b"421", b"200"]


def test_names_with_underscores_do_not_pass_for_others(port: int) -> None:
    request = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nX_Api_Key: wrong\r\nConnection: close\r\n\r\n"
    assert answer(port, request)[0] == 200


def longest_wait(port: int, stop: threading.Event) -> float:
    """The slowest response to another client until the end, in seconds."""
    slowest = 0.0
    while not stop.is_set():
        begin = time.monotonic()
        assert (
            answer(port, b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0]
            == 200
        )
        slowest = max(slowest, time.monotonic() - begin)
        stop.wait(0.01)
    return slowest


def beside(port: int, attack: Callable[[], None]) -> float:
    """Run an attack; return how long another client had to wait at most."""
    stop = threading.Event()
    waits: list[float] = []
    other = threading.Thread(target=lambda: waits.append(longest_wait(port, stop)))
    other.start()
    attack()
    stop.set()
    other.join(PATIENCE)
    return waits[0]


def test_a_connection_that_always_has_a_request_does_not_keep_the_loop(port: int) -> None:
    requests = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200

    def attack() -> None:
        # All is read and answered without a pause for as long as requests are there: seconds, not parts of one.
        with connect(port) as sock:
            reader = threading.Thread(target=swallow, args=(sock,))
            reader.start()
            for _ in range(40):
                sock.sendall(requests)
            sock.shutdown(socket.SHUT_WR)
            reader.join(PATIENCE)

    took = time.monotonic()
    slowest = beside(port, attack)
    took = time.monotonic() - took
    assert slowest < took / 2


def test_a_body_in_tiny_chunks_does_not_keep_the_loop(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "READ_TIMEOUT", PATIENCE)
    body = b"1\r\n \r\n" * 60_000

    def attack() -> None:
        with connect(port) as sock:
            sock.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n")
            assert sock.recv(1000)

    took = time.monotonic()
    slowest = beside(port, attack)
    took = time.monotonic() - took
    assert slowest < took / 2


def swallow(sock: socket.socket) -> None:
    """Read to the end, which may be that the test has closed it, and forget."""
    with contextlib.suppress(OSError):
        while sock.recv(1 << 16):
            continue
