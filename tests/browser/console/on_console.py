"""Where things are on every page of the console, named as a user would name them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import requests
from playwright.sync_api import expect

from tests.browser.on_page import PATIENCE
from tests.kit.wait import until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.kit.hub import Hub

expect.set_options(timeout=PATIENCE)
KEYS = {
    "STREAM_PUBLISH_KEYS": "publish-key",
    "STREAM_SUBSCRIBE_KEYS": "viewer-key",
    "STREAM_OPERATOR_KEYS": "operator-key",
}


def connection(page: Page) -> Locator:
    """The status of the connection."""
    return page.get_by_role("status", name="Connection")


def entries(page: Page) -> list[str]:
    """The entries of the navigation that the reader sees."""
    return page.get_by_role("navigation", name="Console").get_by_role("link").all_inner_texts()


def enter_key(page: Page, key: str) -> None:
    """Give the page a key."""
    page.get_by_label("Access key", exact=True).fill(key)
    page.get_by_role("button", name="Continue").click()


def post(hub: Hub, *events: dict[str, Any], key: str | None = None) -> None:
    """Publish events; those without a timestamp happen now."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    hub.publish([{"timestamp": time.time(), **event} for event in events], **headers)


def table(page: Page, name: str) -> Locator:
    """The table of this name."""
    return page.get_by_role("table", name=name, exact=True)


def field(page: Page, name: str) -> Locator:
    """The field of this name."""
    return page.get_by_label(name, exact=True)


def asked(page: Page) -> str:
    """The query of the page's address."""
    found: str = page.evaluate("decodeURIComponent(location.search)")
    return found


def expect_sessions(page: Page, *ids: str) -> None:
    """Wait until the list has exactly these, in this order."""
    expect(table(page, "Sessions").locator(".id")).to_have_text(list(ids))


def wait_for_archive(hub: Hub, count: int, key: str | None = None) -> None:
    """Wait until the archive has this many sessions."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}

    def has_them() -> bool:
        answer = requests.get(f"{hub.url}/api/sessions?total=1", headers=headers, timeout=10)
        return answer.ok and answer.json()["total"] >= count

    until(has_them)
