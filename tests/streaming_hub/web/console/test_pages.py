"""The console's pages as the hub sends them: the frame, the policy, the files. Covers `streaming_hub.resources`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from streaming_hub import resources
from streaming_hub.web.console.pages import PAGES, imports
from tests.kit.callers import ask, hub

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from streaming_hub.web.console.pages import Page

DESIGNED = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ENTRIES = [page for page in PAGES if page.entry]


def address(page: Page) -> str:
    return re.sub(r"<path:\w+>", "a%2Fb", page.path)


def preloaded(answer: TestResponse) -> list[str]:
    return re.findall(r"<([^>]+)>; rel=modulepreload(?:, |$)", answer.headers["Link"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_runs_nothing_but_modules_of_the_hub(page: Page) -> None:
    answer = ask(hub(), "GET", address(page))
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert answer.headers["Content-Security-Policy"] == DESIGNED
    assert answer.headers["Cache-Control"] == "no-cache"
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", answer.text)
    assert re.findall(r"<script(?! type=module src=/console/static/)", answer.text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_all_that_a_page_loads_exists(page: Page) -> None:
    app = hub()
    answer = ask(app, "GET", address(page))
    named = re.findall(r"""(?:src|href)="?(/console/(?:static|client)/[^"> ]+)""", answer.text)
    for path in [*named, *preloaded(answer)]:
        assert ask(app, "GET", path).status_code == 200, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_asks_for_all_its_modules_at_once(page: Page) -> None:
    found = imports(page.module)
    assert {"/console/static/frame.js", "/console/static/dom.js", "/console/client/sse.js"} <= set(found)
    assert f"/console/static/{page.module}" not in found
    assert len(set(found)) == len(found)
    answer = ask(hub(), "GET", address(page))
    assert tuple(preloaded(answer)) == found
    # Proxies give up where all headers together take over 4 KiB, nginx's default.
    assert len(str(answer.headers)) < 3500


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_the_navigation_names_every_page_and_where_one_is(page: Page) -> None:
    text = ask(hub(), "GET", address(page)).text
    navigation = re.search(r"<nav aria-label=Console>(.*?)</nav>", text, re.DOTALL)
    assert navigation
    assert re.findall(r">(\w+)</a>", navigation[1]) == [one.entry for one in ENTRIES]
    current = re.findall(r"aria-current=page[^>]*>(\w+)<", navigation[1])
    assert current == ([page.entry] if page.entry else [])


@pytest.mark.parametrize("path", ["/", "/stream-test.html", *map(address, PAGES)])
def test_only_a_demo_says_that_it_is_one(path: str) -> None:
    assert ">Demo<" not in ask(hub(), "GET", path).text
    assert ">Demo<" in ask(hub(demo=3), "GET", path).text


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("/console/static/frame.js", "text/javascript"),
        ("/console/static/console.css", "text/css"),
        ("/console/static/icon.svg", "image/svg+xml"),
        ("/console/client/index.js", "text/javascript"),
    ],
)
def test_a_file_has_its_type_and_is_sent_once(path: str, media: str) -> None:
    app = hub()
    first = ask(app, "GET", path)
    assert (first.status_code, first.mimetype) == (200, media)
    assert first.headers["Cache-Control"] == "no-cache"
    again = ask(app, "GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/console/static/../pages.py",
        "/console/static/%2e%2e/tsconfig.json",
        "/console/client/../package.json",
        "/console/client/nothing.js",
        "/console/static/live",
        "/console/static//etc/hosts.js",
        "/console/nothing",
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    answer = ask(hub(), "GET", path)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


def test_a_path_without_its_last_slash_leads_to_the_console() -> None:
    answer = ask(hub(), "GET", "/console")
    assert answer.status_code == 308
    assert answer.headers["Location"].endswith("/console/")


def test_the_tokens_are_those_of_the_live_page() -> None:
    css = (resources.console("static") / "console.css").read_text(encoding="utf-8")
    page = (resources.console("static").parents[3] / "stream-test.html").read_text(encoding="utf-8")
    assert tokens(css) == tokens(page)
    assert len(tokens(css)["light"]) > len(tokens(css)["dark"]) > 20


def tokens(text: str) -> dict[str, dict[str, str]]:
    """Return the custom properties of both colour schemes, as the first two `:root` rules declare them."""
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)[:2]
    return {
        scheme: dict(re.findall(r"(--[\w-]+): (.*?);", rule))
        for scheme, rule in (("light", light), ("dark", dark))
    }
