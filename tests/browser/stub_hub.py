"""A hub that does exactly what a test says: it falls silent, sends the same event twice, or disappears.

It speaks the stream's wire format over real sockets. What the real hub can produce is tested with the real
hub; this one is for what a healthy hub never does. It serves the page too, under a strict
Content-Security-Policy: nothing but the page's own script and style.
"""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

PAGE = Path(__file__).parents[2] / "stream-test.html"
CLOSE = object()
PROBLEM = "application/problem+json"


@dataclass
class Opened:
    """One request for the stream, and the way to write to it.

    Attributes:
        query: the query's parameters, the last value of each.
        headers: the request's headers, names in lower case.
    """

    query: dict[str, str]
    headers: dict[str, str]
    frames: queue.Queue[Any] = field(default_factory=queue.Queue)

    def control(self, event_type: str, *, event_id: str = "", **fields: Any) -> None:
        """Send a control event; only heartbeats have an id."""
        head = f"id: {event_id}\n" if event_id else ""
        self.frames.put(f"{head}data: {json.dumps({'type': event_type, **fields})}\n\n")

    def event(self, stored_id: str, event_type: str, /, **fields: Any) -> None:
        """Send a stored event."""
        fields.setdefault("timestamp", time.time())
        data = json.dumps({"type": event_type, **fields, "id": stored_id})
        self.frames.put(f"id: {stored_id}\ndata: {data}\n\n")

    def connected(self, cursor: str = "e-0", heartbeat: float = 15) -> None:
        """Greet the client as the hub does."""
        self.control("connected", client_id="c1", cursor=cursor, server_time=time.time(), heartbeat=heartbeat)

    def close(self) -> None:
        """End the answer, as a server that goes away does."""
        self.frames.put(CLOSE)


class StubHub:
    """The server; use it as a context manager.

    Attributes:
        opened: every stream that was asked for, in order.
        posted: every POST: path, headers and JSON body.
        tickets: how many tickets were given out.
        ticket_seconds: how long the next ticket is said to last.
        stream_status: the status of the stream; other than 200 it refuses.
        stored: what `/api/events` answers.
        url: where it listens.
    """

    def __init__(self, port: int = 0) -> None:
        self.opened: queue.Queue[Opened] = queue.Queue()
        self.posted: queue.Queue[tuple[str, dict[str, str], Any]] = queue.Queue()
        self.tickets = 0
        self.ticket_seconds = 600.0
        self.stream_status = 200
        self.stored: list[dict[str, Any]] = []
        self._streams: list[Opened] = []
        hub = self

        class Handler(_Handler):
            owner = hub

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start to serve."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close every stream and the listening socket."""
        self._server.shutdown()
        self._server.server_close()
        for stream in self._streams:
            stream.close()

    def next_stream(self, timeout: float = 10) -> Opened:
        """Wait for the next client that opens the stream.

        Args:
            timeout: seconds.

        Raises:
            queue.Empty: no client connected.
        """
        opened = self.opened.get(timeout=timeout)
        self._streams.append(opened)
        return opened


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    owner: StubHub
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/api/stream":
            self._stream(url.query)
        elif url.path == "/api/events":
            self._json(200, {"events": self.owner.stored})
        elif url.path in ("/", "/stream-test.html"):
            self._page()
        elif url.path == "/api/agent/status":
            self._json(200, {"state": "stopped", "pid": None, "mode": None, "last_error": None})
        else:
            self._json(404, {"title": "Not Found", "status": 404})

    def do_HEAD(self) -> None:
        self.send_response(self.owner.stream_status)
        self.send_header("Content-Type", "text/event-stream" if self.owner.stream_status == 200 else PROBLEM)
        self.end_headers()

    def do_OPTIONS(self) -> None:
        self.send_response(204)
        self._allow()
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.posted.put((self.path, headers, json.loads(body or b"{}")))
        if self.path == "/api/stream/ticket":
            self.owner.tickets += 1
            ticket = {"ticket": f"ticket-{self.owner.tickets}", "expires_in": self.owner.ticket_seconds}
            self._json(200, ticket)
        else:
            self._json(200, {"status": "ok", "id": "e-1", "clients_notified": 1})

    def log_message(self, *args: object) -> None:
        """Keep quiet: the tests look at what was asked, not at a log."""

    def _allow(self) -> None:
        self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin", "null"))
        self.send_header("Access-Control-Allow-Headers", "authorization, content-type")

    def _json(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self._allow()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _page(self) -> None:
        page = PAGE.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", content_policy(page.decode()))
        self.end_headers()
        self.wfile.write(page)

    def _stream(self, query: str) -> None:
        values = {name: all_of[-1] for name, all_of in parse_qs(query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        opened = Opened(values, headers)
        self.owner.opened.put(opened)
        self.send_response(self.owner.stream_status)
        self._allow()
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        while self.owner.stream_status == 200 and (frame := opened.frames.get()) is not CLOSE:
            try:
                self.wfile.write(frame.encode())
            except OSError:
                return  # the page closed the stream: what is still queued has no reader


def content_policy(page: str) -> str:
    """Give the strictest policy that lets the page run: its one script and its one style by hash."""

    def source(tag: str) -> str:
        inner = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert inner, f"the page has no <{tag}> block"
        digest = hashlib.sha256(inner.group(1).encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; script-src {source('script')}; style-src {source('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
