"""examples/react/useAgentStream.js in a real browser, against the real hub.

React itself is not installed here: two functions with its contract stand in, so what is tested is the hook's own
work (the stream, its bounds, its way back), not React.
"""

from __future__ import annotations

from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.kit.process import HubProcess

pytestmark = pytest.mark.page

REACT = """
const cells = [];
const effects = [];
let next = 0;
export function useState(initial) {
    const cell = next++;
    if (!(cell in cells)) cells[cell] = initial;
    return [cells[cell], (change) => { cells[cell] = typeof change === 'function' ? change(cells[cell]) : change; }];
}
let known;
export function useEffect(effect, needs) {
    if (known && known.every((value, index) => value === needs[index])) return;
    known = needs;
    effects.splice(0).forEach((undo) => undo());
    effects.push(effect());
}
export function render(hook) { next = 0; return hook(); }
export function unmount() { effects.splice(0).forEach((undo) => undo()); }
"""
PAGE = """<!doctype html><title>hook</title><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"react": "/react.js"}}</script>
<script type="module">
import { render, unmount } from 'react';
import { useAgentStream } from '/useAgentStream.js';
window.url = HUB;
window.hook = () => render(() => useAgentStream(window.url));
window.unmount = unmount;
window.hook();
</script>"""


@pytest.fixture
def site() -> Iterator[Callable[[str], str]]:
    """Serve a page that uses the hook with a hub; gives its address."""
    files: dict[str, tuple[str, str]] = {
        "/react.js": ("text/javascript", REACT),
        "/useAgentStream.js": (
            "text/javascript",
            (ROOT / "examples/react/useAgentStream.js").read_text(encoding="utf-8"),
        ),
    }

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/stream"):
                self.send_response(302)
                self.send_header("Location", files["hub"][1] + self.path.removeprefix("/stream"))
                self.end_headers()
                return
            if self.path.startswith("/away"):
                files["away"] = ("", files.get("away", ("", ""))[1] + "x")
                first = len(files["away"][1]) == 1
                self.send_response(502 if first else 200)
                self.send_header("Content-Type", "text/html" if first else "text/event-stream")
                self.end_headers()
                self.wfile.write(b'id: e-1\ndata: {"type":"test","n":7}\n\n')
                return
            kind, text = files[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_request(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        def address(hub_url: str) -> str:
            files["hub"] = ("", f"{hub_url}/api/stream")
            files["/"] = ("text/html", PAGE.replace("HUB", f"'{hub_url}/api/stream'"))
            return f"http://127.0.0.1:{server.server_address[1]}/"

        yield address
        server.shutdown()


def events(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate("hook().events")
    return found


def test_events_arrive_once_with_the_hubs_ids(
    page: Page, start_hub: Callable[..., HubProcess], site: Callable[[str], str]
) -> None:
    hub = start_hub()
    page.goto(site(hub.url))
    page.wait_for_function("hook().isConnected")
    ids = [hub.post({"type": "test", "n": n})["id"] for n in range(3)]
    page.wait_for_function("hook().events.length === 3")
    assert [event["id"] for event in events(page)] == ids


def test_it_resumes_when_the_hub_comes_back_and_ends_when_the_component_goes(
    page: Page, start_hub: Callable[..., HubProcess], site: Callable[[str], str]
) -> None:
    hub = start_hub(STREAM_HEARTBEAT="0.4")
    page.goto(site(hub.url))
    page.wait_for_function("hook().isConnected")
    hub.post({"type": "test", "n": 1})
    page.wait_for_function("hook().events.length === 1")
    hub.kill()
    page.wait_for_function("!hook().isConnected")
    again = start_hub(hub.port)
    again.post({"type": "test", "n": 2})
    page.wait_for_function("hook().events.length === 2")
    assert [event["n"] for event in events(page)] == [1, 2]
    page.evaluate("unmount()")
    assert page.evaluate("hook().isConnected") is False


def test_it_stays_bounded(
    page: Page, start_hub: Callable[..., HubProcess], site: Callable[[str], str]
) -> None:
    hub = start_hub()
    page.goto(site(hub.url))
    page.wait_for_function("hook().isConnected")
    hub.post([{"type": "test", "n": n} for n in range(700)])
    page.wait_for_function("hook().events.at(-1)?.n === 699")
    assert len(events(page)) == 500


def test_the_url_may_be_relative_and_a_new_one_restarts_the_stream(
    page: Page, start_hub: Callable[..., HubProcess], site: Callable[[str], str]
) -> None:
    hub = start_hub()
    page.goto(site(hub.url))
    page.wait_for_function("hook().isConnected")
    hub.post({"type": "test", "room": "a", "n": 1})
    page.wait_for_function("hook().events.length === 1")
    page.evaluate("window.url = '/stream?room=b'; hook()")
    assert events(page) == []
    page.wait_for_function("hook().isConnected")
    hub.post([{"type": "test", "room": "a", "n": 2}, {"type": "test", "room": "b", "n": 3}])
    page.wait_for_function("hook().events.length === 1")
    assert [event["n"] for event in events(page)] == [3]


def test_a_proxys_page_while_the_hub_restarts_does_not_end_it(
    page: Page, start_hub: Callable[..., HubProcess], site: Callable[[str], str]
) -> None:
    hub = start_hub()
    page.goto(site(hub.url))
    page.wait_for_function("hook().isConnected")
    page.evaluate("window.url = '/away'; hook()")
    page.wait_for_function("hook().events.some((event) => event.n === 7)")
