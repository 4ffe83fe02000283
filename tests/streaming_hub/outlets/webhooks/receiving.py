"""A receiver of webhooks for tests: a real HTTP server on loopback that remembers what it got."""

from __future__ import annotations

import json
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from standardwebhooks import Webhook

from tests.streaming_hub.web.api.archiving import eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


class Got:
    """One request."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes, port: int) -> None:
        self.path = path
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body
        self.port = port

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)

    def verified_by(self, secret: str) -> Any:
        """Check the signature with the library of the standard; return the body."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """What a test sees of its receiver; `status` is what it answers, `plan` what it answers first."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.got: list[Got] = []
        self.status = 200
        self.plan: deque[int] = deque()
        self.headers: dict[str, str] = {}
        self.hold: threading.Event | None = None
        self.act: Callable[[Any, Got], None] | None = None

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.got]

    @property
    def types(self) -> list[str]:
        return [one.event["type"] for one in self.got]

    def wait_for(self, count: int) -> list[Got]:
        return eventually(lambda: list(self.got), lambda got: len(got) >= count)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, *_arguments: Any) -> None:
        """Log nothing about senders that were killed."""


@contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got = Got(self.path, dict(self.headers), body, self.client_address[1])
            found.got.append(got)
            if found.hold is not None:
                found.hold.wait(60)
            try:
                if found.act is not None:
                    found.act(self, got)
                    return
                self.send_response(found.plan.popleft() if found.plan else found.status)
                for name, value in {"content-length": "2", **found.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")
            except OSError:
                self.close_connection = True

        def log_message(self, *_arguments: Any) -> None:
            return

    server = _Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        if found.hold is not None:
            found.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
