"""The connection: what the page does when the stream is silent, ends, repeats itself, resets or needs a ticket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.on_page import conversation, lines, logged, said, say
from tests.browser.stub_hub import StubHub

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stub_hub import Opened

pytestmark = pytest.mark.page


def test_first_connect_asks_for_the_state_of_the_rooms(page: Page, stub: StubHub) -> None:
    page.goto(stub.url)
    stream = stub.next_stream()
    assert stream.query == {"snapshot": "1"}
    stream.connected(cursor="e-41", heartbeat=7)
    past = {
        "text": "Before you came",
        "role": "user",
        "participant": "ann",
        "is_final": True,
        "segment_id": "s1",
    }
    stream.control(
        "snapshot",
        rooms=[
            {"room": "hall", "agent_state": "thinking", "speaking": [], "transcript": [past], "sessions": []}
        ],
    )
    expect(said(page, "Before you came")).to_be_visible()
    expect(page.get_by_text("Agent is thinking")).to_be_visible()
    expect(page.locator("#cursor")).to_have_text("e-41")
    expect(page.get_by_text(re.compile(r"Heartbeat \d+ s ago"))).to_be_visible()
    expect(page.get_by_text("every 7 s")).to_be_visible()


def test_page_says_that_it_is_connecting_until_it_knows(page: Page, stub: StubHub) -> None:
    ready: list[bool] = []
    busy = {"status": 503, "content_type": "application/problem+json", "body": '{"title":"Unavailable"}'}
    page.route("**/api/agent/status", lambda route: route.continue_() if ready else route.fulfill(**busy))
    page.goto(stub.url)
    stream = stub.next_stream()
    expect(conversation(page)).to_contain_text("Connecting to the server")
    with page.expect_response("**/api/agent/status"):
        stream.connected()
    expect(page.locator("#pill")).to_have_text("Live")
    expect(conversation(page)).to_contain_text("Connecting to the server")
    expect(page.get_by_text("Nobody is speaking")).to_have_count(0)
    stream.control("snapshot", rooms=[])
    expect(conversation(page)).to_contain_text("Nothing has been said yet")
    expect(page.get_by_text("Nobody is speaking")).to_be_visible()
    agent = page.get_by_role("region", name="Agent", exact=True)
    start = page.get_by_role("button", name="Start agent")
    expect(agent).to_contain_text("connecting")
    expect(start).to_be_disabled()
    ready.append(True)  # the page asks again by itself
    expect(agent).to_contain_text("stopped")
    expect(start).to_be_enabled()


def test_snapshot_shows_who_is_speaking(page: Page, stub: StubHub) -> None:
    page.goto(stub.url)
    stream = stub.next_stream()
    stream.connected()
    people = [{"identity": "ann", "role": "user"}]
    stream.control(
        "snapshot",
        rooms=[{"room": "hall", "participants": people, "speaking": ["ann"], "agent_state": "listening"}],
    )
    expect(page.get_by_text("User ann is speaking")).to_be_visible()


def test_silence_makes_it_reconnect_where_it_was(page: Page, stub: StubHub) -> None:
    page.goto(stub.url)
    first = stub.next_stream()
    first.connected(heartbeat=0.4)
    first.control("snapshot", rooms=[])
    say(first, 1, "before")
    expect(said(page, "before")).to_be_visible()
    second = stub.next_stream()  # the first one was not closed: the page itself abandoned it
    assert second.query == {"last_event_id": "e-1"}
    second.connected(cursor="e-1")
    say(second, 2, "after")
    expect(said(page, "after")).to_be_visible()
    assert lines(page) == ["before", "after"]


def test_heartbeats_keep_it_alive_and_move_its_place(page: Page, stub: StubHub) -> None:
    page.goto(stub.url)
    stream = stub.next_stream()
    stream.connected(heartbeat=30)
    stream.control("snapshot", rooms=[])
    stream.control("heartbeat", event_id="e-9", timestamp=1.0)
    expect(page.locator("#cursor")).to_have_text("e-9")
    stream.close()
    assert stub.next_stream().query["last_event_id"] == "e-9"


def test_repeated_events_show_once(page: Page, stub: StubHub, live: Opened) -> None:
    say(live, 1, "one")
    say(live, 2, "two")
    expect(said(page, "two")).to_be_visible()
    live.close()
    again = stub.next_stream()
    assert again.query["last_event_id"] == "e-2"
    again.connected(cursor="e-2")
    for number, text in ((1, "one"), (2, "two"), (3, "three")):
        say(again, number, text)
    expect(said(page, "three")).to_be_visible()
    assert lines(page) == ["one", "two", "three"]
    assert logged(page, "two").count() == 1


def test_gap_is_reported_with_its_count(page: Page, stub: StubHub, live: Opened) -> None:
    say(live, 1, "before the gap")
    live.event("e-2", "agent_speech_started", room="r1", participant="agent")
    expect(page.get_by_text("Agent is speaking")).to_be_visible()
    live.close()
    again = stub.next_stream()
    again.connected(cursor="f-6")
    again.control("stream_reset", reason="expired", requested="e-2", oldest="f-7", missed=4)
    again.event("f-7", "transcript", text="after the gap", room="r1", participant="u")
    expect(conversation(page).get_by_text("Gap: 4 events were missed (expired)")).to_be_visible()
    expect(page.get_by_text("Live, after a gap")).to_be_visible()
    expect(said(page, "after the gap")).to_be_visible()
    expect(page.get_by_text("Agent is speaking")).to_have_count(0)
    again.close()
    assert stub.next_stream().query["last_event_id"] == "f-7"


def test_gap_of_unknown_size_says_so(page: Page, live: Opened) -> None:
    live.control("stream_reset", reason="foreign", requested="x-1", oldest=None, missed=None)
    expect(
        conversation(page).get_by_text("Gap: an unknown number of events was missed (foreign)")
    ).to_be_visible()


def test_goodbye_waits_as_long_as_the_server_says(page: Page, stub: StubHub, live: Opened) -> None:
    live.control("goodbye", reason="draining", retry_ms=600_000)
    live.close()
    pill = page.locator("#pill")
    expect(pill).to_have_text(re.compile(r"Draining, retrying in (600|59\d) s"))
    expect(page.get_by_text("The server is shutting down.")).to_be_visible()
    page.get_by_role("button", name="Reconnect now").click()
    stub.next_stream().connected()
    expect(pill).to_have_text(re.compile("Live"))


def test_server_that_is_gone_shows_a_countdown(page: Page, stub: StubHub, live: Opened) -> None:
    stub.__exit__()
    expect(page.locator("#pill")).to_have_text(re.compile(r"Retrying in \d+ s"))
    with StubHub(stub.port) as back:
        stream = back.next_stream(20)
        stream.connected()
        expect(page.locator("#pill")).to_have_text(re.compile("Live"))
        stream.close()


def test_agent_that_fails_says_that_it_comes_back_and_then_how_often_it_did(page: Page, live: Opened) -> None:
    status = {"state": "failed", "pid": None, "mode": "rehearsal", "last_error": "ended by SIGKILL"}
    page.route("**/api/agent/status", lambda route: route.fulfill(json=status))
    agent = page.get_by_role("region", name="Agent")
    with page.expect_response("**/api/agent/status"):
        live.event("e-1", "agent_process", state="failed", reason="ended by SIGKILL", restart_in=30.0)
    expect(agent.get_by_text("ended by SIGKILL. It is started again by itself.")).to_be_visible()
    status |= {"state": "running", "pid": 7, "restarts": 1, "why": "Requested."}
    with page.expect_response("**/api/agent/status"):
        live.event("e-2", "agent_process", state="running", pid=7)
    expect(agent.get_by_text("mode rehearsal · pid 7 · restarts 1")).to_be_visible()
    expect(agent.get_by_text("In rehearsal mode: Requested.")).to_be_visible()
    expect(agent.get_by_text("SIGKILL")).to_have_count(0)


def test_refused_stream_says_why(page: Page, stub: StubHub) -> None:
    stub.stream_status = 401
    page.goto(stub.url)
    expect(page.locator("#pill")).to_have_text("Refused")
    expect(page.get_by_text("The server asks for a key")).to_be_visible()
    expect(conversation(page)).to_contain_text("Not connected yet")
    expect(page.get_by_role("region", name="Agent", exact=True)).to_contain_text("unknown")
    page.get_by_role("button", name="Enter a key").click()
    expect(page.get_by_label("Access key")).to_be_focused()
    expect(page.get_by_label("Access key")).to_be_in_viewport()


def test_key_opens_the_stream_with_tickets(page: Page, stub: StubHub, live: Opened) -> None:
    say(live, 1, "before")
    expect(said(page, "before")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("Access key").fill("sekret-key")
    page.get_by_role("button", name="Connect", exact=True).click()
    first = stub.next_stream()
    assert first.query == {"last_event_id": "e-1", "ticket": "ticket-1"}
    path, headers, _body = stub.posted.get(timeout=10)
    assert (path, headers["authorization"]) == ("/api/stream/ticket", "Bearer sekret-key")
    first.connected(cursor="e-1")
    say(first, 2, "by ticket")
    expect(said(page, "by ticket")).to_be_visible()
    first.close()
    second = stub.next_stream()
    assert second.query == {"last_event_id": "e-2", "ticket": "ticket-2"}
    assert asked
    assert not any("sekret" in url for url in asked)
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_ticket_is_renewed_before_it_expires(page: Page, stub: StubHub, live: Opened) -> None:
    stub.ticket_seconds = 1.5
    page.get_by_label("Access key").fill("k")
    page.get_by_role("button", name="Connect", exact=True).click()
    first = stub.next_stream()
    first.connected(cursor="e-0")
    assert first.query["ticket"] == "ticket-1"
    assert stub.next_stream().query["ticket"] == "ticket-2"  # the first stream is still open


def test_expired_ticket_is_replaced(page: Page, stub: StubHub, live: Opened) -> None:
    page.get_by_label("Access key").fill("k")
    page.get_by_role("button", name="Connect", exact=True).click()
    first = stub.next_stream()
    first.connected(cursor="e-0")
    first.control("goodbye", reason="ticket_expired", retry_ms=600_000)
    assert stub.next_stream().query == {"last_event_id": "e-0", "ticket": "ticket-2"}


def test_full_server_is_asked_again_when_it_said(page: Page, live: Opened) -> None:
    live.control("goodbye", reason="too_many_clients", retry_ms=60_000)
    expect(page.locator("#pill")).to_have_text(re.compile(r"Retrying in (60|5\d) s"))
    expect(page.get_by_text("as many clients as it takes")).to_be_visible()


def test_key_does_not_follow_to_another_server(
    page: Page, stub: StubHub, live: Opened, page_uri: str
) -> None:
    with StubHub() as other:
        page.goto(page_uri)
        page.get_by_label("Server address").fill(stub.url)
        page.get_by_role("button", name="Connect", exact=True).click()
        stub.next_stream().connected()
        page.get_by_label("Access key").fill("sekret-key")
        page.get_by_role("button", name="Connect", exact=True).click()
        stub.next_stream()
        page.get_by_label("Server address").fill(other.url)
        page.get_by_role("button", name="Connect", exact=True).click()
        assert "ticket" not in other.next_stream().query
        assert other.posted.empty()
        assert page.get_by_label("Access key").input_value() == ""


def test_unreadable_data_is_shown_and_harms_nothing(page: Page, live: Opened) -> None:
    live.frames.put("id: e-1\ndata: {not json\n\n")
    live.frames.put("id: e-2\ndata: [1]\n\n")
    live.event("e-3", "snapshot_like", rooms="nonsense")
    live.event("e-4", "constructor", room="__proto__", text={"a": 1})
    live.event("e-5", "transcript", text=None, room="__proto__", participant="u")
    say(live, 6, "still here")
    expect(said(page, "still here")).to_be_visible()
    expect(logged(page, "not json")).to_have_count(1)
