"""The page against the real hub: start, see the conversation, stop; crash and come back; keys; from disk.

Covers streaming_hub.web.api.agent, over HTTP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.on_page import conversation, lines, said
from tests.kit.proc import members
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.kit.hub import Hub

AGENT_TIME = 40_000
"""The longest wait for a real agent process, milliseconds."""


def open_live(page: Page, hub: Hub, path: str = "/") -> None:
    page.goto(hub.url + path)
    expect(page.locator("#pill")).to_have_text("Live")


def test_start_see_the_conversation_stop(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    open_live(page, hub)
    expect(page.get_by_text("auto starts rehearsal")).to_be_visible()
    page.get_by_role("button", name="Start agent").click()
    agent = page.get_by_role("region", name="Agent")
    expect(agent.get_by_text("running", exact=True)).to_be_visible(timeout=AGENT_TIME)
    expect(agent.get_by_text("mode rehearsal")).to_be_visible()
    expect(agent.get_by_text("In rehearsal mode: LIVEKIT_URL, LIVEKIT_API_KEY")).to_be_visible()
    pid = hub.agent()["pid"]
    assert pid in members(pid)
    expect(page.get_by_text("Agent is speaking")).to_be_visible(timeout=AGENT_TIME)
    box = conversation(page)
    final = ".line:not(.interim)"
    expect(box.locator(f'{final}[data-role="user"]').first).to_be_visible(timeout=AGENT_TIME)
    expect(box.locator(f'{final}[data-role="agent"]').nth(1)).to_be_visible(timeout=AGENT_TIME)
    expect(page.get_by_role("list", name="Tool calls").get_by_text("done", exact=True).first).to_be_visible()
    expect(page.get_by_role("row", name="End to end")).to_be_visible(timeout=AGENT_TIME)
    assert all(text.strip() for text in lines(page))
    page.get_by_role("button", name="Stop agent").click()
    expect(agent.get_by_text("stopped", exact=True)).to_be_visible(timeout=AGENT_TIME)
    expect(box.get_by_text("Session ended")).to_be_visible()
    expect(page.get_by_text("is speaking")).to_have_count(0)
    assert hub.agent()["pid"] is None
    until(lambda: members(pid) == [], what=f"the agent's processes {members(pid)} end")


def test_crash_and_restart_show_missed_events_once(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(STREAM_HEARTBEAT="1")
    open_live(page, hub, "/stream-test.html")
    hub.publish([{"type": "transcript", "text": f"before {n}", "room": "r"} for n in range(3)])
    expect(said(page, "before 2")).to_be_visible()
    hub.kill()
    expect(page.locator("#pill")).to_contain_text("Retrying")
    elsewhere = start_hub()  # the same history, where the page cannot see it
    elsewhere.publish([{"type": "transcript", "text": f"missed {n}", "room": "r"} for n in range(3)])
    elsewhere.stop()
    back = start_hub(hub.port)
    back.publish({"type": "transcript", "text": "after", "room": "r"})
    expect(said(page, "after")).to_be_visible()
    expected = [f"{word} {n}" for word in ("before", "missed") for n in range(3)]
    assert lines(page) == [*expected, "after"]
    expect(page.get_by_text("Gap:")).to_have_count(0)
    page.reload()  # a page that comes later sees the same, from the snapshot
    expect(said(page, "after")).to_be_visible()
    assert lines(page) == [*expected, "after"]
    expect(page.get_by_role("listbox", name="Event log").get_by_text("transcript", exact=True)).to_have_count(
        7
    )


def test_times_are_the_same_after_a_reload(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(STREAM_HISTORY="memory://")
    open_live(page, hub)
    at = 1_700_000_000
    common = {"room": "r", "session_id": "call-1"}
    words = {"type": "transcript", "segment_id": "s", **common}
    hub.publish({"type": "session_started", "timestamp": at, **common})
    hub.publish({**words, "timestamp": at + 2, "text": "Once", "is_final": False})
    expect(said(page, "Once")).to_be_visible()
    hub.publish({**words, "timestamp": at + 5, "text": "Once upon a time", "is_final": True})
    expect(said(page, "Once upon a time")).to_be_visible()

    time_of_line = conversation(page).locator(".line time")
    session = page.get_by_label("Session", exact=True).locator("option").nth(1)
    expect(time_of_line).to_have_attribute("datetime", "2023-11-14T22:13:25.000Z")
    expect(session).to_have_text(re.compile(r"^\d\d:\d\d:20 · call-1$"))
    page.reload()
    expect(time_of_line).to_have_attribute("datetime", "2023-11-14T22:13:25.000Z")
    expect(session).to_have_text(re.compile(r"^\d\d:\d\d:20 · call-1$"))


def test_history_that_is_gone_is_reported_as_a_gap(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(STREAM_HISTORY="memory://")
    open_live(page, hub)
    hub.publish({"type": "agent_speech_started", "room": "r"})
    expect(page.get_by_text("Agent is speaking")).to_be_visible()
    hub.kill()
    start_hub(hub.port, STREAM_HISTORY="memory://").publish(
        {"type": "transcript", "text": "new", "room": "r"}
    )
    expect(conversation(page).get_by_text("Gap: an unknown number of events was missed")).to_be_visible()
    expect(said(page, "new")).to_be_visible()
    expect(page.get_by_text("Agent is speaking")).to_have_count(0)


def test_from_disk(page: Page, start_hub: Callable[..., Hub], page_uri: str) -> None:
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("http://localhost:5000/**", refuse)
    hub = start_hub(STREAM_HISTORY="memory://")
    page.goto(page_uri)
    expect(page.get_by_label("Server address")).to_have_value("http://localhost:5000")
    expect(page.locator("#pill")).to_contain_text("Retrying")
    assert asked[0] == "http://localhost:5000/api/stream?snapshot=1"
    page.get_by_label("Server address").fill(hub.url)
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.locator("#pill")).to_have_text("Live")
    page.get_by_label("Event text").fill("sent from disk")
    page.get_by_role("button", name="Send event").click()
    expect(said(page, "sent from disk")).to_be_visible()
    expect(page.get_by_role("button", name="Start agent")).to_be_hidden()
    expect(page.get_by_role("link", name="Open the served page")).to_have_attribute("href", f"{hub.url}/")


def test_keys_are_asked_for_and_open_the_viewers_view(page: Page, start_hub: Callable[..., Hub]) -> None:
    keys = {"STREAM_PUBLISH_KEYS": "pub", "STREAM_SUBSCRIBE_KEYS": "sub", "STREAM_OPERATOR_KEYS": "op"}
    hub = start_hub(STREAM_HISTORY="memory://", **keys)
    page.goto(hub.url)
    expect(page.locator("#pill")).to_have_text("Refused")
    expect(page.get_by_text("The server asks for a key")).to_be_visible()

    def enter(key: str) -> None:
        page.get_by_label("Access key").fill(key)
        page.get_by_role("button", name="Connect", exact=True).click()

    enter("wrong")
    expect(page.locator("#pill")).to_have_text("Refused")
    enter("sub")
    expect(page.locator("#pill")).to_have_text("Live")
    secret = {"type": "transcript", "text": "for operators", "audience": "operator"}
    hub.publish([secret, {"type": "transcript", "text": "for all"}], **{"X-API-Key": "pub"})
    expect(said(page, "for all")).to_be_visible()
    assert lines(page) == ["for all"]
    expect(page.get_by_text("needs an operator key")).to_be_visible()
    enter("op")
    expect(page.get_by_text("auto starts rehearsal")).to_be_visible()
    hub.publish([{**secret, "text": "for operators too"}], **{"X-API-Key": "pub"})
    expect(said(page, "for operators too")).to_be_visible()


def test_server_that_shuts_down_says_goodbye(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(STREAM_HISTORY="memory://")
    open_live(page, hub)
    hub.signal()
    expect(page.get_by_role("listbox", name="Event log").get_by_text("goodbye", exact=True)).to_be_visible()
    expect(page.locator("#pill")).to_contain_text("etrying in")
