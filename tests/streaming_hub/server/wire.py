"""HTTP by hand: what a client sees on the socket, byte for byte."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

from tests.kit.sse import frames

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 20.0
"""Seconds within which what must happen has happened, on the slowest machine."""


def connect(port: int, receive_buffer: int | None = None) -> socket.socket:
    """A connection to the server on this machine."""
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", port))
    return sock


def request_bytes(
    method: str, target: str, *, version: str = "1.1", body: bytes = b"", **headers: str
) -> bytes:
    """A request; header names are written with `_` for `-`."""
    lines = [f"{method} {target} HTTP/{version}"]
    named = {"Host": "localhost", **({"Content-Length": str(len(body))} if body else {}), **headers}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Answer:
    """A response that is read as it comes.

    Args:
        sock: the connection, with a request sent.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._raw = b""
        while b"\r\n\r\n" not in self._raw:
            assert self._more(), f"the connection was closed within the head: {self._raw!r}"
        head, _, self._raw = self._raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.version, code, *_ = first.split(" ")
        self.status = int(code)
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        assert len(self.headers) == len(lines), f"a header stands there twice: {lines}"
        self.chunked = self.headers.get("transfer-encoding") == "chunked"
        self.body = b""
        self.ended = False
        self._decode()

    def frames(self) -> list[dict[str, Any]]:
        """The whole frames that have come."""
        end = self.body.rfind(b"\n\n") + 2
        return frames(self.body[:end]) if end > 1 else []

    def until(self, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Read until the frames are enough; return them."""
        deadline = time.monotonic() + PATIENCE
        while not enough(self.frames()):
            assert time.monotonic() < deadline, f"waited in vain; there was {self.body[-2000:]!r}"
            assert self._read(), f"the stream ended early: {self.body[-2000:]!r}"
        return self.frames()

    def until_type(self, kind: str) -> list[dict[str, Any]]:
        """Read until an event of a type has come."""
        return self.until(lambda found: any(frame["type"] == kind for frame in found))

    def rest(self) -> bytes:
        """Read the body to its end: its last chunk, its length, or the connection's end."""
        length = self.headers.get("content-length")
        while not self.ended and (length is None or len(self.body) < int(length)):
            if not self._read():
                break
        return self.body

    def closed(self) -> bool:
        """Whether the server closed the connection."""
        while self._read():
            continue
        return True

    def _read(self) -> bool:
        more = self._more()
        self._decode()
        return more

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return False
        self._raw += data
        return bool(data)

    def _decode(self) -> None:
        if not self.chunked:
            self.body += self._raw
            self._raw = b""
            return
        while not self.ended:
            size, found, rest = self._raw.partition(b"\r\n")
            if not found or len(rest) < int(size, 16) + 2:
                return
            length = int(size, 16)
            assert rest[length : length + 2] == b"\r\n", "a chunk without its end"
            self.body += rest[:length]
            self._raw = rest[length + 2 :]
            self.ended = length == 0


def ask(port: int, raw: bytes) -> Answer:
    """Send bytes on a connection of their own, and read the head of the answer."""
    sock = connect(port)
    sock.sendall(raw)
    return Answer(sock)


def open_stream(port: int, query: str = "", *, version: str = "1.1", **headers: str) -> Answer:
    """Open a stream and wait until the server has counted it in."""
    answer = ask(port, request_bytes("GET", f"/api/stream{query}", version=version, **headers))
    assert answer.status == 200, answer.rest()
    if answer.headers["content-type"] == "text/event-stream; charset=utf-8":
        answer.until(bool)
    return answer
