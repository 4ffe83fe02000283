"""Talk where it cannot work: the page says what is missing, and everything else works as before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import jwt
import pytest
import requests
from playwright.sync_api import expect

from streaming_hub.web.console.vendor import CLIENT, HOW_TO_GET
from tests.kit.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.kit.hub import Hub

pytestmark = pytest.mark.page

LIVEKIT = {
    "LIVEKIT_URL": "ws://127.0.0.1:9",
    "LIVEKIT_API_KEY": "devkey",
    "LIVEKIT_API_SECRET": "a_secret_of_at_least_32_bytes_____",
}
META = re.compile(r'<meta name="talk" content="[^"]*"')


def serve_with(page: Page, url: str, missing: str, client: str = "") -> None:
    """Serve the hub's page as if this were missing, and this script the installed client."""

    def change(route: Route) -> None:
        answer = route.fetch()
        html = META.sub(f'<meta name="talk" content="{missing}"', answer.text())
        route.fulfill(response=answer, body=html)

    page.route(f"{url}/", change)
    if client:
        page.route(
            "**/vendor/livekit-client.js",
            lambda route: route.fulfill(body=client, content_type="text/javascript"),
        )
    else:
        page.route("**/vendor/livekit-client.js", lambda route: route.fulfill(status=404))


def test_without_livekit_the_page_says_what_to_set(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    page.goto(hub.url)
    expect(page.locator("#talk-state")).to_contain_text("LIVEKIT_URL")
    expect(page.get_by_role("button", name="Talk", exact=True)).to_be_hidden()
    hub.publish({"type": "transcript", "text": "all else works", "room": "r", "participant": "p"})
    expect(page.get_by_role("log", name="Conversation")).to_contain_text("all else works")


def test_without_the_client_the_page_says_how_to_get_it(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**LIVEKIT)
    serve_with(page, hub.url, "client")
    page.goto(hub.url)
    expect(page.locator("#talk-state")).to_contain_text(HOW_TO_GET)
    expect(page.locator("#talk-state")).not_to_contain_text("LIVEKIT_URL")
    expect(page.get_by_role("button", name="Talk", exact=True)).to_be_hidden()


def test_where_both_are_missing_it_is_said_once(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    serve_with(page, hub.url, "livekit client")
    page.goto(hub.url)
    says = page.locator("#talk-state")
    expect(says).to_contain_text("LIVEKIT_URL")
    expect(says).to_contain_text(HOW_TO_GET)
    expect(page.get_by_text(re.compile("Talking needs"))).to_have_count(1)
    assert says.inner_text().count("Talking needs") == 1
    gap = page.evaluate(
        """() => ['talk-state', 'tools-empty'].map((id) => {
            const words = document.createRange();
            words.selectNodeContents(document.getElementById(id));
            const title = document.getElementById(`${id.split('-')[0]}-title`);
            return Math.round(words.getBoundingClientRect().top - title.getBoundingClientRect().bottom);
        })"""
    )
    assert gap[0] == gap[1], "words begin as far below the title as in other cards"


def test_page_is_reported_what_is_there(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub()
    bare = requests.get(hub.url, timeout=10).text
    talk = META.search(bare)
    assert talk is not None
    assert "livekit" in talk.group()
    assert ("client" in talk.group()) is not CLIENT.is_file()
    answer = requests.get(f"{hub.url}/vendor/livekit-client.js", timeout=10)
    if CLIENT.is_file():
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.content == CLIENT.read_bytes()
    else:
        assert answer.status_code == 404
        assert HOW_TO_GET in answer.json()["detail"]


def test_client_that_does_not_load_is_a_problem_that_shows(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**LIVEKIT)
    serve_with(page, hub.url, "")
    page.goto(hub.url)
    page.get_by_role("button", name="Talk", exact=True).click()
    expect(page.locator("#talk-problem")).to_contain_text("could not be loaded")
    expect(page.get_by_role("button", name="Talk", exact=True)).to_be_enabled()


def test_refused_token_is_a_problem_that_shows(page: Page, start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**LIVEKIT, STREAM_OPERATOR_KEYS="secret")
    serve_with(page, hub.url, "", "window.LivekitClient = {};")
    page.goto(hub.url)
    page.get_by_role("button", name="Talk", exact=True).click()
    expect(page.locator("#talk-problem")).to_contain_text("scope join")


def test_livekits_own_token_source_works_unchanged(page: Page, start_hub: Callable[..., Hub]) -> None:
    if not CLIENT.is_file():
        pytest.skip("livekit-client is not installed (README, Talk to it)")
    hub = start_hub(**LIVEKIT)
    page.add_init_script(path=CLIENT)
    page.goto(hub.url)
    answer = page.evaluate(
        """async () => {
            const source = LivekitClient.TokenSource.endpoint("/api/token");
            const options = {
                roomName: "hall", participantIdentity: "alice", participantName: "Alice",
                participantAttributes: { seat: "3" }, agentName: "helper", agentMetadata: "m",
            };
            const first = await source.fetch(options);
            return { ...first, again: (await source.fetch(options)).participantToken === first.participantToken };
        }"""
    )
    claims = jwt.decode(answer["participantToken"], LIVEKIT["LIVEKIT_API_SECRET"], ["HS256"])
    assert answer["serverUrl"] == LIVEKIT["LIVEKIT_URL"]
    assert answer["again"], "a token that lasts is asked for once"
    assert (claims["sub"], claims["name"], claims["attributes"]) == ("alice", "Alice", {"seat": "3"})
    assert claims["video"]["room"] == "hall"
    assert claims["roomConfig"]["agents"] == [{"agentName": "helper", "metadata": "m"}]


def test_only_that_script_may_be_loaded(start_hub: Callable[..., Hub]) -> None:
    hub = start_hub(**LIVEKIT)
    policy = requests.get(hub.url, timeout=10).headers["Content-Security-Policy"]
    scripts = re.search(r"script-src ([^;]*)", policy)
    assert scripts is not None
    for source in scripts.group(1).split():
        assert re.fullmatch(r"'(sha256|nonce)-[\w+/=-]+'", source), source
    again = requests.get(hub.url, timeout=10).headers["Content-Security-Policy"]
    assert again != policy, "a nonce is good for one answer"


def test_from_disk_there_is_no_talk(page: Page) -> None:
    page.goto((ROOT / "stream-test.html").as_uri())
    expect(page.locator("#talk")).to_be_hidden()
