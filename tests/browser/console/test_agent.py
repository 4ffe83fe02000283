"""The page Agent: a real agent is started, watched and stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import expect

from tests.browser.console import axe
from tests.browser.console.on_console import KEYS, connection, enter_key, entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page

START = 60_000
"""Milliseconds in which an agent is ready, on a machine that is busy."""


def test_the_agent_is_started_watched_and_stopped(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    page.goto(f"{hub.url}/console/agent")
    agent = page.get_by_role("status", name="Agent")
    expect(agent).to_have_text("Stopped")
    expect(connection(page)).to_have_text("Live")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    page.get_by_label("Mode").select_option("Rehearsal")
    page.get_by_label("Rehearsal room").fill("stage 1")
    page.get_by_role("button", name="Start").click()
    expect(agent).to_have_text("Running, 1 live session", timeout=START)
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    expect(page.get_by_role("definition").filter(has_text="stage 1")).to_be_visible()
    expect(page.get_by_role("log", name="Log")).not_to_be_empty(timeout=START)
    page.get_by_role("button", name="Stop").click()
    expect(agent).to_have_text("Stopped", timeout=START)
    assert hub.agent()["state"] == "stopped"
    expect(page.get_by_role("button", name="Start")).to_be_enabled()


def test_why_it_cannot_start_is_reported(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    page.goto(f"{hub.url}/console/agent")
    expect(page.get_by_text("Automatic would start it in rehearsal mode")).to_be_visible()
    page.get_by_label("Mode").select_option("LiveKit")
    expect(page.get_by_label("Rehearsal room")).to_be_disabled()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#problem, #refusal").filter(visible=True).first).to_contain_text(
        "LIVEKIT", timeout=START
    )


def test_the_page_is_for_operators(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**KEYS)
    page.goto(f"{hub.url}/console/agent")
    enter_key(page, "viewer-key")
    expect(page.get_by_text("This page is for operators")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_hidden()
    assert "Agent" not in entries(page)
    page.get_by_role("button", name="Change key").click()
    enter_key(page, "operator-key")
    expect(page.get_by_role("status", name="Agent")).to_have_text("Stopped")
    assert "Agent" in entries(page)


@pytest.mark.npm
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    page: Page, start_hub: Callable[..., Hub], scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    hub = start_hub()
    page.goto(f"{hub.url}/console/agent")
    page.get_by_label("Mode").select_option("LiveKit")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#problem, #refusal").filter(visible=True).first).to_be_visible(timeout=START)
    for width in (1400, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert axe.serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
