"""The page reaches something that is not the hub: AirPlay on port 5000, a proxy's own page, another web server."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.stub_hub import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page


@contextmanager
def serving(status: int, fields: dict[str, str], body: bytes) -> Iterator[str]:
    """A server that serves the page, and this answer to everything else; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            page = self.path.split("?")[0] == "/"
            self.send_response(200 if page else status)
            for name, value in ({"Content-Type": "text/html"} if page else fields).items():
                self.send_header(name, value)
            data = PAGE.read_bytes() if page else body
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


AIRPLAY = (403, {"Server": "AirTunes/775.3.1"}, b"")
HTML = (401, {"Content-Type": "text/html"}, b"<h1>Sign in</h1>")
PROXY = (502, {"Content-Type": "text/html", "Server": "nginx"}, b"<h1>502 Bad Gateway</h1>")
OTHER = (200, {"Content-Type": "text/html"}, b"<h1>It works!</h1>")


@pytest.mark.parametrize(
    "answer", [AIRPLAY, HTML, PROXY, OTHER], ids=["airplay", "sign-in", "proxy", "other"]
)
def test_what_is_not_the_hub_is_not_taken_for_it(
    page: Page, answer: tuple[int, dict[str, str], bytes]
) -> None:
    with serving(*answer) as url:
        page.goto(url)
        detail = page.locator("body")
        expect(detail).to_contain_text(f"What answers at {url} is not the hub ({answer[0]})")
        expect(detail).not_to_contain_text("The key is not allowed")
        expect(detail).not_to_contain_text("asks for a key")


def test_with_a_key_it_is_not_the_key_s_fault(page: Page) -> None:
    with serving(*AIRPLAY) as url:
        page.add_init_script("sessionStorage.setItem('stream-key', 'a-key')")
        page.goto(url)
        expect(page.locator("body")).to_contain_text(f"What answers at {url} is not the hub (403)")


def test_another_origin_that_refuses_all_readers_is_not_called_silent(page: Page) -> None:
    with serving(*AIRPLAY) as url, serving(*AIRPLAY) as other:
        page.goto(url)
        page.locator("#server").fill(other)
        page.locator("#server").press("Enter")
        expect(page.locator("body")).to_contain_text(f"What answers at {other} is not the hub")
        expect(page.locator("body")).to_contain_text("STREAM_CORS_ORIGINS")
