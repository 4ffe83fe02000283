"""The page Webhooks: endpoints with their health, what was delivered and what came back, sending again."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests
from playwright.sync_api import expect

from tests.browser.console import axe
from tests.browser.console.on_console import KEYS, connection, enter_key, post, table
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page


class Receiver(ThreadingHTTPServer):
    """A receiver of webhooks that refuses some types; what it got, as JSON, and headers and body as they came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refused = {"error"}
        self.got: list[dict[str, Any]] = []
        self.sent: list[tuple[dict[str, str], str]] = []


class Handler(BaseHTTPRequestHandler):
    """Answers one webhook."""

    server: Receiver

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        body = json.loads(text)
        self.server.sent.append(({name.lower(): value for name, value in self.headers.items()}, text))
        self.server.got.append(body)
        refused = body["type"] in self.server.refused
        self.send_response(400 if refused else 200)
        self.end_headers()
        self.wfile.write(b"<b>no room left</b>" if refused else b"thanks")

    def log_message(self, *_args: object) -> None:
        """Write nothing to the terminal."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that runs."""
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def hub(start_hub: Callable[..., Hub]) -> Hub:
    """A hub that may send to this machine, and soon tries again."""
    return start_hub(STREAM_WEBHOOK_ALLOW_PRIVATE="on", STREAM_WEBHOOK_RETRIES="1,1,600")


def make(page: Page, hub: Hub, receiver: Receiver) -> str:
    """Make an endpoint for everything, and return its secret."""
    # 503 until their process has started.
    until(lambda: requests.get(f"{hub.url}/api/webhooks", timeout=30).ok, 60)
    page.goto(f"{hub.url}/console/webhooks")
    expect(page.get_by_text("No endpoint yet.")).to_be_visible()
    page.get_by_role("button", name="New endpoint").click()
    page.get_by_label("URL", exact=True).fill(f"http://127.0.0.1:{receiver.server_port}/hook")
    page.get_by_label("Description", exact=True).fill("CRM")
    page.get_by_label("Types", exact=True).fill("*")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("status", name="Test")).to_contain_text("Test: 200", timeout=30_000)
    secret = page.get_by_role("textbox", name="Secret", exact=True).input_value()
    page.get_by_role("button", name="Done", exact=True).click()
    return secret


def send(hub: Hub) -> None:
    """Publish an event that arrives, and one that is refused."""
    post(
        hub,
        {"type": "note", "room": "hall", "text": "Grüße"},
        {"type": "error", "room": "attic", "source": "llm", "message": "overloaded"},
    )


def test_a_new_endpoint_shows_its_secret_once_and_is_tested_at_once(
    page: Page, hub: Hub, receiver: Receiver
) -> None:
    secret = make(page, hub, receiver)
    assert secret.startswith("whsec_")
    assert [body["type"] for body in receiver.got] == ["webhook.test"]
    expect(table(page, "Endpoints").get_by_role("row").nth(1)).to_contain_text("CRM")
    page.reload()
    expect(table(page, "Endpoints")).to_contain_text("Enabled")
    assert secret not in page.content()
    assert page.evaluate("document.querySelector('#secret-value').value") == ""


def test_deliveries_with_request_and_answers(page: Page, hub: Hub, receiver: Receiver) -> None:
    make(page, hub, receiver)
    send(hub)
    deliveries = table(page, "Deliveries")
    expect(deliveries.get_by_text("Failed", exact=True)).to_be_visible(timeout=60_000)
    expect(deliveries.get_by_text("Delivered", exact=True)).to_be_visible()
    expect(table(page, "Endpoints").get_by_role("row").nth(1)).to_contain_text("50%")
    deliveries.get_by_role("button", name="error").click()
    dialog = page.get_by_role("dialog", name="Delivery")
    expect(dialog).to_contain_text('"message": "overloaded"')
    expect(dialog).to_contain_text("<b>no room left</b>")
    tries = dialog.get_by_role("listitem")
    expect(tries).to_have_count(3)
    # Each request as the receiver got it, byte for byte.
    requests = [(headers, body) for headers, body in receiver.sent if json.loads(body)["type"] == "error"]
    for shown, (headers, _body) in zip(tries.all(), requests, strict=True):
        expect(shown).to_contain_text(f"POST http://127.0.0.1:{receiver.server_port}/hook")
        for name in ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature"):
            expect(shown).to_contain_text(f"{name}: {headers[name]}")
    assert {body for _headers, body in requests} == {requests[0][1]}
    expect(dialog.get_by_label("Body")).to_have_text(requests[0][1])
    dialog.get_by_role("button", name="Close").click()
    page.get_by_label("State", exact=True).select_option("delivered")
    expect(deliveries.get_by_role("row")).to_have_count(2)
    assert "state=delivered" in page.url
    page.reload()
    expect(deliveries.get_by_role("row")).to_have_count(2)


def test_sending_again(page: Page, hub: Hub, receiver: Receiver) -> None:
    make(page, hub, receiver)
    send(hub)
    expect(table(page, "Deliveries").get_by_text("Failed", exact=True)).to_be_visible(timeout=60_000)
    receiver.refused = set()
    before = len(receiver.got)
    asked: list[Any] = []
    page.on("request", lambda one: asked.append(one.post_data_json) if one.url.endswith("/replay") else None)
    page.get_by_role("button", name="Resend all failed").click()
    expect(page.get_by_role("status", name="Result")).to_contain_text("Resending 1")
    expect(table(page, "Deliveries").get_by_text("Delivered", exact=True)).to_have_count(2, timeout=60_000)
    assert asked == [{"state": "failed"}]
    page.get_by_role("button", name="Resend", exact=True).last.click()
    expect(page.get_by_role("status", name="Result")).to_contain_text("Resending 1")
    page.get_by_label("From", exact=True).fill("2020-01-01T00:00")
    page.get_by_role("button", name="Resend range").click()
    expect(page.get_by_role("status", name="Result")).to_contain_text("Resending 2")
    assert {body["type"] for body in receiver.got[before:]} <= {"note", "error"}


def test_an_endpoint_is_disabled_and_deleted(page: Page, hub: Hub, receiver: Receiver) -> None:
    make(page, hub, receiver)
    page.get_by_role("button", name="Disable").click()
    expect(table(page, "Endpoints")).to_contain_text("Disabled: switched off")
    page.get_by_role("button", name="Enable").click()
    expect(table(page, "Endpoints")).to_contain_text("Enabled")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete endpoint").click()
    expect(page.get_by_text("No endpoint yet.")).to_be_visible()


def test_an_address_of_an_endpoint_that_is_gone_is_reported(
    page: Page, start_hub: Callable[..., Hub]
) -> None:
    page.goto(f"{start_hub().url}/console/webhooks?webhook=wh_gone")
    expect(page.get_by_role("alert")).to_contain_text("There is no endpoint wh_gone.", timeout=60_000)


def test_what_is_refused_is_said_beside_the_fields(page: Page, start_hub: Callable[..., Hub]) -> None:
    page.goto(f"{start_hub().url}/console/webhooks")
    page.get_by_role("button", name="New endpoint").click()
    page.get_by_label("URL", exact=True).fill("http://10.0.0.1/hook")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("url")


def test_a_hub_that_is_away_is_shown(page: Page, hub: Hub, receiver: Receiver) -> None:
    make(page, hub, receiver)
    expect(connection(page)).to_have_text("Connected")
    hub.kill()
    expect(connection(page)).to_have_text("No connection")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")


def test_the_page_is_for_operators(page: Page, start_hub: Callable[..., Hub]) -> None:
    page.clock.install()
    page.goto(f"{start_hub(**KEYS).url}/console/webhooks")
    enter_key(page, "viewer-key")
    expect(page.get_by_role("alert")).to_contain_text("for operators")
    expect(page.get_by_role("heading", name="Webhooks")).to_be_visible()
    expect(page.get_by_role("button")).to_have_text(["Change key"])
    # The page does not request them either: that would ask the viewer for another key.
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.clock.run_for(60_000)
    assert requested == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_axe_finds_nothing_serious(page: Page, hub: Hub, receiver: Receiver, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    make(page, hub, receiver)
    send(hub)
    expect(table(page, "Deliveries").get_by_text("Delivered", exact=True)).to_be_visible(timeout=60_000)
    assert axe.serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="New endpoint").click()
    assert axe.serious(page) == []
