"""The page Figures: charts with their tables, time and buckets in the address, links to what is behind, CSV."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.console import axe
from tests.browser.console.calls import START
from tests.browser.console.calls import short_call as call
from tests.browser.console.on_console import (
    KEYS,
    asked,
    enter_key,
    entries,
    expect_sessions,
    field,
    post,
    table,
    wait_for_archive,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page

HOUR = 3600
NONE = "\N{EN DASH}"
FIRST = int(START // HOUR * HOUR)
"""10:00 UTC."""
RANGE = "from=2026-11-23T10:00:00Z&to=2026-11-23T13:00:00Z"
PANELS = (
    "Sessions",
    "Minutes",
    "Heard latency",
    "Stages of latency",
    "Interruptions",
    "Tool failures",
    "Errors",
)
FOR_VIEWERS = ("Sessions", "Minutes", "Heard latency", "Interruptions")
CALLS = (
    *call("one"),
    *call("two", at=START + 60, waits=2.5, error=True),
    *call("three", "other room", at=START + 2 * HOUR, error=True),
)


@pytest.fixture
def hub(start_hub: Callable[..., Hub]) -> Hub:
    """An open hub that has archived `CALLS`."""
    hub = start_hub()
    post(hub, *CALLS)
    wait_for_archive(hub, 3)
    return hub


def points(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=f"{name}, points").get_by_role("link")


def expect_values(page: Page, name: str, *values: str) -> None:
    """Wait until a table's second column says this."""
    expect(table(page, name).locator("tbody td:nth-child(2)")).to_have_text(list(values))


def test_every_figure_is_a_chart_and_a_table(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/stats?{RANGE}")
    expect_values(page, "Sessions", "2", "0", "1")
    assert "Figures" in entries(page)
    assert page.get_by_role("heading", level=2).all_inner_texts() == list(PANELS)
    for name in PANELS:
        expect(page.get_by_role("img", name=name, exact=True)).to_be_visible()
        expect(table(page, name)).to_be_visible()
        expect(table(page, name).get_by_role("row")).to_have_count(4)
        expect(points(page, name)).to_have_count(3)
    expect_values(page, "Minutes", "0.3", "0", "0.2")
    expect_values(page, "Heard latency", "2", NONE, "1")
    expect(table(page, "Heard latency").get_by_role("row").nth(1)).to_contain_text("2.50 s")
    expect_values(page, "Tool failures", "1", "0", "1")
    expect_values(page, "Errors", "1", "0", "1")
    expect_values(page, "Stages of latency", NONE, NONE, NONE)
    bars = page.get_by_role("img", name="Sessions", exact=True).locator(".bars")
    assert (bars.get_attribute("d") or "").count("M") == 2
    expect(page.locator("#totals")).to_contain_text("3")


def test_behind_every_point_are_its_sessions(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/stats?{RANGE}&agent=helper")
    expect_values(page, "Errors", "1", "0", "1")
    points(page, "Errors").first.click()
    page.wait_for_url("**/console/sessions?*")
    assert asked(page) == (
        "?agent=helper&from=2026-11-23T10:00:00Z&to=2026-11-23T11:00:00Z&errors=1&sort=-errors"
    )
    expect_sessions(page, "two")
    page.go_back()
    expect_values(page, "Sessions", "2", "0", "1")
    table(page, "Sessions").get_by_role("link").nth(2).click()
    expect_sessions(page, "three")


def test_the_first_hours_are_shown_by_the_minute(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    now = time.time()
    post(hub, *call("now", at=now - 90))
    wait_for_archive(hub, 1)
    page.goto(f"{hub.url}/console/sessions")
    page.get_by_role("link", name="Figures").click()
    expect(field(page, "Bucket")).to_have_value("minute")
    page.wait_for_url("**/console/stats?bucket=minute")
    expect(points(page, "Sessions").nth(1)).to_be_attached()
    # The page stays with hours when they are chosen, and Back returns to what was shown before.
    field(page, "Bucket").select_option("")
    page.wait_for_url("**/console/stats")
    page.go_back()
    page.wait_for_url("**/console/stats?bucket=minute")
    page.go_back()
    expect_sessions(page, "now")


def test_a_chart_by_keyboard(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/stats?{RANGE}")
    expect_values(page, "Sessions", "2", "0", "1")
    links = points(page, "Sessions")
    links.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(links.nth(2)).to_be_focused()
    expect(links.nth(2)).to_have_accessible_name("Nov 23, 12:00 PM, Sessions 1: show sessions")
    expect(page.locator("#sessions .tip")).to_contain_text("Sessions 1")
    page.keyboard.press("Home")
    expect(links.first).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect_sessions(page, "three")


def test_time_buckets_and_rooms_are_in_the_address(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/stats?{RANGE}")
    expect_values(page, "Sessions", "2", "0", "1")
    field(page, "Bucket").select_option("day")
    expect_values(page, "Sessions", "3")
    assert asked(page) == f"?{RANGE}&bucket=day"
    expect(table(page, "Sessions")).to_contain_text("Nov 23, 2026")
    field(page, "Room").fill("other room")
    expect_values(page, "Sessions", "1")
    assert asked(page) == f"?{RANGE}&bucket=day&room=other+room"
    page.reload()
    expect_values(page, "Sessions", "1")
    expect(field(page, "Room")).to_have_value("other room")
    page.go_back()
    expect_values(page, "Sessions", "3")
    page.go_back()
    expect_values(page, "Sessions", "2", "0", "1")
    page.get_by_role("button", name="All", exact=True).click()
    expect(table(page, "Sessions").locator("tbody td:nth-child(2)").first).to_have_text("2")
    assert asked(page) == ""
    page.get_by_role("button", name="1 hour").click()
    expect(field(page, "Bucket")).to_have_value("minute")
    assert asked(page).endswith("&bucket=minute")
    page.get_by_role("button", name="24 hours").click()
    expect(field(page, "Bucket").locator("option:checked")).to_have_text("Hour")


def test_the_stages_at_another_percentile(page: Page, hub: Hub) -> None:
    for number, seconds in enumerate((0.2, 0.4)):
        turn = {"session_id": "four", "room": "r", "turn_id": f"four.t{number}", "role": "agent"}
        post(hub, {"type": "turn_metrics", "timestamp": START + 30, "llm_node_ttft": seconds, **turn})
    page.goto(f"{hub.url}/console/stats?{RANGE}&room=r")
    cells = table(page, "Stages of latency").locator("tbody tr").first.locator("td:nth-child(4)")
    expect(cells).to_have_text("0.20 s", timeout=30_000)
    page.get_by_role("combobox", name="Percentile").select_option("max")
    expect(cells).to_have_text("0.40 s")
    assert asked(page) == f"?{RANGE}&room=r&percentile=max"


def test_the_figures_as_a_file(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/stats?{RANGE}")
    expect_values(page, "Sessions", "2", "0", "1")
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV", exact=True).click()
    with Path(saved.value.path()).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = requests.get(f"{hub.url}/api/stats?{RANGE}", timeout=10).json()["buckets"]
    assert [row["start"] for row in rows] == [f"2026-11-23T{hour}:00:00Z" for hour in (10, 11, 12)]
    for row, bucket in zip(rows, found, strict=True):
        assert float(row["minutes"]) == bucket["minutes"]
        assert int(row["tool_failures"]) == bucket["tool_failures"]
        latency = bucket["heard_latency"]
        assert row["heard_latency_p95"] == ("" if latency is None else f"{latency['p95']:g}")


def test_ten_thousand_buckets(page: Page, hub: Hub) -> None:
    page.goto(f"{hub.url}/console/stats?from={FIRST}&to={FIRST + 10_000 * 60}&bucket=minute")
    expect(table(page, "Sessions")).to_have_attribute("aria-rowcount", "10001", timeout=60_000)
    expect(table(page, "Sessions").locator("tbody tr").first).to_contain_text("10:00 AM")
    assert points(page, "Sessions").count() <= 300
    assert page.evaluate("document.querySelectorAll('*').length") < 10_000
    page.goto(f"{hub.url}/console/stats?from=0&bucket=minute")
    expect(page.get_by_role("alert")).to_contain_text("at most 10000")


def test_no_session_at_all(page: Page, start_hub: Callable[..., Hub]) -> None:
    page.goto(f"{start_hub().url}/console/stats")
    expect(page.get_by_text("No session in this time.")).to_be_visible()
    expect(page.get_by_role("img")).to_have_count(0)


def test_viewers_see_what_viewers_may_see(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**KEYS)
    post(hub, *CALLS, key="publish-key")
    wait_for_archive(hub, 3, "viewer-key")
    page.goto(f"{hub.url}/console/stats?{RANGE}")
    enter_key(page, "viewer-key")
    expect_values(page, "Sessions", "2", "0", "1")
    assert page.get_by_role("heading", level=2).all_inner_texts() == list(FOR_VIEWERS)
    expect(page.locator("#totals")).not_to_contain_text("Errors")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_axe_finds_nothing_serious(page: Page, hub: Hub, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{hub.url}/console/stats?{RANGE}")
    expect_values(page, "Sessions", "2", "0", "1")
    assert axe.serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
