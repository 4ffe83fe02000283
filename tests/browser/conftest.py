"""A browser for the page's tests, and what must hold on every page: no error, no foreign request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.on_page import PATIENCE
from tests.browser.stub_hub import PAGE, StubHub
from tests.kit.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

    from tests.browser.stub_hub import Opened

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, started once for a file.

    Until it is closed, Playwright keeps an event loop running in this thread: a test of another file that calls
    `asyncio.run` would fail.
    """
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is absent (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One browser profile: each test has a tab of its own, and every server an origin of its own."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab; fails the test where a script failed, the policy was broken or a foreign host was asked."""
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("console", lambda said: wrong.append(said.text) if "Security Policy" in said.text else None)
    page.on("request", lambda asked: wrong.append(asked.url) if _foreign(asked.url) else None)

    def on_dialog(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", on_dialog)
    yield page
    page.close()
    assert wrong == []


def _foreign(url: str) -> bool:
    # A blob is the page's own, and named after its origin.
    parts = urlsplit(url.removeprefix("blob:"))
    return parts.scheme not in ("data", "file") and parts.hostname not in ("127.0.0.1", "localhost")


@pytest.fixture
def stub() -> Iterator[StubHub]:
    """A hub that does what the test says."""
    with StubHub() as hub:
        yield hub


@pytest.fixture
def live(page: Page, stub: StubHub) -> Opened:
    """The page, served by the stub and live; gives the stream to write to."""
    page.goto(stub.url)
    stream = stub.next_stream()
    stream.connected()
    stream.control("snapshot", rooms=[])
    expect(page.locator("#pill")).to_have_text("Live")
    return stream


@pytest.fixture
def start_hub(tmp_path: Path, hubs: list[Hub]) -> Callable[..., Hub]:
    """Start the real hub as a child process, any number of times, with the same history; ends them all."""

    def start(port: int = 0, **settings: str) -> Hub:
        settings.setdefault("STREAM_HISTORY", f"sqlite:///{tmp_path / 'events.db'}")
        hubs.append(Hub(tmp_path, port=port, **settings))
        return hubs[-1].start()

    return start


@pytest.fixture(scope="session")
def page_uri() -> str:
    """The page's address on disk."""
    return PAGE.as_uri()
