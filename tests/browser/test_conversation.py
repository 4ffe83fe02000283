"""The transcript and its neighbours: who said what, who speaks now, what the agent's tools did, how long it took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.on_page import conversation, lines, logged, said, say
from tests.kit.wait import allowed

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stub_hub import Opened, StubHub

pytestmark = pytest.mark.page

AGENT = {"room": "r1", "session_id": "S1", "participant": "agent", "role": "agent"}
HOSTILE = (
    "<img src=x onerror=\"window.ran='img'\">",
    "<script>window.ran='script'</script>",
    '"><svg onload="window.ran=1">',
    "<iframe srcdoc=\"<script>parent.ran='frame'</script>\"></iframe>",
    "<a href=\"javascript:window.ran='link'\">press</a>",
    "{{constructor.constructor('window.ran=1')()}}",
    "</p></li><h1>broken out</h1>",
    "&lt;b&gt;not bold&lt;/b&gt;",
)


def test_interim_words_are_replaced_in_place(page: Page, live: Opened) -> None:
    say(live, 1, "What ti", is_final=False, segment_id="s1")
    expect(said(page, "What ti")).to_be_visible()
    expect(conversation(page).get_by_text("speaking…")).to_be_visible()
    say(live, 2, "What time is it", is_final=False, segment_id="s1")
    expect(said(page, "What time is it")).to_be_visible()
    say(live, 3, "What time is it?", is_final=True, segment_id="s1")
    expect(said(page, "What time is it?")).to_be_visible()
    expect(conversation(page).get_by_text("speaking…")).to_be_hidden()
    say(live, 4, "Stale", is_final=False, segment_id="s1")
    say(live, 5, "Next.")
    expect(said(page, "Next.")).to_be_visible()
    assert lines(page) == ["What time is it?", "Next."]


def test_only_final_lines_are_read_out(page: Page, live: Opened) -> None:
    box = conversation(page)
    assert box.get_attribute("aria-live") == "polite"
    say(live, 1, "half", is_final=False, segment_id="s1")
    expect(said(page, "half")).to_be_visible()
    expect(box.get_by_role("listitem")).to_have_count(0)  # there for the eye, not yet for a screen reader
    say(live, 2, "half and half", is_final=True, segment_id="s1")
    expect(box.get_by_role("listitem")).to_have_count(1)


def test_same_segment_name_of_two_people_stays_two_lines(page: Page, live: Opened) -> None:
    say(live, 1, "mine", segment_id="s1", participant="ann", is_final=False)
    say(live, 2, "yours", segment_id="s1", participant="ben", is_final=False)
    say(live, 3, "elsewhere", segment_id="s1", participant="ann", is_final=False, room="r2")
    expect(said(page, "elsewhere")).to_be_visible()
    assert lines(page) == ["mine", "yours", "elsewhere"]


def test_interrupted_answer_shows_what_was_not_said(page: Page, live: Opened) -> None:
    live.event(
        "e-1", "transcript", text="The pool opens at seven and", is_final=False, segment_id="a", **AGENT
    )
    live.event("e-2", "interruption", **AGENT)
    box = conversation(page)
    expect(box.get_by_text("Interrupted", exact=True)).to_be_visible()
    live.event(
        "e-3", "transcript", text="The pool opens", is_final=True, interrupted=True, segment_id="a", **AGENT
    )
    expect(box.locator("s")).to_contain_text("at seven and")
    expect(box.get_by_text("Interrupted", exact=True)).to_be_visible()
    assert lines(page)[0].startswith("The pool opens ")


def test_guides_own_events_are_shown(page: Page, live: Opened) -> None:
    live.event(
        "e-1",
        "transcript",
        text="Plain words",
        participant="voice_assistant_user_1234",
        timestamp=1695123456.789,
    )
    live.event("e-2", "agent_speech_started")
    expect(said(page, "Plain words")).to_be_visible()
    expect(page.get_by_text("Agent is speaking")).to_be_visible()
    live.event("e-3", "agent_speech_finished")
    expect(page.get_by_text("Agent is speaking")).to_be_hidden()
    live.event("e-4", "agent_ready", message="Voice agent is ready and listening")
    expect(conversation(page).get_by_text("Voice agent is ready and listening")).to_be_visible()


def test_html_is_text_everywhere(page: Page, live: Opened) -> None:
    numbers = iter(range(1, 1000))
    for text in HOSTILE:
        fields = {
            "room": text,
            "participant": text,
            "role": text,
            "session_id": text,
            "segment_id": text,
            "turn_id": text,
        }
        live.event(f"e-{next(numbers)}", "transcript", text=text, **fields)
        live.event(f"e-{next(numbers)}", "user_speech_started", **fields)
        live.event(f"e-{next(numbers)}", "error", source=text, message=text, room=text)
        tool = {
            "call_id": text,
            "name": text,
            "arguments": text,
            "message": text,
            "output": text,
            "status": text,
        }
        live.event(f"e-{next(numbers)}", "tool_call_finished", room=text, **tool)
        live.event(f"e-{next(numbers)}", "turn_metrics", e2e_latency=1.0, room=text, turn_id=text)
        live.event(f"e-{next(numbers)}", "session_ended", reason=text, room=text, session_id=text)
        live.event(f"e-{next(numbers)}", text, text=text)
    live.control("stream_reset", reason=HOSTILE[0], requested=HOSTILE[0], oldest=HOSTILE[0], missed=None)
    say(live, 999, "the end", room="last")
    expect(said(page, "the end")).to_be_visible()
    assert [text for text in lines(page) if text in HOSTILE] == list(HOSTILE)
    logged(page, "broken out").first.click()
    expect(page.get_by_role("region", name="Selected event")).to_contain_text("broken out")
    assert page.evaluate("window.ran") is None
    assert (
        page.locator("main :is(img, iframe, svg[onload], h1, b[onclick], a[href^=javascript])").count() == 0
    )


def test_all_rooms_show_until_one_is_chosen(page: Page, live: Opened) -> None:
    say(live, 1, "in the first", room="first", session_id="S1")
    say(live, 2, "in the second", room="second", session_id="S2")
    say(live, 3, "second, later", room="second", session_id="S3")
    expect(said(page, "second, later")).to_be_visible()
    assert lines(page) == ["in the first", "in the second", "second, later"]
    page.get_by_label("Room", exact=True).select_option(label="second")
    expect(said(page, "in the first")).to_have_count(0)
    expect(logged(page, "in the first")).to_have_count(0)
    assert lines(page) == ["in the second", "second, later"]
    page.get_by_label("Session").select_option("sS3")
    expect(said(page, "in the second")).to_have_count(0)
    say(live, 4, "not shown", room="first")
    say(live, 5, "shown", room="second", session_id="S3")
    expect(said(page, "shown")).to_be_visible()
    assert lines(page) == ["second, later", "shown"]
    page.get_by_label("Room", exact=True).select_option(label="All rooms")
    expect(said(page, "not shown")).to_be_visible()
    assert lines(page) == ["in the first", "in the second", "second, later", "not shown", "shown"]


def test_page_that_comes_later_shows_many_rooms_in_order_of_time(page: Page, stub: StubHub) -> None:
    page.goto(stub.url)
    stream = stub.next_stream()
    stream.connected()
    rooms = [
        {
            "room": f"room {number}",
            "last_seq": number,
            "agent_state": "speaking",
            "transcript": [
                {"text": f"{word} {number}", "timestamp": 1_700_000_000 + after + number, "segment_id": word}
                for word, after in (("early", 0), ("late", 1000))
            ],
        }
        for number in range(250, 0, -1)  # as the server sends them: newest first
    ]
    stream.control("snapshot", rooms=rooms)
    expect(said(page, "late 250")).to_be_in_viewport()
    shown = lines(page)
    assert shown[-200:] == [f"late {number}" for number in range(51, 251)]
    assert shown[:-200] == [f"early {number}" for number in range(151, 251)]
    now = page.get_by_role("list", name="Who is doing what now").get_by_role("listitem")
    expect(now.first).to_contain_text("room 250")
    expect(now.last).to_have_text("and 194 other rooms")


def test_timeline_names_the_room_where_there_are_many(page: Page, live: Opened) -> None:
    live.event("e-1", "agent_state", state="speaking", **AGENT)
    expect(page.locator(".lane .name")).to_have_text("Agent")
    live.event("e-2", "agent_state", state="speaking", **{**AGENT, "room": "r2", "participant": "clara"})
    expect(page.locator(".lane .name")).to_have_text(["r1 · agent", "r2 · clara"])


def test_states_say_who_does_what(page: Page, live: Opened) -> None:
    now = page.get_by_role("list", name="Who is doing what now")
    for number, (event_type, fields, text) in enumerate(
        [
            ("agent_state", {"state": "thinking", **AGENT}, "Agent is thinking"),
            ("agent_state", {"state": "speaking", **AGENT}, "Agent is speaking"),
            (
                "user_speech_started",
                {"room": "r1", "participant": "ann", "role": "user"},
                "Agent and User ann are speaking",
            ),
            ("agent_state", {"state": "listening", **AGENT}, "User ann is speaking"),
            (
                "user_speech_finished",
                {"room": "r1", "participant": "ann", "role": "user"},
                "Agent is listening",
            ),
            (
                "session_ended",
                {"room": "r1", "session_id": "S1", "reason": "all_done"},
                "The conversation is over",
            ),
        ],
        start=1,
    ):
        live.event(f"e-{number}", event_type, **fields)
        expect(now).to_contain_text(text)
    expect(conversation(page).get_by_text("Session ended: all done")).to_be_visible()
    expect(page.get_by_role("img", name="Agent, last minute")).to_be_visible()


def test_tools_show_arguments_status_and_duration(page: Page, live: Opened) -> None:
    call = {"call_id": "c1", "room": "r1", "session_id": "S1"}
    live.event("e-1", "tool_call_started", name="weather", arguments={"city": "Graz"}, **call)
    card = page.get_by_role("list", name="Tool calls").get_by_role("listitem")
    expect(card).to_contain_text("running")
    expect(card).to_contain_text('"city": "Graz"')
    live.event("e-2", "tool_call_finished", status="done", output="sunny", duration=0.423, **call)
    for text in ("weather", "done", "sunny", "423 ms"):
        expect(card).to_contain_text(text)


def test_latency_of_turns(page: Page, live: Opened) -> None:
    for number, e2e in enumerate((0.5, 0.7, 2.0), start=1):
        turn = {"room": "r1", "session_id": "S1", "turn_id": f"t{number}"}
        live.event(f"e-{2 * number}", "turn_metrics", transcription_delay=0.1, end_of_turn_delay=0.3, **turn)
        live.event(
            f"e-{2 * number + 1}",
            "turn_metrics",
            llm_node_ttft=0.1,
            tts_node_ttfb=0.1,
            e2e_latency=e2e,
            **turn,
        )
    row = page.get_by_role("row", name="End to end")
    expect(row.get_by_role("cell")).to_have_text(["700 ms", "2.00 s", "3"])
    expect(page.get_by_role("row", name="End of turn").get_by_role("cell").first).to_have_text("200 ms")
    expect(page.get_by_role("list", name="Turns").get_by_role("listitem")).to_have_count(3)


def test_a_reader_who_scrolled_up_is_not_moved(page: Page, live: Opened) -> None:
    for number in range(1, 61):
        say(live, number, f"line {number}")
    expect(said(page, "line 60")).to_be_visible()
    box = conversation(page)
    assert box.evaluate("b => b.scrollHeight - b.scrollTop - b.clientHeight") < 5
    box.evaluate("b => { b.scrollTop = 100; }")
    jump = page.get_by_role("button", name="Jump to the latest")
    expect(jump).to_be_visible()
    say(live, 61, "line 61")
    expect(jump).to_have_text("Jump to the latest (1 new)")
    assert box.evaluate("b => b.scrollTop") == 100
    jump.click()
    expect(jump).to_be_hidden()
    expect(said(page, "line 61")).to_be_in_viewport()


def test_newest_line_stays_in_view_when_the_window_changes(page: Page, live: Opened) -> None:
    for number in range(1, 61):
        say(live, number, f"line {number}")
    expect(said(page, "line 60")).to_be_visible()
    for height in (700, 1000, 620):
        page.set_viewport_size({"width": 1200, "height": height})
        page.wait_for_function(
            "() => { const b = document.getElementById('conversation');"
            " return b.scrollHeight - b.scrollTop - b.clientHeight < 5; }"
        )
    expect(page.get_by_role("button", name="Jump to the latest")).to_be_hidden()


def test_transcript_and_log_stay_bounded_under_a_flood(page: Page, live: Opened) -> None:
    started = time.monotonic()
    for number in range(1, 3001):
        say(live, number, f"flood {number}", room=f"room {number % 150}", participant=f"p{number}")
    expect(said(page, "flood 3000")).to_be_visible()
    took = time.monotonic() - started
    expect(logged(page, "flood 3000")).to_be_visible()
    assert conversation(page).locator("li").count() == 300
    assert page.get_by_role("listbox", name="Event log").locator("li").count() == 500
    assert page.get_by_label("Room", exact=True).locator("option").count() <= 151
    assert page.evaluate("document.querySelectorAll('*').length") < 8000
    assert took < allowed(12), f"3,000 events took {took:.1f} s"
