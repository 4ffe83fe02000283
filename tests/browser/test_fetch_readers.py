"""Readers after the hub's goodbye: in a page fetch-event-source and EventSource, outside curl and requests.

fetch-event-source reads by `fetch`, takes a body that ends as HTTP says for the end of its work, and reconnects after
any other end. Programs outside a page take that other end for an error. Each gets the end after which it reconnects.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.kit.process import SECONDS
from tests.kit.sse import of_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page

LIBRARY = "@microsoft/fetch-event-source@2.0.1"
PAGE = """<!doctype html><title>readers</title><link rel="icon" href="data:,">
<script type="module">
import { fetchEventSource } from '/node_modules/@microsoft/fetch-event-source/lib/esm/index.js';
window.seen = { fetch: [], source: [] };
window.ended = null;
const take = (who) => (message) => { if (message.data) window.seen[who].push(JSON.parse(message.data)); };
fetchEventSource('HUB/api/stream', { openWhenHidden: true, onmessage: take('fetch') })
    .then(() => { window.ended = 'resolved'; }, (error) => { window.ended = String(error); });
new EventSource('HUB/api/stream').onmessage = take('source');
</script>"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with fetch-event-source as npm installs it."""
    folder = tmp_path_factory.mktemp("npm")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not on PATH (Debian: apt-get install npm)")
    command = [
        npm,
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        LIBRARY,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install {LIBRARY}: {done.stderr[-300:]}")
    return folder


@pytest.fixture
def site(library: Path) -> Iterator[Callable[[str], str]]:
    """Serve a page that reads a hub; gives its address."""
    page = ""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(library))

        def do_GET(self) -> None:
            if self.path == "/":
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())
                return
            if not self.path.endswith(".js"):
                self.path += ".js"  # its modules import one another without it, for bundlers
            super().do_GET()

        def log_request(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        def address(hub_url: str) -> str:
            nonlocal page
            page = PAGE.replace("HUB", hub_url)
            return f"http://127.0.0.1:{server.server_address[1]}/"

        yield address
        server.shutdown()


@pytest.fixture
def reader(context: BrowserContext) -> Iterator[Page]:
    """A tab of which only what is seen counts: a stream that breaks off is an error on its console."""
    page = context.new_page()
    yield page
    page.close()


def wait_for(page: Page, who: str, **fields: Any) -> dict[str, Any]:
    """Wait until a reader in the page has an event with these fields."""
    test = "([who, fields]) => seen[who].find(e => Object.entries(fields).every(([k, v]) => e[k] === v))"
    page.wait_for_function(test, arg=[who, fields], timeout=SECONDS * 1000)
    found: dict[str, Any] = page.evaluate(test, [who, fields])
    return found


def test_readers_in_a_page_come_back_after_a_goodbye_and_miss_nothing(
    start_hub: Callable[..., Hub], site: Callable[[str], str], reader: Page
) -> None:
    hub = start_hub()
    reader.goto(site(hub.url))
    for who in ("fetch", "source"):
        wait_for(reader, who, type="connected")
    hub.publish({"type": "test", "n": 1})
    for who in ("fetch", "source"):
        wait_for(reader, who, n=1)
    hub.stop()
    for who in ("fetch", "source"):
        wait_for(reader, who, type="goodbye", reason="draining")
    again = start_hub(hub.port)
    again.publish({"type": "test", "n": 2})
    for who in ("fetch", "source"):
        wait_for(reader, who, n=2)
    assert reader.evaluate("window.ended") is None
    numbers = reader.evaluate("Object.values(seen).map(all => all.filter(e => e.n).map(e => e.n))")
    assert numbers == [[1, 2], [1, 2]]


def test_readers_in_a_page_come_back_to_a_hub_that_has_no_room_for_them(
    start_hub: Callable[..., Hub], site: Callable[[str], str], reader: Page
) -> None:
    hub = start_hub(STREAM_MAX_CLIENTS="1")
    with requests.get(f"{hub.url}/api/stream", stream=True, timeout=SECONDS):
        reader.goto(site(hub.url))
        for who in ("fetch", "source"):
            assert wait_for(reader, who, type="goodbye")["reason"] == "too_many_clients"
        time.sleep(1)  # time enough for a body that ended well to have ended the work
        assert reader.evaluate("window.ended") is None


def test_outside_a_page_the_body_ends_as_http_says(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    curl = shutil.which("curl")
    url = f"{hub.url}/api/stream"
    process = subprocess.Popen([curl, "-sSN", url], stdout=subprocess.PIPE, text=True) if curl else None
    if process is not None and process.stdout is not None:
        assert "connected" in process.stdout.readline()
    with requests.get(url, stream=True, timeout=SECONDS) as answer:
        lines = answer.iter_lines(decode_unicode=True)
        assert "connected" in next(lines)
        hub.stop()
        said = list(of_lines(lines))
    assert [event["type"] for event in said if event["type"] != "heartbeat"] == ["goodbye"]
    if process is not None:
        out, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert '"goodbye"' in out
