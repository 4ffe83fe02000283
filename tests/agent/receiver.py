"""A hub's publish endpoint for tests: records what is posted to /api/agent/data."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

Event = dict[str, Any]


class Receiver:
    """An HTTP server on a free port; use as a context manager.

    Attributes:
        events: Everything received so far, in order, each `event_id` once.
        keys: The Authorization headers seen.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.keys: set[str] = set()
        self._known: set[str] = set()
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, condition: Callable[[list[Event]], Any], seconds: float = 30.0) -> Any:
        """Wait until the condition on all events returns something true, and return that."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (found := condition(self.events)):
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise AssertionError(f"not within {seconds} s; got {[e['type'] for e in self.events]}")
                self._changed.wait(rest)
            return found

    def of_type(self, kind: str) -> list[Event]:
        with self._changed:
            return [event for event in self.events if event["type"] == kind]

    def _take(self, body: bytes, key: str | None) -> list[str]:
        posted = json.loads(body)
        batch = posted if isinstance(posted, list) else [posted]
        with self._changed:
            self.keys.add(key or "")
            for event in batch:
                event_id = event.get("event_id", "")
                if not event_id or event_id not in self._known:
                    self._known.add(event_id)
                    self.events.append(event)
            self._changed.notify_all()
            return [f"test-{len(self.events)}"] * len(batch)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer: dict[str, Any] = {"status": "ok", "ended": []}
                if self.path == "/api/agent/data":  # the other is the renewal of a lease
                    ids = take(body, self.headers.get("Authorization"))
                    answer = {"status": "ok", "ids": ids, "clients_notified": 0, "duplicates": 0}
                text = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_args: Any) -> None:
                pass

        return Handler
