"""Take the README's pictures in Chromium, of a running hub without keys.

    uv run python -m docs.tools.take_screenshot http://127.0.0.1:5000           # the agent not started
    uv run python -m docs.tools.take_screenshot http://127.0.0.1:5000 console   # started with --demo 30

The first starts the agent, waits until a rehearsed conversation has had its tool call and its interruption, and writes
docs/images/page.png. The second waits until calls are in trouble and writes docs/images/console.png. Needs Debian's
chromium, and fonts for every script that is spoken (fonts-noto-cjk).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES: Final = Path(__file__).resolve().parents[1] / "images"
CHROMIUM: Final = "/usr/bin/chromium"
LAST_WORDS: Final = "Of course, I will stop"
PATIENCE: Final = 60_000
"""Milliseconds until what is waited for has to be there."""


def take_page(page: Page, hub: str) -> None:
    """Take the picture of the live page.

    Args:
        page: a tab.
        hub: the hub's address.
    """
    page.goto(hub)
    page.get_by_role("button", name="Start agent").click()
    page.get_by_role("log", name="Conversation").get_by_text(LAST_WORDS).wait_for(timeout=PATIENCE)
    page.screenshot(path=PICTURES / "page.png")
    page.get_by_role("button", name="Stop agent").click()


def take_console(page: Page, hub: str) -> None:
    """Take the picture of the console's live sessions.

    Args:
        page: a tab.
        hub: the hub's address.
    """
    page.goto(f"{hub}/console/")
    page.get_by_role("listitem").filter(has_text="High latency").first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(3000)  # all latencies of the past are there, and calls have moved to their places
    page.screenshot(path=PICTURES / "console.png")


def main(hub: str, what: str = "page") -> None:
    """Take one picture.

    Args:
        hub: the hub's address.
        what: `page` or `console`.
    """
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, device_scale_factor=1.5)
        {"page": take_page, "console": take_console}[what](page, hub)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
