"""What all pages of the console share: the key, the navigation, the status of the connection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.console.on_console import KEYS, connection, enter_key, entries
from tests.kit.callers import JWT_SECRET, token

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page


def test_an_open_hub_asks_for_nothing(page: Page, start_hub: Callable[..., Hub]) -> None:
    page.goto(f"{start_hub().url}/console/")
    expect(connection(page)).to_have_text("Live")
    expect(page.get_by_label("Access key", exact=True)).to_be_hidden()
    assert "Live" in entries(page)


def test_a_key_is_asked_for_kept_in_the_tab_and_forgotten(page: Page, start_hub: Callable[..., Hub]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{start_hub(**KEYS).url}/console/")
    expect(page.get_by_label("Access key", exact=True)).to_be_focused()
    expect(page.get_by_role("alert")).to_be_hidden()
    enter_key(page, "a-wrong-key")
    expect(page.get_by_role("alert")).not_to_be_empty()
    enter_key(page, "viewer-key")
    expect(connection(page)).to_have_text("Live")
    expect(page.get_by_role("alert")).to_be_hidden()
    page.reload()
    expect(connection(page)).to_have_text("Live")
    assert page.evaluate("document.cookie + Object.keys(localStorage)") == ""
    page.get_by_role("button", name="Change key").click()
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("Access key", exact=True)).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    assert not [url for url in asked if "key=" in url or "viewer-key" in url]


def test_a_key_that_no_header_can_carry_is_refused_at_once(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**KEYS)
    page.goto(f"{hub.url}/console/")
    enter_key(page, "operator\N{EN DASH}key")
    expect(page.get_by_role("alert")).to_contain_text(
        "this one has \N{LEFT DOUBLE QUOTATION MARK}\N{EN DASH}"
    )
    enter_key(page, "operator-key")
    expect(connection(page)).to_have_text("Live")


def test_a_key_may_be_changed_on_a_page_that_runs(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(STREAM_OPERATOR_KEYS="operator-key")
    page.goto(f"{hub.url}/console/")
    expect(connection(page)).to_have_text("Live")
    page.get_by_role("button", name="Use a key").click()
    enter_key(page, "nobody-s-key")
    expect(page.get_by_role("alert")).not_to_be_empty()
    # Until another key has been accepted, the page keeps what it had.
    assert page.evaluate("sessionStorage.getItem('access-key')") is None
    enter_key(page, "operator-key")
    expect(page.get_by_role("button", name="Change key")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('access-key')") == "operator-key"


@pytest.mark.parametrize("where", ["", "sessions", "webhooks", "agent"])
def test_a_key_that_no_longer_counts_is_asked_for_and_can_be_typed(
    page: Page, start_hub: Callable[..., Hub], where: str
) -> None:
    hub = start_hub(**KEYS)
    page.goto(f"{hub.url}/console/{where}")
    enter_key(page, "operator-key")
    field = page.get_by_label("Access key", exact=True)
    expect(field).to_be_hidden()
    expect(page.get_by_role("main")).to_be_visible()
    if where == "sessions":
        # From then on the page looks for new ones.
        expect(page.get_by_role("status", name="Result")).to_have_text("0 sessions")
    hub.kill()
    start_hub(hub.port, **KEYS | {"STREAM_OPERATOR_KEYS": "another-key"})
    expect(field).to_be_focused(timeout=60_000)
    field.fill("")
    field.press_sequentially("another-")
    if where:
        # The page asks again by itself meanwhile.
        with page.expect_response(lambda answer: answer.status == 401, timeout=60_000):
            pass
        page.wait_for_timeout(200)
    page.keyboard.type("key")
    expect(field).to_have_value("another-key")
    page.get_by_role("button", name="Continue").click()
    expect(field).to_be_hidden()
    expect(connection(page)).to_have_text(re.compile("Live|Connected"))


def test_pages_for_operators_need_the_scope_not_the_view(page: Page, start_hub: Callable[..., Hub]) -> None:
    """A token may see what operators see without being allowed to do what they do."""
    url = start_hub(STREAM_JWT_SECRET=JWT_SECRET).url
    credential = token("subscribe", view="operator")["Authorization"].removeprefix("Bearer ")
    page.goto(f"{url}/console/sessions")
    enter_key(page, credential)
    expect(page.get_by_label("Failed tools", exact=True)).to_be_visible()
    assert entries(page) == ["Live", "Sessions", "Figures"]
    for where, name in (("webhooks", "Webhooks"), ("agent", "Agent")):
        page.goto(f"{url}/console/{where}")
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("for operators")
        expect(page.get_by_label("Access key", exact=True)).to_be_hidden()


def test_a_hub_that_is_away_is_waited_for(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    page.goto(f"{hub.url}/console/")
    expect(connection(page)).to_have_text("Live")
    hub.kill()
    expect(connection(page)).to_have_text("Connecting")
    start_hub(hub.port)
    expect(connection(page)).to_have_text("Live", timeout=30_000)


def test_the_live_page_leads_to_the_console(page: Page, start_hub: Callable[..., Hub]) -> None:
    page.goto(start_hub().url)
    page.get_by_role("link", name="Console").click()
    expect(page.get_by_role("heading", name="Live sessions")).to_be_visible()


def test_the_live_page_on_disk_leads_to_its_servers_console(page: Page, page_uri: str) -> None:
    page.goto(page_uri)
    link = page.get_by_role("link", name="Console")
    expect(link).to_have_attribute("href", "http://localhost:5000/console/")
