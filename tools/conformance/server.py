"""A server that answers each request for the stream by the next part of a script, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BETWEEN_PIECES = 0.05
"""Seconds between two pieces, so that clients read them apart."""


@dataclass
class Part:
    """What one request for the stream gets: its pieces, and whether the connection is closed after them."""

    pieces: Sequence[bytes]
    close: bool = True


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
        script: what the requests for `/stream` get, in order.
        pages: what other paths get: path -> media type and body.
    """

    script: Sequence[Part]
    pages: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._left = list(self.script)
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for client in self._open:
            with contextlib.suppress(OSError):
                client.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            line, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
            target = line.split(" ")[1]
            if not target.startswith("/stream"):
                kind, body = self.pages.get(target, ("text/plain", b""))
                status = "200 OK" if target in self.pages else "404 Not Found"
                client.sendall(answer(status, f"Content-Type: {kind}", body=body))
                client.close()
                return
            pairs = (one.partition(": ") for one in lines)
            self.requests.append(
                Request(target, {name.lower(): value for name, _, value in pairs}, time.monotonic())
            )
            if not self._left:
                return
            part = self._left.pop(0)
            for piece in part.pieces:
                client.sendall(piece)
                time.sleep(BETWEEN_PIECES)
            if part.close:
                client.close()


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a whole answer."""
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(head).encode() + body
