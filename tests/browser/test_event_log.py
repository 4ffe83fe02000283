"""The event log: filters, pause, choosing and copying; and the form that sends a test event."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.on_page import logged, said, say

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

    from tests.browser.stub_hub import Opened, StubHub

pytestmark = pytest.mark.page


def test_filters_by_type_room_and_text(page: Page, live: Opened) -> None:
    say(live, 1, "apples", room="a")
    say(live, 2, "pears", room="b")
    live.event("e-3", "custom.thing", text="apples again", room="b")
    expect(logged(page, "apples again")).to_be_visible()
    page.get_by_label("Type", exact=True).select_option("custom.thing")
    expect(logged(page, "")).to_have_count(1)
    page.get_by_label("Type", exact=True).select_option("*")
    page.get_by_label("Room of events").select_option(label="a")
    expect(logged(page, "pears")).to_have_count(0)
    expect(logged(page, "apples")).to_have_count(1)
    page.get_by_label("Room of events").select_option(label="All rooms")
    page.get_by_label("Text", exact=True).fill("APPLES")
    expect(logged(page, "")).to_have_count(2)
    expect(said(page, "pears")).to_be_visible()  # the log's filter is the log's own


def test_heartbeats_show_only_when_asked_for(page: Page, live: Opened) -> None:
    live.control("heartbeat", event_id="e-1", timestamp=1.0)
    say(live, 2, "after the beat")
    expect(logged(page, "after the beat")).to_be_visible()
    beats = page.get_by_role("listbox", name="Event log").get_by_text("heartbeat", exact=True)
    expect(beats).to_have_count(0)
    page.get_by_label("Show heartbeats").check()
    expect(beats).to_have_count(1)


def test_pause_counts_what_comes_meanwhile(page: Page, live: Opened) -> None:
    say(live, 1, "before")
    expect(logged(page, "before")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    say(live, 2, "meanwhile")
    say(live, 3, "meanwhile too")
    resume = page.get_by_role("button", name="Resume (2 new)")
    expect(resume).to_be_visible()
    expect(logged(page, "meanwhile")).to_have_count(0)
    expect(said(page, "meanwhile too")).to_be_visible()  # the conversation continues
    resume.click()
    expect(logged(page, "meanwhile")).to_have_count(2)


def test_copies_json_and_a_command_without_the_key(
    page: Page, context: BrowserContext, stub: StubHub, live: Opened
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("Access key").fill("sekret")
    page.get_by_role("button", name="Connect", exact=True).click()
    stream = stub.next_stream()
    stream.connected()
    say(stream, 1, "it's `here` $HOME", event_id="x-1")
    logged(page, "here").click()
    page.get_by_role("button", name="Copy JSON").click()
    expect(page.get_by_text("JSON copied")).to_be_visible()
    assert json.loads(page.evaluate("navigator.clipboard.readText()"))["text"] == "it's `here` $HOME"
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_text("Command copied")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith(f"curl -X POST '{stub.url}/api/agent/data'")
    assert "it'\\''s `here` $HOME" in command
    context.clear_permissions()
    assert '"Authorization: Bearer $STREAM_KEY"' in command
    for left_out in ("sekret", '"id"', "event_id"):
        assert left_out not in command


def test_keyboard_moves_through_the_log(page: Page, live: Opened) -> None:
    for number in range(1, 5):
        say(live, number, f"row {number}")
    expect(logged(page, "row 4")).to_be_visible()
    page.get_by_role("listbox", name="Event log").focus()
    detail = page.get_by_role("region", name="Selected event")
    for key, text in (("ArrowDown", "row 4"), ("ArrowUp", "row 3"), ("Home", "connected"), ("End", "row 4")):
        page.keyboard.press(key)
        expect(detail).to_contain_text(text)
    expect(logged(page, "row 4")).to_have_attribute("aria-selected", "true")


def test_sends_a_test_event(page: Page, stub: StubHub, live: Opened) -> None:
    page.get_by_label("Event type").fill("my.test")
    page.get_by_label("Event room").fill("r9")
    page.get_by_label("Event text").fill("sent by hand")
    page.get_by_label("More fields").fill('{"n": 7}')
    page.get_by_role("button", name="Send event").click()
    path, _headers, body = stub.posted.get(timeout=10)
    assert (path, body) == (
        "/api/agent/data",
        {"type": "my.test", "text": "sent by hand", "room": "r9", "participant": "tester", "n": 7},
    )
    expect(page.get_by_text("Sent as e-1, 1 client notified")).to_be_visible()


def test_malformed_test_event_is_not_sent(page: Page, stub: StubHub, live: Opened) -> None:
    page.get_by_label("More fields").fill("[1, 2")
    page.get_by_role("button", name="Send event").click()
    expect(page.get_by_text(re.compile("not a JSON object"))).to_be_visible()
    assert stub.posted.empty()
