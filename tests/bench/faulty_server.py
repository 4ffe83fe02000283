"""A tiny SSE server that breaks one event on purpose, to check that the load generator notices."""

from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

BROKEN_POST = 7
"""The number of the POST (from 0) whose event is broken."""


def frame(body: bytes) -> bytes:
    """Return one SSE frame."""
    return b"id: 1-1\ndata: " + body + b"\n\n"


class FaultyServer(socketserver.ThreadingTCPServer):
    """Sends every posted body to all open streams; the event of one POST goes through `fault`.

    Args:
        fault: What happens to the frame of POST number BROKEN_POST.
        chunked: Use chunked transfer coding.
        piece: Maximum bytes per write, with TCP_NODELAY; 0 for all.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, fault: Callable[[bytes], list[bytes]], *, chunked: bool = False, piece: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = fault
        self.chunked = chunked
        self.piece = piece
        self.lock = threading.Lock()
        self.streams: list[Handler] = []
        self.posts = 0

    def publish(self, body: bytes) -> None:
        """Send a body to all streams."""
        with self.lock:
            frames = self.fault(frame(body)) if self.posts == BROKEN_POST else [frame(body)]
            self.posts += 1
            for stream in self.streams:
                for one in frames:
                    stream.send(one)


class Handler(socketserver.StreamRequestHandler):
    """One connection: a stream or a publisher."""

    disable_nagle_algorithm = True

    @property
    def hub(self) -> FaultyServer:
        """The server, under its own type."""
        return cast("FaultyServer", self.server)

    def handle(self) -> None:
        """Answer requests until the connection ends."""
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()) not in {b"\r\n", b""}:
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            if line.startswith(b"GET"):
                self.subscribe()
            else:
                self.hub.publish(self.rfile.read(length))
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def subscribe(self) -> None:
        """Send the head and a first event that is not one of the load's."""
        coding = b"Transfer-Encoding: chunked\r\n" if self.hub.chunked else b""
        with self.hub.lock:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + coding + b"\r\n")
            self.send(b': a comment\ndata: {"type":"connected"}\n\n')
            self.hub.streams.append(self)

    def send(self, data: bytes) -> None:
        """Write data, in pieces if the server says so."""
        if self.hub.chunked:
            # Chunks need not end where frames end: the frame is cut in two.
            half = len(data) // 2
            data = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:half], data[half:]))
        step = self.hub.piece or len(data)
        for start in range(0, len(data), step):
            self.wfile.write(data[start : start + step])
