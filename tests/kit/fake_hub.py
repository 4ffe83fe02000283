"""A real HTTP server on a port of its own that stands for the hub and misbehaves on request."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.kit.process import free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Self

DEADLINE = 20.0


@dataclass
class Reply:
    """One answer; without a body the hub's own, with an id for each event.

    `stores`: whether the batch is stored, whatever the answer says; `cut` ends
    the connection in the middle of the answer, `hold` waits for an event before answering.
    """

    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    stores: bool | None = None
    cut: bool = False
    hold: threading.Event | None = None


@dataclass
class Request:
    """One request as it came in; `at` is monotonic, in seconds."""

    events: list[dict[str, Any]]
    headers: dict[str, str]
    size: int
    at: float


def refusal(status: int, detail: str = "No.", **more: object) -> Reply:
    """The hub's own refusal, as its problem documents are."""
    document = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail, **more}
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/problem+json"})


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: in these tests connections break off on purpose."""


class FakeHub:
    """Remembers each event once, by its `event_id`, in the order of arrival, as the hub does."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.events: list[dict[str, Any]] = []
        self.script: deque[Reply] = deque()
        self.default = Reply()
        self.refuses: Callable[[dict[str, Any]], bool] = lambda _: False
        self.refuses_batch: Callable[[list[dict[str, Any]]], bool] = lambda _: False
        self.refusal = refusal(422, "not a valid event")
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._open: set[socket.socket] = set()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, always on the same port."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                hub._open.add(self.connection)

            def finish(self) -> None:
                hub._open.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                hub._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
                pass

        self._server = _Server(("127.0.0.1", self.port), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and end the open connections, as a killed hub does."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in list(self._open):
            _hang_up(connection)

    @property
    def listening(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    def numbers(self) -> list[int]:
        """The field `n` of the events that have one, in order."""
        return [event["n"] for event in list(self.events) if "n" in event]

    def dropped(self) -> int:
        """The sum of all counts of `events_dropped`."""
        return sum(event["count"] for event in list(self.events) if event["type"] == "events_dropped")

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        try:
            events = json.loads(body)
        except ValueError:
            self._write(handler, refusal(400, "not JSON"))
            return
        with self._lock:
            self.requests.append(Request(events, dict(handler.headers), len(body), time.monotonic()))
            reply = self.script.popleft() if self.script else self.default
        if reply.hold:
            reply.hold.wait(DEADLINE)
        if reply.status == 200 and (self.refuses_batch(events) or any(map(self.refuses, events))):
            reply = self.refusal
        if reply.stores or (reply.stores is None and reply.status == 200):
            self._store(events)
        self._write(handler, reply if reply.body is not None else replace(reply, body=_accepted(events)))

    def _store(self, events: list[dict[str, Any]]) -> None:
        with self._lock:
            for event in events:
                if event["event_id"] not in self._ids:
                    self._ids.add(event["event_id"])
                    self.events.append(event)

    @staticmethod
    def _write(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        body = reply.body or b""
        handler.send_header("Content-Length", str(len(body)))
        try:
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2] if reply.cut else body)
        except OSError:
            handler.close_connection = True
        if reply.cut:
            handler.close_connection = True
            _hang_up(handler.connection)


def _accepted(events: object) -> bytes:
    named = {"ids": [f"e-{n}" for n in range(len(events))]} if isinstance(events, list) else {"id": "e-0"}
    return json.dumps({"status": "ok", **named}).encode()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
