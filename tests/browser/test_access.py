"""For everybody: small windows, keyboard, screen readers, dark and light, a tab in the background."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import expect

from tests.browser.on_page import conversation, lines, said, say

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.stub_hub import Opened

pytestmark = pytest.mark.page

LONG = "unbroken" * 40
CONTROLS = [
    "room",
    "session",
    "agent-want",
    "agent-start",
    "conversation",
    "log-pause",
    "log-type",
    "log-room",
    "log-text",
    "log-beats",
    "log",
    "send-type",
    "send-room",
    "send-who",
    "send-text",
    "send-more",
    "server",
    "key",
]
"""What the keyboard has to reach, by id."""


def fill(page: Page, live: Opened) -> None:
    """Everything that can be on the page at once, with words that do not break."""
    fields = {
        "room": f"room-{LONG}"[:90],
        "session_id": LONG[:60],
        "participant": f"ann-{LONG}",
        "role": "user",
    }
    live.event("e-1", "transcript", text=LONG, is_final=False, segment_id="s", **fields)
    live.event("e-2", "user_speech_started", **fields)
    live.event("e-3", "error", source=LONG, message=LONG, room="other")
    live.event(
        "e-4",
        "tool_call_finished",
        name=LONG,
        arguments={LONG: LONG},
        output=LONG,
        status=LONG,
        call_id="c",
        duration=1,
    )
    live.event(
        "e-5",
        "turn_metrics",
        e2e_latency=1.2,
        transcription_delay=0.2,
        llm_node_ttft=0.5,
        tts_node_ttfb=0.4,
        **fields,
    )
    live.control("stream_reset", reason=LONG, requested="e-1", oldest="e-1", missed=3)
    live.event("e-6", "transcript", text="filled", **fields)
    expect(said(page, "filled")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1000), (1440, 900)])
def test_nothing_is_wider_than_the_window(page: Page, live: Opened, width: int, height: int) -> None:
    fill(page, live)
    page.set_viewport_size({"width": width, "height": height})
    wide = page.evaluate(
        """() => [...document.querySelectorAll('body *')]
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
            .filter((e) => !e.closest('.scroll, .lane .name, svg, .bar'))
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "height"), [(360, 640), (390, 844), (768, 1024), (1280, 800)])
def test_conversation_and_start_are_on_the_first_screen(
    page: Page, live: Opened, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    for number in range(1, 41):
        say(live, number, f"line {number}", room=f"room {number % 14}")
    for number in range(14):
        live.event(f"e-{41 + number}", "agent_state", room=f"room {number}", state="speaking", role="agent")
    expect(page.get_by_text("and 8 other rooms")).to_be_attached()
    expect(said(page, "line 40")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Start agent")).to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_what_is_chosen_is_not_cut(page: Page, live: Opened, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    cut = page.evaluate(
        """() => [...document.querySelectorAll('select')].filter((select) => {
            const free = select.cloneNode(true);
            Object.assign(free.style, { position: 'absolute', width: 'auto', maxWidth: 'none' });
            select.parentElement.append(free);
            const wanted = free.offsetWidth;
            free.remove();
            return wanted > select.offsetWidth;
        }).map((select) => select.id)"""
    )
    assert cut == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_words_fade_below_who_speaks_and_are_not_cut(
    page: Page, live: Opened, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    for number in range(1, 61):
        say(live, number, f"line {number} " * 12)
    box = conversation(page)
    expect(box.get_by_text("line 60")).to_be_in_viewport()
    place = box.bounding_box()
    assert place is not None
    x, y, width = place["x"] + 20, math.ceil(place["y"]), int(place["width"]) - 60
    seen = set()
    for top in range(400, 500, 7):
        box.evaluate("(b, top) => { b.scrollTop = top; }", top)
        seen.add(page.screenshot(clip={"x": x, "y": y, "width": width, "height": 4}))
    assert len(seen) == 1, "words show right below the edge, cut in half"


def test_every_control_is_reached_by_tab_and_shows_it(page: Page, live: Opened) -> None:
    say(live, 1, "hello")
    expect(said(page, "hello")).to_be_visible()
    expect(page.get_by_role("button", name="Start agent")).to_be_enabled()
    reached: list[list[object]] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        here = page.evaluate(
            """() => {
                const e = document.activeElement;
                const style = getComputedStyle(e);
                const outlined = style.outlineStyle !== 'none' && style.outlineWidth !== '0px';
                return [e.id || e.className || e.textContent, outlined];
            }"""
        )
        if here[0] in [name for name, _ in reached]:
            break
        reached.append(here)
    names = [name for name, _ in reached]
    assert [name for name in CONTROLS if name not in names] == []
    assert [name for name, visible in reached if not visible] == []


def test_every_control_has_a_name(page: Page, live: Opened) -> None:
    fill(page, live)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea, a, [tabindex="0"], section')]
            .filter((e) => !(e.labels?.length || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby')
                || e.textContent.trim()))
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    expect(page.get_by_role("log", name="Conversation", exact=True)).to_have_count(1)
    expect(page.get_by_label("Conversation", exact=True)).to_have_count(1)
    expect(page.get_by_role("group", name="Connection", exact=True)).to_have_count(1)
    expect(page.get_by_role("region", name="Agent", exact=True)).to_have_count(1)
    expect(page.get_by_role("listbox", name="Event log", exact=True)).to_have_count(1)
    assert page.get_by_role("heading", level=1).count() == 1


CONTRAST = """() => {
    const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
    const linear = (v) => (v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
    const behind = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const color = numbers(getComputedStyle(e).backgroundColor);
            if (color.length < 4 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const hasWords = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const looked = [...document.querySelectorAll('body *')].filter((e) => hasWords(e) && e.getClientRects().length
        && !e.closest('script, option, .hidden-text, :disabled, .skip'));
    return looked.map((e) => {
        const [one, other] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
        return [(Math.max(one, other) + .05) / (Math.min(one, other) + .05), e.outerHTML.slice(0, 80)];
    }).filter(([ratio]) => ratio < 4.5);
}"""
"""Every element with words of its own whose contrast is below 4.5 (WCAG 2.2, 1.4.3)."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_background(
    page: Page, live: Opened, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    fill(page, live)
    background = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    assert (background < 60) == (scheme == "dark")
    assert page.evaluate(CONTRAST) == []


def test_nothing_moves_for_those_who_asked_for_it(page: Page, live: Opened) -> None:
    live.event("e-1", "agent_speech_started", room="r1")
    expect(page.get_by_text("Agent is speaking")).to_be_visible()
    moving = "document.getAnimations().filter((a) => a.playState === 'running').length"
    assert page.evaluate(moving) > 0
    page.emulate_media(reduced_motion="reduce")
    page.wait_for_function(f"{moving} === 0")


def test_background_tab_continues(page: Page, live: Opened) -> None:
    # A hidden tab gets no animation frames: here they are taken away, and the tab says that it is hidden.
    page.evaluate(
        """() => {
            window.requestAnimationFrame = () => 1;
            Object.defineProperty(document, 'hidden', { get: () => true });
        }"""
    )
    say(live, 1, "while nobody looked")
    expect(said(page, "while nobody looked")).to_be_attached()
    assert lines(page) == ["while nobody looked"]
