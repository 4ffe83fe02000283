"""The npm package's modules in Chromium, unbundled as the hub's own pages load them."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import browser, context, start_hub  # noqa: F401
from tests.packages.node import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext, Page

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page

HTML = """<!doctype html><title>stream</title><link rel="icon" href="data:,">
<script type="module">
import * as hub from '/src/index.js';
window.open_ = (options) => (window.stream = hub.openStream(options));
window.said = () => {
  const { status, missed, position, events, error } = window.stream.getSnapshot();
  return { status, missed, position, numbers: events.map((event) => event.n), error: error && String(error) };
};
</script>"""
CONNECTED = {
    "type": "connected",
    "client_id": "c",
    "cursor": "e-0",
    "head": "e-0",
    "server_time": 1,
    "heartbeat": 15,
}


class Site(ThreadingHTTPServer):
    """A page's origin: the modules, `/stream`, and two redirects."""

    daemon_threads = True

    def __init__(self) -> None:
        self.elsewhere = ""
        self.asked: list[tuple[str, str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._send("text/html", HTML.encode())
        elif path.startswith("/src/"):
            self._send("text/javascript", (PACKAGE / path[1:]).read_bytes())
        else:
            self.server.asked.append((self.command, path, self.headers["Authorization"]))
            self._stream(path)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_OPTIONS(self) -> None:
        self.server.asked.append((self.command, self.path, None))
        self._send("text/plain", b"")

    def _stream(self, path: str) -> None:
        if path in ("/home", "/away"):
            self.send_response(307)
            self.send_header("Location", "/stream" if path == "/home" else f"{self.server.elsewhere}/stream")
            self._allow()
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        frames = f"data: {json.dumps(CONNECTED)}\n\n" + 'id: e-1\ndata: {"type":"test","id":"e-1","n":1}\n\n'
        self._send("text/event-stream", frames.encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self._allow()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _allow(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "authorization")

    def log_request(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    with Site() as here, Site() as elsewhere:
        here.elsewhere = elsewhere.url
        yield here, elsewhere
        here.shutdown()
        elsewhere.shutdown()


@pytest.fixture
def tab(context: BrowserContext, sites: tuple[Site, Site]) -> Iterator[Page]:  # noqa: F811
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(sites[0].url)
    page.wait_for_function("Boolean(window.open_)")
    yield page
    page.close()
    assert wrong == []


def said(tab: Page) -> dict[str, Any]:
    found: dict[str, Any] = tab.evaluate("said()")
    return found


def test_an_address_relative_to_the_page(tab: Page, sites: tuple[Site, Site]) -> None:
    tab.evaluate("open_({ url: '/stream' })")
    tab.wait_for_function("said().numbers.length === 1")
    assert sites[0].asked[0] == ("GET", "/stream", None)


def test_a_key_follows_a_redirect_at_home(tab: Page, sites: tuple[Site, Site]) -> None:
    tab.evaluate("open_({ url: '/home', key: 'secret' })")
    tab.wait_for_function("said().numbers.length === 1")
    assert ("GET", "/stream", "Bearer secret") in sites[0].asked


def test_a_key_follows_no_redirect_to_another_origin(tab: Page, sites: tuple[Site, Site]) -> None:
    tab.evaluate("open_({ url: '/away', key: 'secret' })")
    tab.wait_for_function("said().numbers.length === 1")
    asked = sites[1].asked
    assert ("GET", "/stream", None) in asked
    assert {key for _, _, key in asked} == {None}


def test_resuming_at_another_origin_needs_no_permission(tab: Page, sites: tuple[Site, Site]) -> None:
    """A server that knows nothing of the Last-Event-ID header still lets pages resume."""
    tab.evaluate(f"open_({{ url: '{sites[1].url}/stream', since: 'e-0' }})")
    tab.wait_for_function("said().numbers.length === 1")
    assert {command for command, _, _ in sites[1].asked} == {"GET"}


def test_a_page_that_was_offline_has_every_event_once(
    tab: Page,
    context: BrowserContext,  # noqa: F811
    start_hub: Callable[..., Hub],  # noqa: F811
) -> None:
    hub = start_hub()
    tab.evaluate(f"open_({{ url: '{hub.url}' }})")
    tab.wait_for_function("said().status === 'live'")
    hub.publish({"type": "test", "n": 1})
    tab.wait_for_function("said().numbers.length === 1")
    hub.kill()
    tab.wait_for_function("said().status === 'connecting'")
    context.set_offline(True)
    again = start_hub(hub.port)
    again.publish([{"type": "test", "n": 2}, {"type": "test", "n": 3}])
    context.set_offline(False)
    tab.wait_for_function("said().numbers.length === 3")
    again.publish({"type": "test", "n": 4})
    tab.wait_for_function("said().numbers.length === 4")
    assert said(tab)["numbers"] == [1, 2, 3, 4]
    assert said(tab)["missed"] == 0


def test_a_refusal_names_the_hubs_reason(tab: Page, start_hub: Callable[..., Hub]) -> None:  # noqa: F811
    hub = start_hub(STREAM_SUBSCRIBE_KEYS="reader", STREAM_PUBLISH_KEYS="writer", STREAM_OPERATOR_KEYS="boss")
    tab.evaluate(f"open_({{ url: '{hub.url}', key: 'wrong' }})")
    tab.wait_for_function("said().status === 'refused'")
    assert said(tab)["error"].startswith("Refused: ")
    tab.evaluate(f"open_({{ url: '{hub.url}', key: () => 'reader' }})")
    tab.wait_for_function("said().status === 'live'")
