"""Where things are on the page of one session, named as a user would name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from playwright.sync_api import expect

from tests.kit.wait import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.kit.hub import Hub


def transcript(page: Page) -> Locator:
    return page.get_by_role("list", name="Transcript")


def lines(page: Page) -> Locator:
    return transcript(page).get_by_role("listitem")


def position(page: Page) -> float:
    return float(page.get_by_role("slider", name="Position").input_value())


def moment(page: Page) -> tuple[float, float]:
    """Return the position and the browser's time, both in seconds."""
    script = "() => [Number(document.querySelector('input[type=range]').value), performance.now() / 1000]"
    at, now = page.evaluate(script)
    return at, now


def is_in_sight(row: Locator) -> bool:
    """Return whether a row is within the visible part of its list."""
    script = """row => {
        const [inner, outer] = [row, row.closest('.scroll')].map(one => one.getBoundingClientRect());
        return inner.top >= outer.top && inner.bottom <= outer.bottom + 1;
    }"""
    return bool(row.evaluate(script))


def at_clock(page: Page) -> Locator:
    return transcript(page).locator("[aria-current]")


def archived(hub: Hub, path: str, *, key: str | None = None, ended: bool = True) -> dict[str, Any]:
    """Wait until the archive has a session, and return it."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    found: dict[str, Any] = {}

    def is_there() -> bool:
        answer = requests.get(f"{hub.url}/api/sessions/{path}", headers=headers, timeout=10)
        found.update(answer.json())
        return answer.ok and not (ended and found["session"]["state"] != "ended")

    until(is_there, what=lambda: str(found)[:500])
    return found


def open_page(page: Page, hub: Hub, where: str = "d74c") -> None:
    page.goto(f"{hub.url}/console/sessions/{where}")
    expect(page.get_by_role("slider", name="Position")).to_be_visible()
