"""SSE clients by the thousand, in one thread: each reconnects as an EventSource does and has a checker of its own.

Reads the wire itself (HTTP/1.1, chunks, frames), to see what is wrong there.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import random
import select
import socket
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tests.faults.checker import Checker, Frame
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Result = TypeVar("Result")

READ_BYTES = 256 * 1024
RECONNECT_SECONDS = (0.05, 0.3)
SLOW_TICK_SECONDS = 0.02


class Client:
    """One client and everything about its connections.

    Args:
        name: prefix of its errors.
        path: the requested path.
        whole: see Checker.
        resumes: whether it connects again when a connection ends.
        speed: how many bytes it reads a second; None: all there are, 0: none at all.
        window: the size of its receive buffer; None: the system's.
        headers: more header lines.
        measures: whether it keeps how long each event was under way.
    """

    def __init__(
        self,
        name: str,
        path: str,
        *,
        whole: bool,
        resumes: bool,
        speed: int | None,
        window: int | None,
        headers: Iterable[str],
        measures: bool,
    ) -> None:
        self.name = name
        self.path = path
        self.checker = Checker(name, whole=whole)
        self.resumes = resumes
        self.speed = speed
        self.window = window
        self.headers = tuple(headers)
        self.latencies: list[float] | None = [] if measures else None
        self.socket: socket.socket | None = None
        self.request = b""
        self.status = 0
        self.head: dict[str, str] = {}
        self.connections = 0
        self.ended_well = 0
        self.closed_at = 0.0
        self._raw = bytearray()
        self._body = bytearray()
        self._chunked = False
        self._left = float("inf")
        """Bytes of the body that are still to come; infinite where only the connection's end tells."""
        self._has_head = False
        self._ended = False

    @property
    def is_open(self) -> bool:
        """Whether it has a connection over which the stream has begun."""
        return self.socket is not None and bool(self.checker.position >= 0 and self._has_head)

    def begin(self, host: str, port: int) -> None:
        """Make the socket of a new connection, and its request."""
        self._raw.clear()
        self._body.clear()
        self._has_head = self._ended = False
        cursor = self.checker.connect()
        lines = [
            f"GET {self.path} HTTP/1.1",
            f"Host: localhost:{port}",
            *self.headers,
            *([f"Last-Event-ID: {cursor}"] if cursor else []),
        ]
        self.request = "\r\n".join([*lines, "", ""]).encode()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if self.window is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.window)
        self.socket.connect_ex((host, port))

    def take(self, data: bytes) -> bool:
        """Process received bytes; return whether more may follow."""
        self._raw += data
        if not self._has_head:
            end = self._raw.find(b"\r\n\r\n")
            if end < 0:
                return True
            self._read_head(bytes(self._raw[:end]).decode("latin-1"))
            del self._raw[: end + 4]
        self._unchunk()
        now = time.time()
        if self.status == 200:
            *blocks, rest = bytes(self._body).split(b"\n\n")
            self._body[:] = rest
            for block in blocks:
                self._judge(block, now)
        return not self._ended and self.status == 200

    def _read_head(self, text: str) -> None:
        status, *fields = text.split("\r\n")
        self.status = int(status.split()[1])
        self.head = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
        self._chunked = self.head.get("transfer-encoding") == "chunked"
        self._left = float(self.head.get("content-length", "inf"))
        self._has_head = True
        self.connections += 1

    def _unchunk(self) -> None:
        if not self._chunked:
            self._body += self._raw
            self._left -= len(self._raw)
            self._raw.clear()
            # A proxy keeps the connection of a short answer, such as a goodbye, open for the next request.
            self._ended = self._left <= 0
            return
        place = 0
        raw = self._raw
        while (end := raw.find(b"\r\n", place)) >= 0:
            size = int(raw[place:end], 16)
            if len(raw) < end + 2 + size + 2:
                break
            self._body += raw[end + 2 : end + 2 + size]
            place = end + 2 + size + 2
            if size == 0:
                self._ended = True
                self.ended_well += 1
        del raw[:place]

    def _judge(self, block: bytes, now: float) -> None:
        event_id = retry = None
        data: list[bytes] = []
        for line in block.split(b"\n"):
            name, _, value = line.partition(b": ")
            if name == b"data":
                data.append(value)
            elif name == b"id":
                event_id = value.decode()
            elif name == b"retry":
                retry = int(value)
        fields = self.checker.feed(Frame(event_id, retry, b"\n".join(data)))
        if self.latencies is not None and fields.sent is not None:
            self.latencies.append(now - fields.sent)


class Crowd:
    """A thread that serves clients of one server; a context manager that closes them all.

    Args:
        host: the server's address.
        port: its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.clients: list[Client] = []
        self._address = (host, port)
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Client] = {}
        self._later: list[tuple[float, int, Client]] = []
        self._slow: set[Client] = set()
        self._numbers = itertools.count()
        self._commands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._wake, self._woken = socket.socketpair()
        self._epoll.register(self._woken, select.EPOLLIN)
        self._over = False
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._end)
        self._thread.join(20)
        self._epoll.close()
        self._wake.close()
        self._woken.close()

    def do(self, command: Callable[[], Result]) -> Result:
        """Run something on the crowd's thread, and return what it returns."""
        future: Future[Result] = Future()
        self._commands.append((command, future))
        self._wake.send(b"x")
        return future.result(60)

    def add(
        self,
        count: int = 1,
        query: str = "",
        *,
        name: str = "client",
        whole: bool = True,
        resumes: bool = True,
        speed: int | None = None,
        window: int | None = None,
        headers: Iterable[str] = ("Accept: text/event-stream",),
        measures: bool = False,
    ) -> list[Client]:
        """Connect that many clients; see Client."""
        made = [
            Client(
                f"{name} {number}",
                f"/api/stream{query}",
                whole=whole,
                resumes=resumes,
                speed=speed,
                window=window,
                headers=headers,
                measures=measures,
            )
            for number in range(count)
        ]
        self.clients += made
        self.do(lambda: self._each(self._connect, made))
        return made

    def leave(self, clients: Iterable[Client]) -> None:
        """Close these clients' connections; they do not reconnect."""
        chosen = list(clients)

        def leave() -> None:
            for client in chosen:
                client.resumes = False
                self._disconnect(client)

        self.do(leave)
        self.clients = [client for client in self.clients if client not in set(chosen)]

    def cut(self, clients: Iterable[Client]) -> None:
        """Close these clients' connections; they reconnect at once."""
        self.do(lambda: self._each(self._lost, clients))

    def set_speed(self, client: Client, speed: int | None) -> None:
        """Let a client read faster or slower."""

        def change() -> None:
            client.speed = speed
            self._watch(client)

        self.do(change)

    def until_open(self, clients: Iterable[Client] | None = None, seconds: float = 60.0) -> None:
        """Wait until each of the clients has its stream."""
        chosen = self.clients if clients is None else list(clients)
        until(
            lambda: all(client.is_open for client in chosen),
            seconds,
            what=lambda: f"{sum(not client.is_open for client in chosen)} of {len(chosen)} not connected",
        )

    def until_at(self, seq: int, clients: Iterable[Client] | None = None, seconds: float = 60.0) -> None:
        """Wait until each of the clients has reached a sequence number."""
        chosen = self.clients if clients is None else list(clients)

        def behind() -> list[Client]:
            return [client for client in chosen if client.checker.position < seq]

        until(
            lambda: not behind(),
            seconds,
            what=lambda: (
                f"{seq}: {[(c.name, c.checker.position, c.is_open, c.checker.errors) for c in behind()[:5]]}"
            ),
        )

    def errors(self) -> list[str]:
        """Return what was wrong with any client's stream."""
        return [error for client in self.clients for error in client.checker.errors]

    def _each(self, action: Callable[[Client], None], clients: Iterable[Client]) -> None:
        for client in clients:
            action(client)

    def _run(self) -> None:
        next_tick = time.monotonic()
        while not self._over:
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                client = heapq.heappop(self._later)[2]
                if client.resumes and client.socket is None:
                    self._connect(client)
            if now >= next_tick:
                next_tick = now + SLOW_TICK_SECONDS
                for client in list(self._slow):
                    self._read(client, max(1, int((client.speed or 0) * SLOW_TICK_SECONDS)))
            self._poll()

    def _poll(self) -> None:
        for descriptor, event in self._epoll.poll(SLOW_TICK_SECONDS, 4096):
            client = self._by_descriptor.get(descriptor)
            if client is None:
                if descriptor == self._woken.fileno():
                    self._woken.recv(4096)
                    self._obey()
            elif event & select.EPOLLOUT and client.request:
                self._ask(client)
            elif client.speed is None and event & select.EPOLLIN:
                self._read(client, READ_BYTES)
            elif event & (select.EPOLLERR | select.EPOLLHUP):
                self._lost(client)

    def _obey(self) -> None:
        while self._commands:
            command, future = self._commands.popleft()
            try:
                future.set_result(command())
            except BaseException as error:  # noqa: BLE001 # handed to the waiting caller
                future.set_exception(error)

    def _connect(self, client: Client) -> None:
        client.begin(*self._address)
        assert client.socket is not None
        self._by_descriptor[client.socket.fileno()] = client
        self._epoll.register(client.socket, select.EPOLLOUT)

    def _ask(self, client: Client) -> None:
        assert client.socket is not None
        if client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._lost(client)
            return
        try:
            client.socket.send(client.request)
        except OSError:
            self._lost(client)
            return
        client.request = b""
        self._watch(client)

    def _watch(self, client: Client) -> None:
        self._slow.discard(client)
        if client.socket is None:
            return
        self._epoll.modify(client.socket, select.EPOLLIN if client.speed is None else 0)
        if client.speed:
            self._slow.add(client)

    def _read(self, client: Client, size: int) -> None:
        if client.socket is None:
            return
        try:
            data = client.socket.recv(size)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return
            data = b""
        if not data or not client.take(data):
            self._lost(client)

    def _lost(self, client: Client) -> None:
        client.closed_at = time.monotonic()
        self._disconnect(client)
        if client.resumes:
            due = time.monotonic() + random.uniform(*RECONNECT_SECONDS)
            heapq.heappush(self._later, (due, next(self._numbers), client))

    def _disconnect(self, client: Client) -> None:
        self._slow.discard(client)
        if client.socket is None:
            return
        self._by_descriptor.pop(client.socket.fileno(), None)
        with contextlib.suppress(OSError):
            self._epoll.unregister(client.socket)
        client.socket.close()
        client.socket = None

    def _end(self) -> None:
        self._over = True
        for client in self.clients:
            client.resumes = False
            self._disconnect(client)
