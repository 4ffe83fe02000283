"""The page of one session: live, archived, and from a file; its clock, its tables, its downloads."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.console import axe
from tests.browser.console.calls import call
from tests.browser.console.on_console import KEYS, connection, enter_key, post, table
from tests.browser.console.on_session import (
    archived,
    at_clock,
    is_in_sight,
    lines,
    moment,
    open_page,
    position,
    transcript,
)
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page
NONE = "\N{EN DASH}"
FIGURES = [
    "duration",
    "turns",
    "heard_latency",
    "latency",
    "first_response",
    "user_talk",
    "agent_talk",
    "overlap",
    "silence",
    "user_words",
    "agent_words",
    "interruptions",
    "false_interruptions",
    "tool_calls",
    "tool_failures",
    "errors",
]


def figures(page: Page) -> dict[str, str]:
    rows = table(page, "Figures").get_by_role("row").all()[1:]
    return {
        row.get_by_role("rowheader").inner_text(): row.get_by_role("cell").first.inner_text() for row in rows
    }


@pytest.fixture
def hub(start_hub: Callable[..., Hub]) -> Hub:
    return start_hub()


@pytest.fixture
def ended(hub: Hub) -> dict[str, Any]:
    """A session that has ended, as the API returns it."""
    hub.publish(call())
    return archived(hub, "d74c")


def test_an_archived_session_is_shown_as_the_api_returns_it(
    page: Page, hub: Hub, ended: dict[str, Any]
) -> None:
    open_page(page, hub)
    expect(page.get_by_role("heading", name="support-7")).to_be_visible()
    expect(lines(page)).to_have_count(len(ended["transcript"]))
    for shown, said in zip(lines(page).all(), ended["transcript"], strict=True):
        expect(shown).to_contain_text(said["text"])
    assert list(figures(page)) == FIGURES
    assert figures(page)["turns"] == str(ended["session"]["turns"])
    assert figures(page)["user_words"] == str(ended["session"]["user_words"])
    assert figures(page)["user_talk"] == f"{ended['session']['user_talk']:.2f} s"
    assert f"p95 {ended['session']['heard_latency']['p95']:.2f} s" in figures(page)["heard_latency"]
    formula = table(page, "Figures").get_by_role("row").filter(has_text="overlap").get_by_role("cell").nth(1)
    expect(formula).to_have_text("Time in which both speak.")


def test_turns_have_their_stages_and_a_waterfall(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    open_page(page, hub)
    headers = table(page, "Turns").get_by_role("columnheader").all_inner_texts()
    stages = ["Transcription", "End of turn", "LLM", "TTS", "Playback", "Heard", "End to end"]
    assert headers == ["Turn", "Waterfall", *stages]
    row = table(page, "Turns").get_by_role("row").nth(2)
    turn = ended["turns"][1]
    fields = [
        "transcription_delay",
        "end_of_turn_delay",
        "llm_node_ttft",
        "tts_node_ttfb",
        "playback_latency",
    ]
    expected = [f"{turn[field]:.2f} s" for field in [*fields, "heard_latency", "e2e_latency"]]
    assert row.get_by_role("cell").all_inner_texts()[1:] == expected
    # Transcription, the rest of the end of turn, LLM, TTS and playback, one after the other.
    bars = row.locator("rect[class^=stage]")
    boxes = [bar.bounding_box() or {} for bar in bars.all()]
    assert len(boxes) == 5
    assert [box["x"] for box in boxes] == sorted(box["x"] for box in boxes)
    assert boxes[1]["x"] == pytest.approx(boxes[0]["x"] + boxes[0]["width"], abs=1)


def test_tools_errors_and_usage_are_reported(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    assert ended["tools"]
    open_page(page, hub)
    tool = table(page, "Tools").get_by_role("row").nth(1)
    for text in ("find_parking", '"cars":2', "timeout", "error", "0.20 s"):
        expect(tool).to_contain_text(text)
    expect(table(page, "Errors").get_by_role("row").nth(1)).to_contain_text("the model is overloaded")
    expect(table(page, "Usage").get_by_role("row").nth(1)).to_contain_text("gpt-4.1-mini")


def test_lanes_are_drawn_in_the_voices_colours(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    assert ended["session"]["user_talk"]
    open_page(page, hub)
    drawn = """canvas => {
        const context = canvas.getContext('2d');
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4) seen.add(data.slice(at, at + 3).join(','));
        const colour = name => {
            const probe = Object.assign(document.createElement('i'), { hidden: true });
            document.body.append(probe);
            probe.style.color = `var(--${name})`;
            const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g);
            probe.remove();
            return `${r},${g},${b}`;
        };
        return ['user', 'agent', 'warn', 'bad', 'stage-1', 'stage-3'].filter(name => !seen.has(colour(name)));
    }"""
    lanes = page.get_by_role("img", name="Lanes")
    assert lanes.evaluate(drawn) == []


def test_a_click_on_the_lanes_goes_there(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    open_page(page, hub)
    lanes = page.get_by_role("img", name="Lanes")
    box = lanes.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 40)
    page.mouse.down()
    assert position(page) == pytest.approx(ended["session"]["duration"] / 4, abs=0.5)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.up()
    assert position(page) == pytest.approx(ended["session"]["duration"] / 2, abs=0.5)


def test_the_slider_the_transcript_and_the_address_are_one_clock(
    page: Page, hub: Hub, ended: dict[str, Any]
) -> None:
    assert ended["session"]["duration"] == 45
    open_page(page, hub)
    expect(at_clock(page)).to_have_count(0)
    page.get_by_role("slider", name="Position").fill("18")
    expect(at_clock(page)).to_contain_text("Yes, there is a car park")
    expect(transcript(page).locator("[data-later]")).to_have_count(4)
    expect(transcript(page).locator("[data-later]").first).to_contain_text("Can I move my appointment")
    expect(page).to_have_url(f"{hub.url}/console/sessions/d74c#t=18")
    expect(table(page, "Turns").locator("tr[aria-current]")).to_contain_text("0:14")
    page.get_by_role("link", name="0:24").first.click()
    expect(at_clock(page)).to_contain_text("Can")
    assert position(page) == 24


def test_a_line_says_what_had_been_understood_by_then(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    assert ended["transcript"]
    open_page(page, hub, "d74c#t=14.7")
    expect(at_clock(page).locator(".said")).to_have_text("Is there")
    page.get_by_role("slider", name="Position").fill("17")
    expect(lines(page).filter(has_text="Is there").locator(".said")).to_have_text(
        "Is there parking for two cars?"
    )


def test_an_address_leads_to_its_moment(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    assert ended["session"]["duration"] == 45
    open_page(page, hub, "d74c#t=26.4")
    assert position(page) == 26.4
    expect(page.get_by_text("0:26.4", exact=True)).to_be_visible()
    expect(at_clock(page)).to_contain_text("Can I move")
    page.evaluate("location.hash = '#t=3'")
    expect(page.get_by_text("0:03.0", exact=True)).to_be_visible()


def test_it_plays_at_its_speed_and_stops(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    assert ended["session"]["duration"] == 45
    open_page(page, hub)
    page.get_by_role("combobox", name="Speed").select_option("16")
    page.get_by_role("button", name="Play").click()
    first, began = moment(page)
    until(lambda: position(page) > first + 16)
    last, ended_at = moment(page)
    assert 8 < (last - first) / (ended_at - began) < 32
    page.get_by_role("button", name="Pause").click()
    paused = position(page)
    expect(page).to_have_url(f"{hub.url}/console/sessions/d74c#t={round(paused, 1):g}")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert position(page) == 45
    expect(page).to_have_url(f"{hub.url}/console/sessions/d74c#t=45")


def test_everything_works_by_keyboard(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    assert ended["session"]["duration"] == 45
    open_page(page, hub)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert position(page) == 10
    page.keyboard.press("Shift+ArrowLeft")
    assert position(page) == 9
    slider = page.get_by_role("slider", name="Position")
    slider.focus()
    page.keyboard.press("PageUp")
    assert position(page) == 39
    page.keyboard.press("PageDown")
    assert position(page) == 9
    page.keyboard.press("Home")
    assert position(page) == 0
    page.keyboard.press("]")
    page.keyboard.press("]")
    assert position(page) == 4
    expect(at_clock(page)).to_contain_text("What")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    # A single character acts only where the clock is.
    page.get_by_role("heading", name="support-7").click()
    before = position(page)
    page.keyboard.press("]")
    assert position(page) == before


def test_a_live_session_is_reported_as_it_happens(page: Page, hub: Hub) -> None:
    user = {"session_id": "s", "room": "r", "role": "user", "participant": "alice", "turn_id": "t1"}
    post(
        hub,
        {"type": "session_started", "session_id": "s", "room": "r"},
        {"type": "user_speech_started", **user},
    )
    said = {"type": "transcript", "segment_id": "u1", **user}
    post(hub, {**said, "text": "What time", "is_final": False})
    open_page(page, hub, "s?room=r")
    expect(connection(page)).to_have_text("Live")
    # Opened in the middle of an utterance.
    expect(at_clock(page)).to_contain_text("What time")
    expect(lines(page)).to_have_count(1)
    post(hub, {**said, "text": "What time is it", "is_final": False})
    expect(at_clock(page).locator(".said")).to_have_text("What time is it")
    post(
        hub,
        {**said, "text": "What time is it in Paris?", "is_final": True},
        {"type": "user_speech_finished", **user},
    )
    expect(lines(page)).to_have_count(1)
    expect(at_clock(page).locator(".said")).to_have_text("What time is it in Paris?")
    expect(table(page, "Figures").get_by_role("row").filter(has_text="user_words")).to_contain_text("6")
    # Its clock runs while nothing happens.
    shown = position(page)
    until(lambda: position(page) > shown + 1)
    page.get_by_role("button", name="Pause").click()
    paused = position(page)
    post(hub, {"type": "error", "session_id": "s", "room": "r", "source": "llm", "message": "no model"})
    expect(table(page, "Errors")).to_contain_text("no model")
    assert position(page) == paused
    page.get_by_role("button", name="Follow").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    post(hub, {"type": "session_ended", "session_id": "s", "room": "r", "reason": "task_completed"})
    expect(page.get_by_text("Ended: task_completed")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_nothing_is_lost_between_the_archive_and_the_stream(page: Page, hub: Hub) -> None:
    said = {"type": "transcript", "session_id": "s", "room": "r", "role": "user"}
    post(hub, {"type": "session_started", "session_id": "s", "room": "r"}, {**said, "text": "One."})
    archived(hub, "s", ended=False)

    def delay(route: Route) -> None:
        post(hub, {**said, "text": "Two."})
        route.continue_()

    page.route("**/api/stream*", delay, times=1)
    open_page(page, hub, "s")
    expect(lines(page)).to_have_count(2)
    expect(lines(page).last).to_contain_text("Two.")


def test_a_stream_that_is_refused_is_reported(page: Page, hub: Hub) -> None:
    post(hub, {"type": "session_started", "session_id": "s", "room": "r"})
    problem = {"title": "Bad Request", "status": 400, "detail": "That was not expected."}
    headers = {"Content-Type": "application/problem+json"}
    page.route(
        "**/api/stream*", lambda route: route.fulfill(status=400, headers=headers, body=json.dumps(problem))
    )
    open_page(page, hub, "s?room=r")
    expect(page.get_by_role("alert")).to_have_text("That was not expected.")


def test_a_live_session_without_an_archive_is_shown_from_the_history(
    page: Page, start_hub: Callable[..., Hub]
) -> None:
    hub = start_hub(STREAM_HISTORY="memory://")
    hub.publish(call("s", "r", turns=1, start=time.time() - 20, ended=False))
    open_page(page, hub, "s?room=r")
    expect(lines(page)).to_have_count(3)
    post(hub, {"type": "transcript", "text": "Thanks!", "session_id": "s", "room": "r", "role": "user"})
    expect(lines(page).last).to_contain_text("Thanks!")


def test_a_file_is_shown_without_any_request(
    page: Page, hub: Hub, ended: dict[str, Any], tmp_path: Path
) -> None:
    text = requests.get(f"{hub.url}/api/sessions/d74c/events", timeout=10).content
    recording = tmp_path / "call.ndjson"
    recording.write_bytes(text)
    page.goto(f"{hub.url}/console/sessions/no-such-session")
    expect(page.get_by_role("alert")).to_contain_text("no-such-session")
    asked: list[str] = []
    page.route("**/*", lambda route: (asked.append(route.request.url), route.abort()))
    page.get_by_label("Open recording").set_input_files(recording)
    expect(page.get_by_role("heading", name="support-7")).to_be_visible()
    expect(lines(page)).to_have_count(len(ended["transcript"]))
    assert figures(page)["agent_talk"] == f"{ended['session']['agent_talk']:.2f} s"
    assert f"p99 {ended['session']['latency']['p99']:.2f} s" in figures(page)["latency"]
    assert figures(page)["tool_failures"] == "1"
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("group", name="Export")).to_be_hidden()
    page.get_by_role("slider", name="Position").fill("18")
    expect(at_clock(page)).to_contain_text("car park")
    assert asked == []


def drop(page: Page, name: str, text: str) -> None:
    """Drop a file onto the page as a browser does."""
    script = """([name, text]) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([text], name));
        const does = type => document.body.dispatchEvent(
            new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }));
        return ['dragenter', 'dragover', 'drop'].filter(does);
    }"""
    # What the page does not prevent makes a browser leave the page and show the file.
    assert page.evaluate(script, [name, text]) == ["dragenter"]


def test_a_file_may_be_dropped_onto_a_live_session(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    assert ended
    text = requests.get(f"{hub.url}/api/sessions/d74c/events", timeout=10).text
    hub.publish(call("other", "elsewhere", turns=1, start=time.time() - 20, ended=False))
    open_page(page, hub, "other?room=elsewhere")
    expect(connection(page)).to_have_text("Live")
    drop(page, "call.ndjson", text)
    expect(page.get_by_role("heading", name="support-7")).to_be_visible()
    expect(page.get_by_role("status", name="Notice")).to_contain_text("call.ndjson")
    expect(page.get_by_role("group", name="Export")).to_be_hidden()
    until(lambda: requests.get(f"{hub.url}/api/health", timeout=10).json()["clients"] == 0)
    post(
        hub,
        {
            "type": "transcript",
            "text": "Not here.",
            "session_id": "other",
            "room": "elsewhere",
            "role": "user",
        },
    )
    drop(page, "notes.txt", "Some notes.")
    expect(page.get_by_role("alert")).to_contain_text("notes.txt is not a recording. Line 1 is not JSON")
    expect(lines(page)).to_have_count(9)
    expect(page.get_by_role("heading", name="support-7")).to_be_visible()


def test_a_file_with_several_sessions_lets_the_reader_choose(
    page: Page, hub: Hub, ended: dict[str, Any]
) -> None:
    assert ended
    text = requests.get(f"{hub.url}/api/sessions/d74c/events", timeout=10).text
    open_page(page, hub)
    drop(page, "calls.ndjson", text + text.replace('"d74c"', '"other"').replace('"support-7"', '"elsewhere"'))
    page.get_by_role("button", name="elsewhere · other").click()
    expect(page.get_by_role("heading", name="elsewhere")).to_be_visible()
    expect(lines(page)).to_have_count(9)


def test_every_format_is_downloaded_with_the_key(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**KEYS)
    hub.publish(call("a/b", "r"), Authorization="Bearer publish-key")
    archived(hub, "a%2Fb", key="operator-key")
    page.goto(f"{hub.url}/console/sessions/a%2Fb")
    enter_key(page, "operator-key")
    export = page.get_by_role("group", name="Export")
    first = {"json": "{", "vtt": "WEBVTT", "srt": "1", "md": "#", "txt": "", "csv": "", "ndjson": "{"}
    for name, begins in first.items():
        with page.expect_download() as download:
            export.get_by_role("button", name=name.upper(), exact=True).click()
        assert download.value.suggested_filename.endswith(f".{name}")
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert text.startswith(begins)
        assert "car park" in text
        assert "operator-key" not in download.value.url


def test_several_rooms_of_one_id_are_a_choice(page: Page, hub: Hub) -> None:
    for room in ("here", "there & elsewhere", None):
        hub.publish(call("same", room, turns=1))
    for room in ("here", "there %26 elsewhere", ""):
        archived(hub, f"same?room={room}")
    page.goto(f"{hub.url}/console/sessions/same")
    expect(page.get_by_role("list", name="Sessions in several rooms").get_by_role("listitem")).to_have_count(
        3
    )
    page.get_by_role("link", name="there & elsewhere").click()
    expect(page.get_by_role("heading", name="there & elsewhere")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="No room").click()
    expect(page.get_by_role("heading", name="No room")).to_be_visible()
    expect(lines(page)).to_have_count(3)


def test_a_session_that_takes_long_to_arrive_is_loading(page: Page, hub: Hub, ended: dict[str, Any]) -> None:
    held: list[Route] = []
    is_slow = True

    def hold(route: Route) -> None:
        if is_slow:
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/sessions/**", hold)
    page.goto(f"{hub.url}/console/sessions/{ended['session']['session_id']}")
    loading = page.get_by_text("Loading…", exact=True)
    expect(loading).to_be_visible()
    is_slow = False
    for route in held:
        route.continue_()
    expect(lines(page).first).to_be_visible()
    expect(loading).to_be_hidden()


def test_of_very_many_participants_some_are_named(page: Page, hub: Hub) -> None:
    people = [
        {
            "type": "transcript",
            "room": "hall",
            "session_id": "party",
            "role": "user",
            "text": "Hi",
            "participant": f"p{n}",
        }
        for n in range(500)
    ]
    hub.publish(
        [
            {"type": "session_started", "room": "hall", "session_id": "party"},
            *people,
            {"type": "session_ended", "room": "hall", "session_id": "party"},
        ]
    )
    archived(hub, "party")
    page.goto(f"{hub.url}/console/sessions/party")
    expect(page.locator("#facts")).to_contain_text("p19 and 480 more")
    expect(page.locator("#facts")).not_to_contain_text("p20")


def test_an_unknown_session_is_reported(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions/nobody%2Fknows")
    expect(page.get_by_role("alert")).to_contain_text("nobody/knows")
    expect(page.get_by_role("slider", name="Position")).to_be_hidden()


def test_an_address_that_cannot_be_decoded_is_reported(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions/%E0%A4%A")
    expect(page.get_by_role("alert")).to_contain_text("%E0%A4%A")


def test_without_a_recording_the_rows_are_shown(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(STREAM_ARCHIVE_RECORDINGS="off", STREAM_HISTORY_MAX_EVENTS="100")
    hub.publish(call())
    known = archived(hub, "d74c")

    def is_gone() -> bool:
        hub.publish([{"type": "filler", "room": "other"}] * 100)
        return requests.get(f"{hub.url}/api/sessions/d74c/events", timeout=10).status_code == 410

    until(is_gone)
    open_page(page, hub, "d74c#t=18")
    expect(page.get_by_role("status", name="Notice")).to_contain_text("STREAM_ARCHIVE_RECORDINGS")
    expect(lines(page)).to_have_count(len(known["transcript"]))
    expect(at_clock(page)).to_contain_text("car park")
    assert figures(page)["duration"] == "45.00 s"
    assert figures(page)["tool_failures"] == "1"
    expect(page.get_by_role("button", name="VTT", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="NDJSON", exact=True)).to_be_hidden()


def test_viewers_see_what_viewers_may_see(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**KEYS)
    hub.publish(call(), Authorization="Bearer publish-key")
    archived(hub, "d74c", key="operator-key")
    page.goto(f"{hub.url}/console/sessions/d74c")
    enter_key(page, "a-wrong-key")
    expect(page.get_by_role("alert").first).not_to_be_empty()
    enter_key(page, "viewer-key")
    expect(lines(page)).to_have_count(9)
    hidden = {"latency", "tool_calls", "tool_failures", "errors"}
    assert list(figures(page)) == [field for field in FIGURES if field not in hidden]
    for name in ("Tools", "Errors", "Usage"):
        expect(table(page, name)).to_be_hidden()
    row = table(page, "Turns").get_by_role("row").nth(2)
    assert row.get_by_role("cell").all_inner_texts()[1:] == [NONE] * 5 + ["1.20 s", NONE]


def test_an_hour_opens_and_scrolls_with_few_elements(page: Page, hub: Hub) -> None:
    events = call("hour", "r", turns=360, start=time.time() - 4000)
    for at in range(0, len(events), 500):
        hub.publish(events[at : at + 500])
    archived(hub, "hour")
    open_page(page, hub, "hour#t=1800")
    expect(at_clock(page)).to_be_visible()
    until(lambda: is_in_sight(at_clock(page)))
    assert page.evaluate("document.querySelectorAll('*').length") < 4000
    expect(at_clock(page)).to_have_attribute("aria-setsize", "721")
    page.get_by_role("slider", name="Position").fill("3599")
    expect(lines(page).last).to_contain_text("Done.")
    until(lambda: is_in_sight(table(page, "Turns").locator("tr[aria-current]")))


@pytest.mark.npm
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    page: Page, hub: Hub, ended: dict[str, Any], scheme: Literal["light", "dark"]
) -> None:
    assert ended
    page.emulate_media(color_scheme=scheme)
    hub.publish(call("open", "berlin", turns=1, start=time.time() - 6, ended=False)[:12])
    for width in (1400, 360):
        page.set_viewport_size({"width": width, "height": 900})
        for where in ("d74c", "d74c#t=27", "open?room=berlin"):
            page.goto("about:blank")
            open_page(page, hub, where)
            expect(lines(page).first).to_be_visible()
            page.get_by_text("Keys").click()
            assert axe.serious(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(f"{hub.url}/console/sessions/unknown")
    expect(page.get_by_role("alert")).to_be_visible()
    assert axe.serious(page) == []
