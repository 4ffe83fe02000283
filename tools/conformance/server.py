"""A server that answers each request for the stream by the next part of a script, byte for byte.

Streams are chunked, one chunk a piece, as is usual with HTTP/1.1: without it some clients wait for full buffers.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
BETWEEN_PIECES = 0.05
"""Seconds between two pieces, so that clients read them apart."""


@dataclass
class Part:
    """What one request for the stream gets.

    Attributes:
        pieces: Bytes to send, one write each; a number is a pause in seconds. The first one has the answer's head.
        end: What happens after them: the body and the connection are closed, the connection is reset, or held open in
            silence.
        away: Seconds for which nothing listens afterwards.
    """

    pieces: Sequence[bytes | float]
    end: Literal["close", "reset", "hold"] = "close"
    away: float = 0


@dataclass
class Request:
    """A request for the stream; `at` is monotonic, in seconds."""

    target: str
    headers: dict[str, str]
    at: float


@dataclass
class Server:
    """See the module. After the script's end requests are held open without an answer.

    Attributes:
        script: What the requests for a stream get, in order.
        pages: What other paths get: path -> media type and body.
    """

    script: Sequence[Part]
    pages: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._left = list(self.script)
        self._open: list[socket.socket] = []
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._deaf()
        for client in self._open:
            with contextlib.suppress(OSError):
                client.close()

    def _deaf(self) -> None:
        with contextlib.suppress(OSError):  # wakes the thread that accepts; closing alone does not
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            target, headers = self._read(client)
            if target is None:
                return
            if target in self.pages or "/stream" not in target:
                kind, body = self.pages.get(target, ("text/plain", b""))
                status = "200 OK" if target in self.pages else "404 Not Found"
                client.sendall(answer(status, f"Content-Type: {kind}", body=body))
                client.close()
                return
            self.requests.append(Request(target, headers, time.monotonic()))
            if self._left:
                self._send(client, self._left.pop(0))

    def _read(self, client: socket.socket) -> tuple[str | None, dict[str, str]]:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = client.recv(4096)
            if not piece:
                return None, {}
            received += piece
        line, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        pairs = (one.partition(": ") for one in lines)
        return line.split(" ")[1], {name.lower(): value for name, _, value in pairs}

    def _send(self, client: socket.socket, part: Part) -> None:
        streams = False
        for piece in part.pieces:
            if isinstance(piece, bytes):
                streams = streams or CHUNKED in piece
                client.sendall(_chunked(piece) if streams else piece)
            self._over.wait(BETWEEN_PIECES if isinstance(piece, bytes) else piece)
        if streams and part.end == "close":
            client.sendall(b"0\r\n\r\n")
        if part.away:
            self._deaf()
        if part.end == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if part.end != "hold":
            client.close()
        if part.away and not self._over.wait(part.away):
            self._listener = socket.create_server(("127.0.0.1", self._port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()


def head(*headers: str) -> bytes:
    """Return the head of a stream; what is sent with it and after it goes out in chunks."""
    return (
        "\r\n".join(["HTTP/1.1 200 OK", *headers, "Cache-Control: no-store", "", ""])
        .encode()
        .replace(b"\r\n\r\n", b"\r\n" + CHUNKED)
    )


def _chunked(piece: bytes) -> bytes:
    begin, chunked, body = piece.rpartition(CHUNKED)
    return begin + chunked + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"")


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body
