"""What was said is shown as it was said, in any script and direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.on_page import conversation, logged, say

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.stub_hub import Opened

pytestmark = pytest.mark.page

AGENT = {"room": "r1", "session_id": "S1", "participant": "agent", "role": "agent"}
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
SCRIPTS = [
    ("日本語でお願いします", "ltr"),
    ("नमस्ते, मैं बुक करना चाहता हूँ", "ltr"),
    ("Cafe\u0301 a\u0308", "ltr"),
    (f"see you {FAMILY} \u2764\ufe0f", "ltr"),
    ("two  spaces,\n   a new line\tand a tab", "ltr"),
    ("zero\u200bwidth\u2060 and soft\u00adhyphen", "ltr"),
    ("שלום, table for 2?", "rtl"),
    ("می\u200cخواهم رزرو کنم\u200f!", "rtl"),  # noqa: RUF001 - Persian
    ("\u202eoverridden\u202c", "ltr"),
]


def words(locator: Locator) -> list[str]:
    """The characters themselves: `innerText` may leave some out."""
    texts: list[str] = locator.evaluate_all("all => all.map(one => one.textContent)")
    return texts


def test_every_character_stays_and_each_line_has_its_own_direction(page: Page, live: Opened) -> None:
    for number, (text, _) in enumerate(SCRIPTS, 1):
        say(live, number, text, segment_id=f"s{number}")
    said = conversation(page).locator(".said")
    expect(said).to_have_count(len(SCRIPTS))
    assert words(said) == [text for text, _ in SCRIPTS]
    styles = said.evaluate_all("all => all.map(one => getComputedStyle(one))")
    assert [style["direction"] for style in styles] == [direction for _, direction in SCRIPTS]
    assert {style["unicodeBidi"] for style in styles} <= {"isolate", "plaintext"}
    assert {style["whiteSpace"] for style in styles} == {"pre-wrap"}


def test_an_interim_and_its_final_are_the_same_words(page: Page, live: Opened) -> None:
    for number, (text, _) in enumerate(SCRIPTS, 1):
        say(live, number, text, segment_id="s1", is_final=False)
        expect(conversation(page).locator(".said")).to_have_text(text, use_inner_text=False)
        assert words(conversation(page).locator(".said")) == [text]


def box(locator: Locator) -> dict[str, Any]:
    found = locator.bounding_box()
    assert found is not None
    return dict(found)


def test_what_turns_the_direction_ends_with_the_text_it_stands_in(page: Page, live: Opened) -> None:
    live.event("e-1", "transcript", text="Yes \u202eof course we do", is_final=False, segment_id="a", **AGENT)
    live.event("e-2", "interruption", **AGENT)
    live.event("e-3", "transcript", text="Yes \u202e", interrupted=True, segment_id="a", **AGENT)
    expect(conversation(page).locator(".said s")).to_be_visible()
    heard = conversation(page).locator(".said > bdi")
    rest = conversation(page).locator(".said s > bdi")
    assert words(rest) == ["of course we do"]
    assert box(rest)["x"] >= box(heard)["x"] + box(heard)["width"]
    # The row of the log is not turned around either: what stands beside it stays where it is.
    row = logged(page, "Yes").last
    assert box(row.locator(".type"))["x"] < box(row.locator(".sum"))["x"]


def test_a_long_text_is_cut_between_characters(page: Page, live: Opened) -> None:
    for shift in range(len(FAMILY)):
        live.event(
            f"e-{shift + 1}",
            "tool_started",
            name="t",
            call_id=f"c{shift}",
            room="r1",
            text="x" * shift + FAMILY * 900,
        )
    rows = logged(page, FAMILY)
    expect(rows).to_have_count(len(FAMILY))
    for text in words(rows.locator(".sum")):
        family = text.partition("“")[2].partition("…")[0].lstrip("x")
        assert family
        assert family == FAMILY * (len(family) // len(FAMILY))
