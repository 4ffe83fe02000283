"""The page Live in a browser: calls come, speak, get into trouble and leave."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Literal

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.console import axe
from tests.browser.console.on_console import KEYS, connection, enter_key, post
from tests.kit.tcp_proxy import Proxy
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page, Route

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page


@pytest.fixture
def hub(start_hub: Callable[..., Hub]) -> Hub:
    return start_hub()


def open_live(page: Page, hub: Hub, query: str = "") -> None:
    """Open the page and wait until it follows the stream."""
    page.goto(f"{hub.url}/console/{query}")
    expect(connection(page)).to_have_text("Live")


def call(page: Page, room: str) -> Locator:
    """The item of a call."""
    return items(page).filter(has=page.get_by_role("link", name=room, exact=True))


def items(page: Page) -> Locator:
    """All items, in their order."""
    return page.get_by_role("list", name="Live sessions").locator(":scope > li")


def trouble(page: Page, room: str) -> Locator:
    """What is wrong in a call."""
    return call(page, room).get_by_role("list", name="Trouble").get_by_role("listitem")


def of(room: str, kind: str, session: str = "s", **fields: Any) -> dict[str, Any]:
    return {"type": kind, "room": room, "session_id": session, **fields}


def test_a_call_comes_speaks_and_leaves(page: Page, hub: Hub) -> None:
    open_live(page, hub)
    expect(page.get_by_text("No live sessions.")).to_be_visible()
    ann = {"participant": "ann", "role": "user"}
    post(hub, of("kitchen 7/b", "session_started"))
    link = call(page, "kitchen 7/b").get_by_role("link")
    expect(link).to_have_attribute("href", "/console/sessions/s?room=kitchen%207%2Fb")
    post(hub, of("kitchen 7/b", "user_speech_started", **ann))
    expect(call(page, "kitchen 7/b")).to_contain_text("Caller speaks")
    words = {**ann, "segment_id": "g"}
    post(hub, of("kitchen 7/b", "transcript", text="<b>שלום", is_final=False, **words))
    expect(call(page, "kitchen 7/b")).to_contain_text("<b>שלום")
    post(hub, of("kitchen 7/b", "transcript", text="<b>שלום</b> 👩‍👩‍👧", is_final=True, **words))
    expect(call(page, "kitchen 7/b")).to_contain_text("<b>שלום</b> 👩‍👩‍👧")
    expect(call(page, "kitchen 7/b")).to_contain_text("ann")
    post(hub, of("kitchen 7/b", "user_speech_finished", **ann))
    post(hub, of("kitchen 7/b", "agent_state", state="thinking"))
    expect(call(page, "kitchen 7/b")).to_contain_text("Thinking")
    post(hub, of("kitchen 7/b", "interruption"), of("kitchen 7/b", "interruption"))
    expect(call(page, "kitchen 7/b")).to_contain_text("2 interruptions")
    post(hub, of("kitchen 7/b", "session_ended", reason="participant_disconnected"))
    expect(items(page)).to_have_count(0)


def test_latency_is_what_the_caller_heard(page: Page, hub: Hub) -> None:
    open_live(page, hub)
    now = time.time()
    for turn, latency in enumerate((0.8, 1.25, 2.5)):
        stop = now - 30 + 10 * turn
        spoken = {"turn_id": f"t{turn}", "session": "s"}
        post(
            hub,
            of("attic", "user_speech_finished", **spoken, timestamp=stop + 0.4, stopped_at=stop),
            of("attic", "agent_speech_started", **spoken, timestamp=stop + latency),
            of("attic", "agent_speech_finished", **spoken, timestamp=stop + latency + 1),
        )
    chart = call(page, "attic").get_by_role("img")
    expect(chart).to_have_attribute("aria-label", "Heard latency of the last turns: 0.80 s, 1.25 s, 2.50 s")
    expect(trouble(page, "attic").filter(has_text="High latency")).to_have_count(1)
    expect(page.get_by_role("group", name="Totals")).to_contain_text("2.50 s")


def test_all_that_goes_wrong_is_named(page: Page, hub: Hub) -> None:
    open_live(page, hub)
    now = time.time()
    post(
        hub,
        of("a", "session_started"),
        of("a", "error", source="llm", message="overloaded", recoverable=True),
        of("a", "tool_call_started", call_id="c", name="book", arguments={}),
        of("a", "tool_call_finished", call_id="c", name="book", status="error", output="no"),
        of("a", "events_dropped", count=12, reason="the spool is full"),
        of("b", "session_started", timestamp=now - 40),
        of("b", "user_speech_finished", timestamp=now - 30),
        of("b", "agent_state", state="thinking", timestamp=now - 9),
        of("c", "session_started", timestamp=now - 10),
        of("c", "session_ended", reason="worker_lost"),
        of("c", "session_started", "second"),
        of("d", "session_started"),
        of("d", "session_ended", reason="error"),
    )
    expect(trouble(page, "a")).to_have_text(["Error", "Failed tool", "Events dropped"])
    expect(trouble(page, "b")).to_have_text(["Thinking", "Silence"])
    expect(trouble(page, "c")).to_have_text(["Agent lost", "Agent restarted"])
    expect(trouble(page, "d")).to_have_text(["Error"])
    expect(page.get_by_role("group", name="Totals")).to_contain_text("In trouble5")
    post(hub, of("b", "agent_speech_started"))
    expect(trouble(page, "b")).to_have_count(0)


def test_trouble_goes_by_the_hubs_clock(page: Page, hub: Hub) -> None:
    page.clock.install(time=time.time() - 3600)
    page.clock.resume()
    open_live(page, hub)
    post(hub, of("a", "session_started", timestamp=time.time() - 30), of("b", "session_started"))
    expect(trouble(page, "a")).to_have_text(["Silence"])
    expect(call(page, "a")).to_contain_text("0:3")
    expect(trouble(page, "b")).to_have_count(0)


def test_a_page_that_is_opened_late_knows_what_was(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    ann = {"participant": "ann", "role": "user", "segment_id": "g"}
    now = time.time()
    post(
        hub,
        of("a", "session_started", timestamp=now - 70),
        of("a", "user_speech_finished", turn_id="t", timestamp=now - 61),
        of("a", "agent_speech_started", turn_id="t", timestamp=now - 60),
        of("a", "agent_speech_finished", turn_id="t", timestamp=now - 59),
        of("a", "interruption", timestamp=now - 59),
        of("a", "error", message="x", timestamp=now - 58),
        of("a", "transcript", text="half a", is_final=False, **ann),
    )
    # More than the page asks the stream for: only the archive still has the rest.
    for _ in range(3):
        post(hub, *(of("noise", "usage", "n", model_usage=[]) for _ in range(900)))
    until(lambda: _archived(hub, "a", "errors", 1))
    open_live(page, hub)
    expect(call(page, "a")).to_contain_text("half a")
    expect(call(page, "a")).to_contain_text("1 interruption")
    expect(call(page, "a")).to_contain_text("1:1")
    expect(trouble(page, "a")).to_have_text(["Error"])
    expect(call(page, "a").get_by_role("img")).to_have_attribute(
        "aria-label", "Heard latency of the last turns: 1.00 s"
    )


def test_a_session_whose_end_the_history_forgot_is_not_live(
    page: Page, start_hub: Callable[..., Hub]
) -> None:
    hub = start_hub(STREAM_HISTORY_MAX_EVENTS="100")
    for room in ("ghost", "again"):
        post(hub, of(room, "session_started"), of(room, "session_ended", reason="participant_disconnected"))
    post(hub, of("alive", "session_started"))
    known = {"ghost": "ended", "again": "ended", "alive": "live"}
    until(lambda: _seen(hub) == known, what=lambda: str(_seen(hub)))
    for _ in range(5):
        post(hub, *(of("noise", "usage", "n", model_usage=[]) for _ in range(100)))
    # The agent's spool delivers late what it has of the first one; another session of the same name begins.
    post(hub, of("ghost", "usage", model_usage=[]), of("alive", "usage", model_usage=[]))
    post(hub, of("again", "session_started"))
    assert "session_ended" not in requests.get(f"{hub.url}/api/events?limit=1000", timeout=10).text
    open_live(page, hub)
    expect(call(page, "alive")).to_have_count(1)
    expect(call(page, "again")).to_have_count(1)
    expect(call(page, "ghost")).to_have_count(0)


def _seen(hub: Hub) -> dict[str, str]:
    answer = requests.get(f"{hub.url}/api/sessions", timeout=10).json()
    return {one["room"]: one["state"] for one in answer.get("sessions", []) if one["room"] != "noise"}


def _archived(hub: Hub, room: str, field: str, value: int) -> bool:
    answer = requests.get(f"{hub.url}/api/sessions", params={"room": room}, timeout=10)
    sessions = answer.json().get("sessions")  # none while the archive starts
    return bool(sessions) and sessions[0][field] == value


def test_sorting_and_filtering_are_kept_in_the_address(page: Page, hub: Hub) -> None:
    open_live(page, hub)
    now = time.time()
    post(
        hub,
        of("b", "session_started", timestamp=now - 5),
        of("c", "session_started", timestamp=now - 8),
        of("a", "session_started", timestamp=now - 2),
        of("b", "error", message="x"),
        of("a", "user_speech_started", participant="Zoë", role="user"),
    )
    links = page.get_by_role("list", name="Live sessions").get_by_role("link")
    expect(links).to_have_text(["b", "a", "c"])
    page.get_by_role("combobox", name="Sort by").select_option("Age")
    expect(links).to_have_text(["c", "b", "a"])
    page.get_by_role("combobox", name="Sort by").select_option("Room")
    expect(links).to_have_text(["a", "b", "c"])
    page.get_by_role("searchbox", name="Filter").fill("zoë")
    expect(links).to_have_text(["a"])
    page.reload()
    expect(connection(page)).to_have_text("Live")
    expect(links).to_have_text(["a"])
    expect(page.get_by_role("searchbox", name="Filter")).to_have_value("zoë")
    expect(page.get_by_role("combobox", name="Sort by")).to_have_value("room")
    page.get_by_role("searchbox", name="Filter").fill("nowhere")
    expect(page.get_by_text("No session matches this filter")).to_be_visible()
    page.go_back()
    expect(links).to_have_text(["a"])


def test_one_stream_is_enough(page: Page, hub: Hub) -> None:
    streams: list[str] = []
    page.on("request", lambda asked: streams.append(asked.url) if "/api/stream" in asked.url else None)
    open_live(page, hub)
    for number in range(12):
        post(hub, of(f"room-{number}", "session_started"))
    expect(items(page)).to_have_count(12)
    assert len(streams) == 1


def test_the_keyboard_stays_on_a_call_that_moves(page: Page, hub: Hub) -> None:
    open_live(page, hub)
    for room in "abc":
        post(hub, of(room, "session_started"))
    expect(items(page)).to_have_count(3)
    page.get_by_role("link", name="c", exact=True).focus()
    post(hub, of("c", "error", message="x"))
    expect(page.get_by_role("list", name="Live sessions").get_by_role("link").first).to_have_text("c")
    expect(page.get_by_role("link", name="c", exact=True)).to_be_focused()


def test_viewers_see_what_viewers_may(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**KEYS)
    page.goto(f"{hub.url}/console/")
    enter_key(page, "viewer-key")
    expect(connection(page)).to_have_text("Live")
    started = [of("a", "session_started"), of("a", "error", message="secret"), of("a", "interruption")]
    post(hub, *started, key="publish-key")
    expect(call(page, "a")).to_contain_text("1 interruption")
    expect(trouble(page, "a")).to_have_count(0)


def test_the_help_shows_the_rules(page: Page, hub: Hub) -> None:
    open_live(page, hub)
    page.get_by_role("button", name="Help").click()
    rules = page.get_by_role("dialog", name="Trouble").get_by_role("rowheader")
    expect(rules).to_have_count(8)
    expect(rules.first).to_have_text("Agent lost")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Trouble")).to_be_hidden()


def test_trouble_of_no_call_is_reported_on_the_page(page: Page, hub: Hub) -> None:
    open_live(page, hub)
    post(hub, {"type": "events_dropped", "count": 12, "reason": "the spool is full"})
    expect(page.get_by_role("alert")).to_contain_text("could not deliver 12 events: the spool is full")


def test_what_a_gap_has_skipped_is_made_up_for(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(STREAM_HISTORY_MAX_EVENTS="100")
    with Proxy([hub.port]) as proxy:
        page.goto(f"http://127.0.0.1:{proxy.port}/console/")
        expect(connection(page)).to_have_text("Live")
        post(hub, of("a", "session_started"), of("b", "session_started"))
        post(hub, of("b", "interruption"), of("b", "error", message="x"))
        expect(call(page, "b")).to_contain_text("1 interruption")
        expect(items(page)).to_have_count(2)
        proxy.refusing = True
        proxy.cut()
        expect(connection(page)).to_have_text("Connecting")
        seen = requests.get(f"{hub.url}/api/events", params={"limit": 1}, timeout=10).json()["events"][0][
            "id"
        ]
        post(
            hub,
            of("a", "session_ended", reason="job_shutdown"),
            of("b", "interruption"),
            of("c", "session_started"),
        )

        def is_gone() -> bool:
            post(hub, *({"type": "filler", "room": "other"} for _ in range(200)))
            stored = requests.get(f"{hub.url}/api/events", params={"limit": 200}, timeout=10).json()["events"]
            types = {event["type"] for event in stored}
            return types == {"filler"} and seen not in {event["id"] for event in stored}

        # The archive reads the history, too: only what it has may be forgotten there.
        until(lambda: _archived(hub, "b", "interruptions", 2))
        until(is_gone)
        # A room of which the history has nothing left is forgotten.
        post(hub, of("b", "usage", model_usage=[]), of("c", "session_started"))
        proxy.refusing = False
        expect(connection(page)).to_have_text("Live", timeout=60_000)
        # The rooms come with the stream's snapshot, the rest from the archive.
        expect(call(page, "c")).to_be_visible()
        expect(call(page, "a")).to_have_count(0)
        expect(call(page, "b")).to_contain_text("2 interruptions")
        expect(trouble(page, "b")).to_have_text(["Error"])


def test_a_hub_that_asks_for_patience_gets_it(page: Page, hub: Hub) -> None:
    asked: list[float] = []

    def busy(route: Route) -> None:
        asked.append(time.monotonic())
        problem = {"title": "Service Unavailable", "status": 503, "detail": "The history is away."}
        headers = {"Retry-After": "5", "Content-Type": "application/problem+json"}
        route.fulfill(status=503, headers=headers, body=json.dumps(problem))

    page.route("**/api/stream?*", busy)
    page.goto(f"{hub.url}/console/")
    expect(connection(page)).to_have_text("Connecting")
    until(lambda: len(asked) > 1, sleep=lambda seconds: page.wait_for_timeout(1000 * seconds))
    # Its own first pause is three seconds at most.
    assert asked[1] - asked[0] > 4
    post(hub, of("a", "session_started"))
    page.unroute("**/api/stream?*")
    expect(connection(page)).to_have_text("Live", timeout=30_000)
    expect(call(page, "a")).to_be_visible()


@pytest.mark.parametrize("path", ["**/api/sessions?*", "**/api/stream?*"])
def test_an_unexpected_answer_is_shown(page: Page, hub: Hub, path: str) -> None:
    problem = {"title": "Bad Request", "status": 400, "detail": "That was not expected."}
    headers = {"Content-Type": "application/problem+json"}
    page.route(path, lambda route: route.fulfill(status=400, headers=headers, body=json.dumps(problem)))
    page.goto(f"{hub.url}/console/")
    expect(page.get_by_role("alert")).to_have_text("That was not expected.")


@pytest.mark.npm
@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Page, hub: Hub, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    open_live(page, hub)
    now = time.time()
    ann = {"participant": "ann", "role": "user"}
    post(
        hub,
        of("a", "error", message="x"),
        of("a", "user_speech_finished", **ann, turn_id="t", timestamp=now - 30),
        of("a", "agent_speech_started", turn_id="t", timestamp=now - 27),
        of("a", "transcript", text="words", **ann),
        of("b", "session_started", timestamp=now - 60),
        of("b", "agent_state", state="thinking", timestamp=now - 50),
        of("c", "session_started"),
        of("c", "interruption"),
        {"type": "events_dropped", "count": 2},
        *(of(f"room {number}", "session_started") for number in range(8)),
    )
    expect(trouble(page, "b")).to_have_count(2)
    for width in (1400, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert axe.serious(page) == []
    page.get_by_role("button", name="Help").click()
    assert axe.serious(page) == []
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Use a key").click()
    assert axe.serious(page) == []


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_nothing_is_wider_than_the_window(page: Page, hub: Hub, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_live(page, hub)
    long = "unbroken" * 30
    post(
        hub,
        of(long, "session_started", timestamp=time.time() - 40_000),
        of(long, "error", message=long),
        of(long, "transcript", text=long, participant=long, role="user"),
        of(long, "interruption"),
        of("b", "session_started"),
    )
    expect(items(page)).to_have_count(2)
    expect(trouble(page, long)).to_have_text(["Error"])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
