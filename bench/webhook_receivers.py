"""Receivers of webhooks, quick ones and dead ones: `python -m bench.webhook_receivers`.

    living     answers 200 at once, and remembers how late each event came
    refusing   a port that refuses connections
    hanging    takes the request and never answers
    garbage    speaks no TLS (its URL is https)
    drip       a byte of an answer each second
    redirect   302 to the living one
    huge       500 with an answer without an end

Prints one line of JSON, `{"living": PORT, ...}`, and serves until its input ends. `GET /got` at the living one answers
`{PATH: [[number, seconds late], ...]}` from the fields `number` and `sent` of the events.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import sys
import time
from typing import Any, ClassVar, Final

import msgspec

DEAD: Final = ("refusing", "hanging", "garbage", "drip", "redirect", "huge")
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
PIECE: Final = b"x" * 65_536


class Data(msgspec.Struct):
    """The fields of an event that are looked at."""

    number: int = -1
    sent: float = 0.0


class Body(msgspec.Struct):
    """A webhook's body."""

    data: Data


_decode = msgspec.json.Decoder(Body).decode


class Receiver(asyncio.Protocol):
    """A connection: takes requests one after the other, and answers none."""

    def __init__(self) -> None:
        self._read = b""
        self.transport: Any = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End what still writes."""
        del exc
        for task in self._tasks:
            task.cancel()

    def pause_writing(self) -> None:
        """Wait for the other side to read."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Continue."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Take every whole request."""
        self._read += data
        while True:
            head, found, rest = self._read.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            self._read = rest[length:]
            self.take(head.split(b" ", 2)[1].decode(), rest[:length])

    def take(self, path: str, body: bytes) -> None:
        """Take a request."""
        del path, body
        self.answer()

    def answer(self) -> None:
        """Answer it."""

    def start(self, work: Any) -> None:
        """Do something for as long as the connection is open."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def write_pieces(self) -> None:
        """Write without an end, as fast as the other side reads."""
        while True:
            await self._may_write.wait()
            self.transport.write(PIECE)
            await asyncio.sleep(0)

    async def write_slowly(self) -> None:
        """Write a byte each second."""
        for byte in OK:
            self.transport.write(bytes([byte]))
            await asyncio.sleep(1)


class Living(Receiver):
    """Answers at once."""

    got: ClassVar[dict[str, list[tuple[int, float]]]] = {}

    def take(self, path: str, body: bytes) -> None:
        """Remember how late an event is, or tell of all."""
        if path == "/got":
            found = json.dumps(self.got).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(found), found))
            return
        data = _decode(body).data
        self.got.setdefault(path, []).append((data.number, time.time() - data.sent))
        self.transport.write(OK)


class Garbage(Receiver):
    """Answers a TLS handshake with something else."""

    def data_received(self, data: bytes) -> None:
        """Write nonsense."""
        del data
        self.transport.write(b"\x16\x03\x03\xff\xff nonsense \x00" * 10)


class Drip(Receiver):
    """Answers slowly."""

    def answer(self) -> None:
        """Begin an answer."""
        self.start(self.write_slowly())


class Redirect(Receiver):
    """Sends elsewhere."""

    to: ClassVar[int] = 0

    def answer(self) -> None:
        """Name another place."""
        place = b"http://127.0.0.1:%d/redirected" % self.to
        self.transport.write(b"HTTP/1.1 302 Found\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % place)


class Huge(Receiver):
    """Fails at length."""

    def answer(self) -> None:
        """Begin an answer without an end."""
        self.transport.write(b"HTTP/1.1 500 No\r\ncontent-length: 1000000000000\r\n\r\n")
        self.start(self.write_pieces())


async def serve() -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    kinds = {
        "living": Living,
        "hanging": Receiver,
        "garbage": Garbage,
        "drip": Drip,
        "redirect": Redirect,
        "huge": Huge,
    }
    ports = {}
    for name, kind in kinds.items():
        server = await loop.create_server(kind, "127.0.0.1", 0, backlog=4096)
        ports[name] = server.sockets[0].getsockname()[1]
    Redirect.to = ports["living"]
    with socket.socket() as silent:
        # Bound, so that no other program gets the port; connections are refused.
        silent.bind(("127.0.0.1", 0))
        ports["refusing"] = silent.getsockname()[1]
        print(json.dumps(ports), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


def url(ports: dict[str, int], kind: str, path: str) -> str:
    """Return the address of a receiver."""
    return f"{'https' if kind == 'garbage' else 'http'}://127.0.0.1:{ports[kind]}{path}"


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS has a lower maximum than it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve())
