"""What the WSGI server must do, each a function that runs in a patched Python (see `child`).

Covers streaming_hub.server.handover, too.
"""

from __future__ import annotations

import contextlib
import gc
import socket
import struct
from typing import TYPE_CHECKING, Any

import gevent
import gevent.event

from streaming_hub import portability
from streaming_hub.events.interest import EVERYTHING
from streaming_hub.server import bounds
from streaming_hub.server.environ import STREAM_PATH
from streaming_hub.server.listening import listen
from streaming_hub.server.server import Handler, Server
from streaming_hub.stream.body import StreamBody
from streaming_hub.stream.hub import Hub
from streaming_hub.stream.writer import Writer
from tests.kit import wait
from tests.streaming_hub.making import NOW, memory, posted
from tests.streaming_hub.server.wire import Answer, request_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PATIENCE = 20.0


class House:
    """A server with a small application: streams at two paths, and an echo of the body's size elsewhere."""

    def __init__(self, hub: Hub | None = None) -> None:
        self.called: list[int] = []
        self.hub = hub or Hub(memory(), queue_size=16, clock=lambda: NOW)
        self.writer = Writer(self.hub, heartbeat=60.0)
        self.writer.start()
        self.listener = listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.server = Server(self.listener, self.application, self.writer)
        self.server.start()

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """A WSGI application."""
        if environ["PATH_INFO"] in ("/stream", STREAM_PATH):
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            subscriber = self.hub.new_subscriber(
                EVERYTHING, self.hub.history.bounds.head, chunked=False, expires_at=None
            )
            return StreamBody(self.hub, subscriber, heartbeat=60.0)
        body = environ["wsgi.input"].read()
        self.called.append(len(body))
        text = str(len(body)).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
        return [text]

    def connect(self) -> socket.socket:
        """A connection."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(PATIENCE)
        return sock


def until(condition: Callable[[], object]) -> None:
    """Let the loop run until a condition holds."""
    wait.until(condition, PATIENCE, sleep=gevent.sleep)


def handlers() -> int:
    """How many handlers live."""
    gc.collect()
    return sum(isinstance(one, Handler) for one in gc.get_objects())


def a_stream_leaves_the_server() -> None:
    """No handler, greenlet or environ of it remains, and the stream stays open."""
    house = House()
    answers = []
    for _ in range(30):
        sock = house.connect()
        sock.sendall(request_bytes("GET", "/stream"))
        answers.append(Answer(sock))
    until(lambda: handlers() == 0)
    assert len(house.writer) == 30
    house.hub.publish([posted()])
    for answer in answers:
        assert answer.chunked
        answer.until_type("note")


def a_slow_sender_never_reaches_the_application() -> None:
    """Head or body byte by byte: closed after its time; others are served meanwhile."""
    bounds.READ_TIMEOUT = 0.4  # type: ignore[misc] # shortened for this process
    house = House()
    in_head, in_body = house.connect(), house.connect()
    in_head.sendall(b"GET / HT")
    in_body.sendall(request_bytes("POST", "/", Content_Length="100") + b"x")

    def trickle(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"x")
                gevent.sleep(0.05)

    slow = [gevent.spawn(trickle, sock) for sock in (in_head, in_body)]
    quick = house.connect()
    quick.sendall(request_bytes("POST", "/", body=b"four"))
    assert Answer(quick).rest() == b"4"
    for sock in (in_head, in_body):
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(100) == b""
    assert house.called == [4]
    gevent.killall(slow)
    until(lambda: handlers() <= 1)


def an_idle_connection_is_closed() -> None:
    """Before its first request, and between two."""
    bounds.IDLE_TIMEOUT = 0.2  # type: ignore[misc] # shortened for this process
    house = House()
    fresh, used = house.connect(), house.connect()
    used.sendall(request_bytes("POST", "/", body=b"x"))
    assert Answer(used).rest() == b"1"
    assert fresh.recv(10) == b""
    assert used.recv(10) == b""
    until(lambda: handlers() == 0)


def a_retiring_server_ends_its_connections() -> None:
    """Idle ones at once; one with a request under way after the response, which says so."""
    house = House()
    real = house.application
    asked, answered = gevent.event.Event(), gevent.event.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            asked.set()
            answered.wait()
        return real(environ, start_response)

    house.server.application = slow
    fresh, used, busy = house.connect(), house.connect(), house.connect()
    used.sendall(request_bytes("POST", "/", body=b"x"))
    assert Answer(used).rest() == b"1"
    busy.sendall(request_bytes("POST", "/slow", body=b"xx"))
    asked.wait()
    until(lambda: len(house.server.idle) == 2)
    house.server.retire()
    assert fresh.recv(10) == b""
    assert used.recv(10) == b""
    answered.set()
    last = Answer(busy)
    assert (last.headers["connection"], last.rest()) == ("close", b"2")
    assert busy.recv(10) == b""
    with contextlib.suppress(ConnectionRefusedError):
        house.connect()
        raise AssertionError("a new connection was accepted")
    until(lambda: handlers() == 0)


def a_slow_application_is_not_cut() -> None:
    """The limit is the sender's, not the application's."""
    bounds.READ_TIMEOUT = 0.2  # type: ignore[misc] # shortened for this process
    house = House()
    real = house.application

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        gevent.sleep(0.5)
        return real(environ, start_response)

    house.server.application = slow
    sock = house.connect()
    sock.sendall(request_bytes("POST", "/", body=b"xy"))
    assert Answer(sock).rest() == b"2"


def a_body_is_read_whole_before_the_application_is_called() -> None:
    """In pieces, chunked or not."""
    house = House()
    sock = house.connect()
    sock.sendall(request_bytes("POST", "/", Content_Length="10") + b"12345")
    gevent.sleep(0.05)
    assert house.called == []
    sock.sendall(b"67890")
    assert Answer(sock).rest() == b"10"
    sock.sendall(request_bytes("POST", "/", Transfer_Encoding="chunked") + b"3\r\nabc\r\n")
    gevent.sleep(0.05)
    assert house.called == [10]
    sock.sendall(b"2\r\nde\r\n0\r\n\r\n")
    assert Answer(sock).rest() == b"5"


def small_answers_do_not_wait() -> None:
    """TCP_NODELAY on what was accepted."""
    house = House()
    sock = house.connect()
    sock.sendall(request_bytes("GET", "/stream"))
    Answer(sock)
    (stream,) = house.writer._streams.values()
    assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if not portability.FORCED and not portability.MACOS:
        assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) >= 30_000


def a_client_that_sends_nonsense_and_leaves_is_not_an_error() -> None:
    """The client is gone before the refusal, which leaves no traceback in the log."""
    house = House()
    reported: list[Any] = []
    gevent.get_hub().handle_error = lambda *what: reported.append(what[1])  # type: ignore[method-assign] # to see it
    sock = house.connect()

    class Leaving(Handler):
        def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            return super()._handle_client_error(ex)

    house.server.handler_class = Leaving
    sock.sendall(b"nonsense\r\n\r\n")
    until(lambda: sock.fileno() < 0 and handlers() == 0)
    assert reported == []
