"""The page Sessions: filters in the address, words found, order, a list of any length, files."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.console import axe, many_sessions
from tests.browser.console.calls import START
from tests.browser.console.calls import short_call as call
from tests.browser.console.on_console import (
    KEYS,
    asked,
    connection,
    enter_key,
    entries,
    expect_sessions,
    field,
    post,
    table,
    wait_for_archive,
)
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page


CALLS = (
    *call("one"),
    *call("two", at=START + 100, said="我想退款。", waits=2.5, who="bob"),
    *call("three", "other room", at=START + 200, error=True, said="Where is my parcel?", waits=0.5),
    *call("four", None, at=START + 300, said="Refund! <b>Refund</b>, I say"),
    *call("five", at=START + 400, ends=False, said="Hello?"),
)


@pytest.fixture
def hub(start_hub: Callable[..., Hub]) -> Hub:
    """An open hub that has archived `CALLS`."""
    hub = start_hub()
    post(hub, *CALLS)
    wait_for_archive(hub, 5)
    return hub


def test_all_sessions_newest_first_each_with_a_link_to_its_page(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions")
    expect_sessions(page, "five", "four", "three", "two", "one")
    expect(page.get_by_role("status", name="Result")).to_have_text("5 sessions")
    assert entries(page)[:2] == ["Live", "Sessions"]
    rows = table(page, "Sessions").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("Live")
    expect(rows.nth(5)).to_contain_text("participant disconnected")
    expect(rows.nth(5)).to_contain_text("alice")
    expect(table(page, "Sessions")).to_have_attribute("aria-rowcount", "6")
    links = [link.get_attribute("href") for link in table(page, "Sessions").get_by_role("link").all()]
    assert links == [
        "/console/sessions/five?room=support-7",
        "/console/sessions/four?room=",
        "/console/sessions/three?room=other%20room",
        "/console/sessions/two?room=support-7",
        "/console/sessions/one?room=support-7",
    ]
    table(page, "Sessions").get_by_role("link", name="other room").click()
    page.wait_for_url("**/console/sessions/three?room=other%20room")


def test_each_filter_is_in_the_address_and_comes_from_it(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions")
    expect_sessions(page, "five", "four", "three", "two", "one")
    steps: list[tuple[str, str, str, tuple[str, ...]]] = [
        ("Room", "other room", "?room=other+room", ("three",)),
        ("Participant", "bob", "?participant=bob", ("two",)),
        ("Agent", "nobody", "?agent=nobody", ()),
        (
            "Reason",
            "participant_disconnected",
            "?reason=participant_disconnected",
            ("four", "three", "two", "one"),
        ),
        ("Search", "refund", "?q=refund", ("four", "one")),
        ("Latency over", "9", "?latency_over=9", ()),
    ]
    for name, value, address, ids in steps:
        field(page, name).fill(value)
        expect_sessions(page, *ids)
        assert asked(page) == address
        page.reload()
        expect_sessions(page, *ids)
        expect(field(page, name)).to_have_value(value)
        field(page, name).fill("")
        expect_sessions(page, "five", "four", "three", "two", "one")
        assert asked(page) == ""
    field(page, "State").select_option("live")
    expect_sessions(page, "five")
    assert asked(page) == "?state=live"
    field(page, "State").select_option("")
    for name, address in (("Failed tools", "?failed_tools=1"), ("Errors", "?errors=1")):
        field(page, name).check()
        expect_sessions(page, "three")
        assert asked(page) == address
        field(page, name).uncheck()


def test_times_are_the_readers_own_and_their_zone_is_named(page: Page, hub: Hub) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    page.goto(f"{hub.url}/console/sessions")
    field(page, "From").fill("2026-11-23T16:05:00")
    expect_sessions(page, "five", "four", "three", "two")
    assert asked(page) == "?from=2026-11-23T10:35:00Z"
    field(page, "To").fill("2026-11-23T16:08:20")
    expect_sessions(page, "three", "two")
    assert asked(page) == "?from=2026-11-23T10:35:00Z&to=2026-11-23T10:38:20Z"
    expect(page.locator("#zone-note")).to_have_text("Times in GMT+5:30.")
    # As another program writes it; it stays as it is while other filters change.
    page.goto(f"{hub.url}/console/sessions?from={START + 99.5}&to={START + 250}")
    expect_sessions(page, "three", "two")
    field(page, "Search").fill("parcel")
    expect_sessions(page, "three")
    assert asked(page) == f"?q=parcel&from={START + 99.5}&to={START + 250}"


def test_several_rooms_and_none(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions?room=other+room&room=&room=support-7")
    expect_sessions(page, "five", "four", "three", "two", "one")
    expect(field(page, "Room")).to_have_value("support-7")
    page.get_by_role("button", name="Remove room other room").click()
    expect_sessions(page, "five", "four", "two", "one")
    field(page, "Room").fill("")
    expect_sessions(page, "four")
    assert asked(page) == "?room="
    field(page, "Room").fill("other room")
    expect_sessions(page, "four", "three")
    page.get_by_role("button", name="Another room").click()
    expect(field(page, "Room")).to_be_focused()
    field(page, "Room").fill("support-7")
    expect_sessions(page, "five", "four", "three", "two", "one")
    page.get_by_role("button", name="Clear filters").click()
    assert asked(page) == ""


def test_back_and_forward_walk_through_what_was_asked(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions")
    field(page, "State").select_option("ended")
    expect_sessions(page, "four", "three", "two", "one")
    # Typed letter by letter, with pauses: one step.
    for letter in "refund":
        field(page, "Search").press_sequentially(letter)
        page.wait_for_timeout(350)
    expect_sessions(page, "four", "one")
    page.go_back()
    expect_sessions(page, "four", "three", "two", "one")
    expect(field(page, "Search")).to_have_value("")
    page.go_back()
    expect_sessions(page, "five", "four", "three", "two", "one")
    expect(field(page, "State")).to_have_value("")
    page.go_forward()
    page.go_forward()
    expect_sessions(page, "four", "one")
    expect(field(page, "Search")).to_have_value("refund")


def test_words_that_were_found_are_marked(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions?q=REFUND")
    expect_sessions(page, "four", "one")
    expect(table(page, "Sessions").locator("mark")).to_have_text(["Refund", "Refund", "refund"])
    expect(
        table(page, "Sessions").get_by_role("link", name="Refund! <b>Refund</b>, I say")
    ).to_have_attribute("href", "/console/sessions/four?room=#t=3")
    field(page, "Search").fill("退款")
    expect_sessions(page, "two")
    expect(table(page, "Sessions").locator("mark")).to_have_text(["退款"])
    field(page, "Search").fill("")
    expect(table(page, "Sessions").locator("mark")).to_have_count(0)


def test_order_by_button(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions?state=ended")
    started = page.get_by_role("columnheader", name="Started")
    heard = page.get_by_role("columnheader", name="Heard latency")
    expect(started).to_have_attribute("aria-sort", "descending")
    expect(heard).to_have_attribute("aria-sort", "none")
    heard.get_by_role("button", name="Heard latency").click()
    expect_sessions(page, "two", "four", "one", "three")
    expect(heard).to_have_attribute("aria-sort", "descending")
    expect(started).to_have_attribute("aria-sort", "none")
    assert asked(page) == "?state=ended&sort=-heard_latency"
    heard.get_by_role("button").press("Enter")
    expect_sessions(page, "three", "four", "one", "two")
    expect(heard).to_have_attribute("aria-sort", "ascending")
    names = page.get_by_role("columnheader").get_by_role("button").all_inner_texts()
    assert names == ["Started", "Duration", "Heard latency", "Latency", "Interruptions", "Errors"]


def test_nothing_found_and_nothing_there(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    page.goto(f"{hub.url}/console/sessions")
    expect(page.get_by_text("No session yet.")).to_be_visible()
    field(page, "Search").fill("refund")
    expect(page.get_by_text("No session matches these filters.")).to_be_visible()
    post(hub, *call("one"))
    page.get_by_role("button", name="Clear filters").last.click()
    expect_sessions(page, "one")


def test_new_sessions_appear_by_themselves(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions")
    expect_sessions(page, "five", "four", "three", "two", "one")
    post(hub, *call("six", at=START + 500))
    post(hub, {"type": "session_ended", "timestamp": START + 420, "session_id": "five", "room": "support-7"})
    expect_sessions(page, "six", "five", "four", "three", "two", "one")
    expect(table(page, "Sessions").get_by_role("row").nth(2)).to_contain_text("Ended")


def test_what_the_hub_refuses_is_said_in_its_words(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    page.goto(f"{hub.url}/console/sessions?from=9&to=5")
    expect(page.get_by_role("alert")).to_contain_text("from=9 is later than to=5")
    page.goto(f"{start_hub(STREAM_HISTORY='memory://').url}/console/sessions")
    expect(page.get_by_role("alert")).to_contain_text("STREAM_ARCHIVE")


def test_a_hub_that_is_away_is_asked_again(page: Page, hub: Hub, start_hub: Any) -> None:
    page.goto(f"{hub.url}/console/sessions")
    expect_sessions(page, "five", "four", "three", "two", "one")
    hub.kill()
    expect(connection(page)).to_have_text("No connection")
    field(page, "Search").fill("refund")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    start_hub(hub.port)
    page.get_by_role("button", name="Try again").click()
    expect_sessions(page, "four", "one")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_viewers_see_what_viewers_may_see(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**KEYS)
    post(hub, *CALLS, key="publish-key")
    wait_for_archive(hub, 5, "viewer-key")
    page.goto(f"{hub.url}/console/sessions")
    enter_key(page, "viewer-key")
    expect_sessions(page, "five", "four", "three", "two", "one")
    for name in ("Latency over", "Failed tools", "Errors"):
        expect(field(page, name)).to_be_hidden()
    names = page.get_by_role("columnheader").all_inner_texts()
    assert not {"Latency", "Failed tools", "Errors"} & set(names)
    page.goto(f"{hub.url}/console/sessions?errors=1")
    expect(page.get_by_role("alert")).to_contain_text("only operators")
    page.get_by_role("button", name="Clear filters").first.click()
    expect_sessions(page, "five", "four", "three", "two", "one")


def test_the_whole_list_as_a_file(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**KEYS)
    for n in range(0, 230, 10):
        some = [event for m in range(n, n + 10) for event in call(f"s{m:03d}", at=START + m)]
        post(hub, *some, key="publish-key")
    wait_for_archive(hub, 230, "operator-key")
    page.goto(f"{hub.url}/console/sessions?q=refund&sort=started")
    enter_key(page, "operator-key")
    expect(page.get_by_role("status", name="Result")).to_have_text("230 sessions")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export CSV").click()
    assert saved.value.suggested_filename.endswith(".csv")
    with Path(saved.value.path()).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["session_id"] for row in rows] == [f"s{n:03d}" for n in range(230)]
    assert rows[0]["started"] == "2026-11-23T10:33:20Z"
    assert rows[0]["heard_latency_p95"] == "1"
    assert rows[0]["participants"] == "alice, agent"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export JSON").click()
    found = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))["sessions"]
    assert len(found) == 230
    assert found[7]["session_id"] == "s007"


COUNT = 50_000
LOOK = """() => {
  const scroller = document.querySelector('#scroller');
  const frame = scroller.getBoundingClientRect();
  const head = document.querySelector('thead').getBoundingClientRect();
  const rows = [...document.querySelectorAll('#rows > tr')];
  const seen = rows.map((row) => [row, row.getBoundingClientRect()])
    .filter(([, box]) => box.bottom > head.bottom + 1 && box.top < frame.bottom - 1)
    .sort(([, one], [, other]) => one.top - other.top);
  let edge = head.bottom;
  let holes = 0;
  for (const [, box] of seen) {
    if (box.top > edge + 1.5) holes++;
    edge = box.bottom;
  }
  if (edge < frame.bottom - 20) holes++;
  return { rows: rows.length, blank: seen.filter(([row]) => row.hasAttribute('data-pending')).length, holes,
    ids: seen.map(([row]) => row.querySelector('.id')?.textContent ?? '') };
}"""


@pytest.fixture
def long_list(page: Page, start_hub: Callable[..., Hub], tmp_path: Path) -> Page:
    """The page with fifty thousand sessions."""
    many_sessions.make(tmp_path / "archive.db", COUNT)
    hub = start_hub(STREAM_ARCHIVE_MAX_AGE="0")
    page.goto(f"{hub.url}/console/sessions")
    expect(page.get_by_role("status", name="Result")).to_have_text("50,000 sessions", timeout=60_000)
    return page


def looked_at(page: Page) -> Any:
    """What is visible, once no row is a placeholder."""
    found: dict[str, Any] = {}

    def is_complete() -> bool:
        found.update(page.evaluate(LOOK))
        return bool(found["ids"]) and not found["blank"]

    until(is_complete, what=lambda: str(found))
    return found


def test_scrolling_shows_no_blank_row(long_list: Page) -> None:
    page = long_list
    looked_at(page)
    seen = page.evaluate(
        f"""async () => {{
          const look = {LOOK};
          const scroller = document.querySelector('#scroller');
          const height = parseFloat(getComputedStyle(document.querySelector('#rows')).getPropertyValue('--row'));
          const begun = performance.now();
          const seen = {{ looks: 0, blank: 0, holes: 0, most: 0, rows: 0 }};
          while (performance.now() - begun < 10_000) {{
            const rows = 50 * (performance.now() - begun) / 1000;
            scroller.scrollTop = rows * height;
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            const found = look();
            seen.looks++;
            seen.blank += found.blank;
            seen.holes += found.holes;
            seen.most = Math.max(seen.most, found.rows);
            seen.rows = rows;
          }}
          return seen;
        }}"""
    )
    assert seen["rows"] > 450
    assert seen["looks"] > 20
    assert (seen["blank"], seen["holes"]) == (0, 0)
    assert seen["most"] < 500


def test_a_jump_shows_placeholders_until_the_rows_arrive(long_list: Page) -> None:
    page = long_list
    looked_at(page)
    held: list[Route] = []
    page.route("**/api/sessions?*skip=*", lambda route: held.append(route))  # noqa: PLW0108 - a method of C is none to Playwright
    page.evaluate("document.querySelector('#scroller').scrollTop = 25_000 * 48")
    expect(page.locator("#rows > tr[data-pending]")).not_to_have_count(0)
    assert page.evaluate(LOOK)["holes"] == 0
    for route in held:
        route.continue_()
    page.unroute("**/api/sessions?*skip=*")
    found = looked_at(page)
    assert found["ids"][0] == f"s{COUNT - 1 - 25_000:05d}"
    assert found["holes"] == 0
    assert found["rows"] < 500
    page.get_by_role("region", name="List of sessions").press("End")
    expect(page.locator("#rows > tr").last.locator(".id")).to_have_text("s00000")
    assert looked_at(page)["ids"][-1] == "s00000"
    expect(page.locator("#rows > tr").last).to_have_attribute("aria-rowindex", str(COUNT + 1))
    page.get_by_role("region", name="List of sessions").press("Home")
    expect(page.locator("#rows > tr").first.locator(".id")).to_have_text("s49999")


def test_the_focus_stays_on_a_session_when_the_list_is_updated(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/sessions")
    link = table(page, "Sessions").get_by_role("link", name="two")
    link.focus()
    page.evaluate("window.before = document.activeElement")
    post(hub, *call("newest", at=time.time()))
    expect(table(page, "Sessions").get_by_role("link", name="newest")).to_be_visible(timeout=30_000)
    assert page.evaluate("document.body.contains(window.before)") is False
    expect(link).to_be_focused()


def test_the_list_by_keyboard(long_list: Page) -> None:
    page = long_list
    looked_at(page)
    region = page.get_by_role("region", name="List of sessions")
    region.focus()
    region.press("Enter")
    expect(table(page, "Sessions").get_by_role("link", name="s49999")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("ArrowDown")
    link = table(page, "Sessions").get_by_role("link", name="s49959")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/sessions/s49959?room=*")
    page.go_back()
    expect(table(page, "Sessions").get_by_role("link", name="s49959")).to_be_in_viewport()


def test_on_a_phone_long_figures_are_whole(page: Page, hub: Hub) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(f"{hub.url}/console/sessions")
    expect(table(page, "Sessions").get_by_role("link", name="one")).to_be_visible()
    cut = page.evaluate("""() => {
        const long = { duration: '1:02:33', heard: '11.06 s', errors: '12' };
        return Object.entries(long).filter(([kind, text]) => {
            const cell = document.querySelector(`#rows > tr td.${kind}`);
            cell.textContent = text;
            return cell.scrollWidth > cell.clientWidth;
        }).map(([kind]) => kind);
    }""")
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_axe_finds_nothing_serious(page: Page, hub: Hub, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    for address in ("", "?q=refund", "?q=nothing-like-it"):
        page.goto(f"{hub.url}/console/sessions{address}")
        expect(page.get_by_role("status", name="Result")).not_to_be_empty()
        assert axe.serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
