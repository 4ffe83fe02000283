"""The console's wall of live sessions, in a browser beside a real hub."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.hub_process import HubProcess

pytestmark = pytest.mark.page


def post(hub: HubProcess, **event: Any) -> None:
    body = json.dumps({"participant": "ann", "role": "user", "timestamp": time.time(), **event}).encode()
    asked = urllib.request.Request(
        f"{hub.url}/api/agent/data", body, {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(asked, timeout=10).close()


def test_a_session_comes_speaks_and_leaves(page: Page, start_hub: Callable[..., HubProcess]) -> None:
    hub = start_hub()
    page.goto(f"{hub.url}/console/")
    expect(page.get_by_role("status", name="Connection")).to_have_text("Live")
    post(hub, type="session_started", room="kitchen", session_id="s-1")
    post(
        hub,
        type="transcript",
        room="kitchen",
        session_id="s-1",
        text="<b>שלום</b>",
        is_final=True,
        segment_id="g",
    )
    item = page.get_by_role("list", name="Live sessions").get_by_role("listitem")
    expect(item).to_contain_text("<b>שלום</b>")
    expect(page.get_by_role("group", name="Totals")).to_contain_text("1 live")
    page.get_by_role("searchbox", name="Filter").fill("attic")
    expect(item).to_have_count(0)
    page.get_by_role("searchbox", name="Filter").fill("kit")
    expect(item).to_have_count(1)
    post(hub, type="session_ended", room="kitchen", session_id="s-1", reason="completed")
    expect(item).to_have_count(0)
