"""examples/nextjs/agent-proxy.js, served by Node's own HTTP server, which hands Next.js its requests, too."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.browser.hub_process import ROOT, HubProcess, free_port
from tests.examples.conftest import SECONDS, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVER = """
import { createServer } from 'node:http';
import handler from './agent-proxy.mjs';
const server = createServer((req, res) => handler(req, res));
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
        return f"http://127.0.0.1:{program.wait_for('listening on').rsplit(' ', 1)[1]}/api/agent-proxy"

    yield serve
    for program in started:
        program.kill()


def read(url: str, count: int, **headers: str) -> list[tuple[str | None, dict[str, Any]]]:
    """The first so many events of a stream, each with its id line."""
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


def test_without_a_hub_a_browser_is_told_to_come_back(route: Callable[..., str]) -> None:
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


def clients(hub: HubProcess) -> int:
    count: int = requests.get(f"{hub.url}/api/health", timeout=10).json()["clients"]
    return count
