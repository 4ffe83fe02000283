"""examples/nextjs/agent-proxy.js, served by Node's own HTTP server, which hands Next.js its requests, too."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.kit.process import ROOT, SECONDS, HubProcess, Program, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVER = """
import { createServer } from 'node:http';
import handler from './agent-proxy.mjs';
const server = createServer((req, res) => handler(req, res));
const held = new Set();
server.on('connection', (socket) => held.add(socket));
const report = () => console.log(`holds ${[...held].reduce((sum, socket) => sum + socket.writableLength, 0)}`);
setInterval(report, 300);
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
"""


@pytest.fixture
def route(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve the route for a hub; gives its address."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("nodejs is not on PATH (Debian: apt-get install nodejs)")
    started: list[Program] = []

    def serve(hub_url: str, **environment: str) -> str:
        shutil.copy(ROOT / "examples/nextjs/agent-proxy.js", tmp_path / "agent-proxy.mjs")
        (tmp_path / "server.mjs").write_text(SERVER)
        program = Program([node, str(tmp_path / "server.mjs")], STREAM_URL=hub_url, **environment)
        started.append(program)
        serve.program = program  # type: ignore[attr-defined]
        return f"http://127.0.0.1:{program.wait_for('listening on').rsplit(' ', 1)[1]}/api/agent-proxy"

    yield serve
    for program in started:
        program.kill()


def read(url: str, count: int, **headers: str) -> list[tuple[str | None, dict[str, Any]]]:
    """The first `count` events of a stream, each with its id line."""
    found: list[tuple[str | None, dict[str, Any]]] = []
    place = None
    with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith(b"id: "):
                place = line[4:].decode()
            elif line.startswith(b"data: "):
                found.append((place, json.loads(line[6:])))
                place = None
            if len(found) == count:
                return found
    return found


def test_events_pass_with_their_ids_and_filters(hub: HubProcess, route: Callable[..., str]) -> None:
    url = route(hub.url)
    hub.post({"type": "other"})
    receipt = hub.post({"type": "test", "message": "through"})
    connected, event = read(f"{url}?replay=5&type=test", 2)
    assert connected[1]["type"] == "connected"
    assert event[0] == receipt["id"]
    assert event[1]["message"] == "through"


def test_a_browser_resumes_through_it(hub: HubProcess, route: Callable[..., str]) -> None:
    first = hub.post({"type": "test", "message": "one"})["id"]
    hub.post({"type": "test", "message": "two"})
    events = read(route(hub.url), 2, **{"Last-Event-ID": first})
    assert events[1][1]["message"] == "two"


def test_without_a_hub_a_browser_is_asked_to_reconnect(route: Callable[..., str]) -> None:
    answer = requests.get(route(f"http://127.0.0.1:{free_port()}"), timeout=30)
    assert answer.status_code == 200
    assert answer.text.startswith("retry: 3000\ndata: ")


def test_a_browser_that_leaves_closes_the_hubs_stream(hub: HubProcess, route: Callable[..., str]) -> None:
    url = route(hub.url)
    with requests.get(url, stream=True, timeout=30) as answer:
        content = answer.iter_content(1)
        assert next(content) == b"d"
        assert clients(hub) == 1
    deadline = time.monotonic() + SECONDS
    while clients(hub):
        assert time.monotonic() < deadline, "the stream is still open"


def test_a_browser_that_takes_nothing_fills_no_memory(hub: HubProcess, route: Callable[..., str]) -> None:
    url = urlsplit(route(hub.url))
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=30) as browser:
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        browser.sendall(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        assert browser.recv(1)
        before = sent_through(route)
        for _ in range(60):
            hub.post([{"type": "test", "text": "x" * 60_000}] * 16)
        grown = sent_through(route) - before
    assert grown < 30_000_000, f"{grown} bytes of 58 million wait in Node"


def sent_through(route: Any) -> int:
    """Bytes that Node holds for its clients, from its own account, once that stays the same."""
    lines = route.program.lines
    seen = -1
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.7)
        held = int([line for line in lines if line.startswith("holds ")][-1].split()[1])
        if held == seen:
            break
        seen = held
    return seen


@pytest.mark.parametrize("status", [502, 504, 403, 200])
def test_what_is_not_the_hub_does_not_end_a_browser(route: Callable[..., str], status: int) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_request(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        answer = requests.get(route(f"http://127.0.0.1:{proxy.server_address[1]}"), timeout=30)
        proxy.shutdown()
    assert answer.status_code == 200
    assert answer.text.startswith("retry: 3000\ndata: ")


def clients(hub: HubProcess) -> int:
    count: int = requests.get(f"{hub.url}/api/health", timeout=10).json()["clients"]
    return count
