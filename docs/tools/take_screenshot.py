"""Take the README's picture of the live page: `uv run python -m docs.tools.take_screenshot http://127.0.0.1:5000`.

Opens the page of a running hub in Chromium, starts the agent, waits until a rehearsed conversation has had its tool
call and its interruption, and writes docs/images/page.png. Needs a hub without keys and Debian's chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

PICTURE: Final = Path(__file__).resolve().parents[1] / "images" / "page.png"
CHROMIUM: Final = "/usr/bin/chromium"
LAST_WORDS: Final = "Of course, I will stop"
PATIENCE: Final = 60_000
"""Milliseconds until the words have to be there."""


def main(hub: str) -> None:
    """Take the picture.

    Args:
        hub: the hub's address.
    """
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 860}, device_scale_factor=1.5)
        page.goto(hub)
        page.get_by_role("button", name="Start agent").click()
        page.get_by_role("log", name="Conversation").get_by_text(LAST_WORDS).wait_for(timeout=PATIENCE)
        page.screenshot(path=PICTURE)
        page.get_by_role("button", name="Stop agent").click()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
