"""Streams served without a handler, each a function that runs in a patched Python (see `child`)."""

from __future__ import annotations

import itertools
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import gevent
import gevent.event

from flask_server import create_app
from streaming_hub.server import direct
from streaming_hub.server.environ import STREAM_PATH
from streaming_hub.settings import Settings
from streaming_hub.stream import sockets
from streaming_hub.web.current import services_of
from tests.kit.process import open_files
from tests.streaming_hub.making import posted
from tests.streaming_hub.server.running import House, until
from tests.streaming_hub.server.wire import Answer, request_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streaming_hub.stream.hub import Hub

ASKED = (
    (request_bytes("GET", STREAM_PATH), 1),
    (request_bytes("GET", STREAM_PATH, Accept="text/event-stream", Last_Event_ID="other-1"), 5),
    (request_bytes("GET", f"{STREAM_PATH}?snapshot=1&room=a&room=b%20c"), 2),
    (request_bytes("GET", f"{STREAM_PATH}?replay=2&type=note"), 3),
    (request_bytes("GET", f"{STREAM_PATH}?replay=many"), 0),
    (request_bytes("GET", f"{STREAM_PATH}?ticket=forged"), 0),
    (request_bytes("GET", STREAM_PATH, Host="elsewhere.example"), 0),
    (request_bytes("GET", STREAM_PATH, Origin="http://localhost:3000"), 1),
    (request_bytes("GET", STREAM_PATH, X_Forwarded_For="10.0.0.1"), 0),
)
"""Requests, and how many events come at once; none where they are refused."""
CHANGING = ("client_id", "server_time", "as_of")


class Counted(House):
    """A server that counts the connections passed to gevent's server."""

    def __init__(self, hub: Hub | None = None) -> None:
        super().__init__(hub)
        self.handled = 0
        handle = self.server._handle

        def count(*arguments: Any) -> None:
            self.handled += 1
            handle(*arguments)

        self.server._handle = count

    def send(self, request: bytes) -> socket.socket:
        """Send a request that is there when its connection is accepted."""
        self.server.stop_accepting()
        sock = self.connect()
        sock.sendall(request)
        self.server.start_accepting()
        return sock

    def ask(self, piece: bytes, rest: bytes = b"") -> Answer:
        """Send a request, its rest when gevent's server has the connection, and read the answer's head."""
        before = self.handled
        sock = self.send(piece)
        if rest:
            until(lambda: self.handled > before)
            sock.sendall(rest)
        return Answer(sock)


def told(answer: Answer, events: int) -> tuple[Any, ...]:
    """An answer without its varying parts."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    time.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S GMT")
    if not events:
        # Served directly, a refusal ends its connection; a handler would wait for the next request.
        headers.pop("connection", None)
        return answer.status, headers, answer.rest()
    found = answer.until(lambda frames: len(frames) >= events)
    shown = [{name: value for name, value in frame.items() if name not in CHANGING} for frame in found]
    return answer.status, headers, shown


def descriptors() -> int:
    """How many are open here."""
    return open_files()


def both_ways_answer_the_same() -> None:
    """Whether a request comes in one piece or in two."""
    app = create_app(Settings(history="memory://"))
    house = Counted(services_of(app).hub)
    house.hub.publish([posted(room="a"), posted(room="c"), posted()])
    house.server.application = app
    for asked, events in ASKED:
        whole = told(house.ask(asked), events)
        assert house.handled == 0, asked
        pieces = told(house.ask(asked[:40], rest=asked[40:]), events)
        assert house.handled == 1, asked
        assert whole == pieces, asked
        house.handled = 0


def a_stream_continues_in_the_writer() -> None:
    """With events, and without a handler."""
    house = Counted()
    answers = [house.ask(request_bytes("GET", STREAM_PATH)) for _ in range(100)]
    assert house.handled == 0
    assert len(house.writer) == 100
    house.hub.publish([posted()])
    for answer in answers:
        assert answer.chunked
        answer.until_type("note")
        answer.sock.close()
    until(lambda: len(house.writer) == 0)


def a_sender_that_has_gone_stops_no_other() -> None:
    """A client that sent nothing, or everything, and reset the connection before it was accepted."""
    house = Counted()
    house.server.stop_accepting()
    for said in (b"", request_bytes("GET", STREAM_PATH)):
        sock = house.connect()
        sock.sendall(said)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    house.server.start_accepting()
    house.ask(request_bytes("GET", STREAM_PATH))
    until(lambda: len(house.writer) == 1)


def an_error_of_the_application_closes_the_connection() -> None:
    """And the next one is served."""
    house = Counted()
    real = house.server.application

    def fail(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise RuntimeError(environ["PATH_INFO"])

    house.server.application = fail
    sock = house.send(request_bytes("GET", STREAM_PATH))
    assert sock.recv(100) == b""
    house.server.application = real
    assert house.ask(request_bytes("GET", STREAM_PATH)).status == 200


def a_large_answer_arrives_in_full() -> None:
    """Although no socket holds that much at once; and the application learns of its end."""
    house = Counted()
    ended = []

    class Body(list[bytes]):
        def close(self) -> None:
            ended.append(True)

    def answer(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body([b"x" * 1_000_000] * 5)

    house.server.application = answer
    read = house.ask(request_bytes("GET", STREAM_PATH))
    assert len(read.rest()) == 5_000_000
    assert read.headers["content-length"] == "5000000"
    assert ended == [True]
    assert house.handled == 0


def a_client_that_reads_no_answer_is_dropped() -> None:
    """After a time, with its descriptor."""
    sockets.ANSWER_TIMEOUT = 0.2  # type: ignore[misc] # shortened for this process
    house = Counted()
    before = descriptors()

    def answer(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x" * 20_000_000]

    house.server.application = answer
    read = house.ask(request_bytes("GET", STREAM_PATH))
    until(lambda: descriptors() == before + 1)
    assert len(read.rest()) < 20_000_000
    assert house.ask(request_bytes("GET", "/")).status == 200


def a_crowd_lets_others_connect() -> None:
    """Other requests are answered while hundreds of streams wait to be accepted."""
    let_a_crowd_in(lambda _number: STREAM_PATH)


def a_mixed_crowd_lets_others_connect() -> None:
    """Although gevent continues to accept after a connection that is for it."""
    let_a_crowd_in(lambda number: STREAM_PATH if number % 10 else "/")


def let_a_crowd_in(path_of: Callable[[int], str]) -> None:
    """Accept hundreds at once, and see that others get their turn after a few streams each time."""
    house = Counted()
    house.server.stop_accepting()
    paths = [path_of(number) for number in range(300)]
    crowd = [house.connect() for _ in paths]
    for sock, path in zip(crowd, paths, strict=True):
        sock.sendall(request_bytes("GET", path))
    opened: list[int] = []
    gevent.get_hub().loop.run_callback(lambda: opened.append(len(house.writer)))
    house.server.start_accepting()
    while len(house.writer) < paths.count(STREAM_PATH):
        gevent.sleep(0)
        opened.append(len(house.writer))
    steps = [after - before for before, after in itertools.pairwise(opened)]
    assert max(steps) <= 2 * direct.MOST_AT_ONCE


def a_waiting_stream_delays_no_other() -> None:
    """Several are accepted at once; the first ones' answers take time, and the others are served meanwhile."""
    house = Counted()
    real, ready, waiting = house.server.application, gevent.event.Event(), []

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["QUERY_STRING"] == "slow":
            waiting.append(environ)
            ready.wait()
        return real(environ, start_response)

    house.server.application = answer
    house.server.stop_accepting()
    clients = [house.connect() for _ in range(10)]
    for number, sock in enumerate(clients):
        sock.sendall(request_bytes("GET", STREAM_PATH + ("?slow" if number % 3 == 0 else "")))
    house.server.start_accepting()
    until(lambda: (len(waiting), len(house.writer)) == (4, 6))
    ready.set()
    until(lambda: len(house.writer) == 10)
    assert house.handled == 0
