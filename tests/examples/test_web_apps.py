"""examples/react, examples/nextjs, examples/html: installed, built and served as their READMEs say, read in Chromium.

The registry's packages are those of the examples' lock files; packages/js is copied in by npm.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import socket
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import expect
from streaming_hub_client import publish

from tests.browser.conftest import browser, context, page  # noqa: F401
from tests.kit.hub import Hub
from tests.kit.process import ROOT, SECONDS, Program, free_port
from tests.kit.wait import until
from tests.packages.node import PACKAGE, node, npm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Locator, Page

pytestmark = [pytest.mark.npm, pytest.mark.timeout(280)]

KEYS = {"STREAM_SUBSCRIBE_KEYS": "reader", "STREAM_PUBLISH_KEYS": "writer", "STREAM_OPERATOR_KEYS": "boss"}
WRITER = {"Authorization": "Bearer writer"}
WINDOW = 100
"""Events that the hub stores."""
PATIENCE = 60_000
"""Milliseconds: a first request may wait for code to be loaded on a busy machine."""


def installed(name: str) -> Path:
    """Return an example's folder with its packages in it: those of its lock file, and packages/js as it is now."""
    folder = ROOT / "examples" / name
    made_from = hashlib.sha256((folder / "package-lock.json").read_bytes())
    for file in [PACKAGE / "package.json", *sorted((PACKAGE / "src").glob("*.js"))]:
        made_from.update(file.read_bytes())
    mark = folder / "node_modules" / ".made-from"
    if not mark.is_file() or mark.read_text() != made_from.hexdigest():
        npm("ci", cwd=folder)
        mark.write_text(made_from.hexdigest())
    return folder


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Hub]]:
    """Start a hub with a small window, open or with keys; with a port, the hub that was there before, again."""
    folder = tmp_path_factory.mktemp("hub")
    started: list[Hub] = []

    def start(port: int = 0, keys: Mapping[str, str] = KEYS) -> Hub:
        port = port or free_port()
        settings = {
            "STREAM_HISTORY": f"sqlite:///{folder / f'{port}.db'}",
            "STREAM_HISTORY_MAX_EVENTS": str(WINDOW),
            **keys,
        }
        started.append(Hub(folder, port=port, **settings))
        return started[-1].start()

    yield start
    for hub in started:
        hub.kill()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Program]]:
    """Start a program that serves an app, and wait for it; ends them all."""
    started: list[Program] = []

    def start(url: str, command: list[str], folder: Path, **environment: str) -> Program:
        program = Program(command, folder, NEXT_TELEMETRY_DISABLED="1", **environment)
        started.append(program)

        def answers() -> bool:
            assert program.process.poll() is None, program.log
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(url, timeout=SECONDS).ok
            return False

        until(answers, 2 * SECONDS, lambda: program.log)
        return program

    yield start
    for program in started:
        program.kill()


@pytest.fixture(scope="module")
def react(serve: Callable[..., Program], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Build the React page, and serve it for a hub; returns its address."""
    folder = installed("react")
    made = str(tmp_path_factory.mktemp("react"))
    npm("run", "build", "--", "--outDir", made, "--emptyOutDir", cwd=folder)

    def start(hub: str) -> str:
        port = free_port()
        vite = [node(), "node_modules/vite/bin/vite.js", "preview", "--outDir", made]
        url = f"http://127.0.0.1:{port}"
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--strictPort"]
        serve(url, [*vite, *arguments], folder, STREAM_URL=hub, STREAM_KEY="")
        return url

    return start


class NextApp:
    """The Next.js app as it is deployed: built without a hub's address or key, which its server gets."""

    def __init__(self, serve: Callable[..., Program], hub: str, **environment: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.route = f"{self.url}/api/hub"
        command = [node(), "node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", str(port)]
        folder = ROOT / "examples/nextjs"
        self._program = serve(self.url, command, folder, STREAM_URL=hub, STREAM_KEY="reader", **environment)

    def memory(self) -> int:
        """Return the resident memory of its server, in bytes."""
        rows = subprocess.run(
            ["ps", "-A", "-o", "pgid=,rss="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        own = [row.split() for row in rows if int(row.split()[0]) == self._program.process.pid]
        assert own
        return sum(int(kib) for _, kib in own) * 1024


@pytest.fixture(scope="module")
def next_build() -> None:
    """Build the Next.js app."""
    folder = installed("nextjs")
    shutil.rmtree(folder / ".next", ignore_errors=True)
    npm("run", "build", cwd=folder)


@pytest.fixture(scope="module")
def next_hub(hubs: Callable[..., Hub]) -> Hub:
    return hubs()


@pytest.fixture(scope="module")
def next_app(next_build: None, serve: Callable[..., Program], next_hub: Hub) -> NextApp:
    return NextApp(serve, next_hub.url)


def say(hub: Hub, room: str, text: str, **more: Any) -> dict[str, Any]:
    fields = {"room": room, "session_id": room, "role": "user", "participant": "ann", "text": text, **more}
    return hub.publish({"type": "transcript", **fields}, **WRITER)


def warning(page: Page) -> Locator:  # noqa: F811
    """Return what a page says about a gap; Next.js has an alert of its own."""
    return page.locator("p[role=alert]:visible")


def a_conversation_appears(page: Page, url: str, hub: Hub) -> None:  # noqa: F811
    """Open a page, and follow a word that changes, and markup that is none."""
    page.goto(url)
    expect(page.get_by_role("status")).to_have_text("live", timeout=PATIENCE)
    expect(warning(page)).to_have_count(0)
    say(hub, "r1", "My ord", is_final=False, segment_id="s1")
    lines = page.get_by_role("list", name="Transcript").get_by_role("listitem")
    expect(lines).to_have_text(["ann My ord"], timeout=PATIENCE)
    say(hub, "r1", "My order is <b>late</b>.", is_final=True, segment_id="s1")
    expect(lines).to_have_text(["ann My order is <b>late</b>."], timeout=PATIENCE)


def a_gap_is_told(
    page: Page,  # noqa: F811
    context: BrowserContext,  # noqa: F811
    hub: Hub,
    again: Callable[[int], Hub],
    *,
    counted: bool,
) -> Hub:
    """Keep a page away until the hub has forgotten events; it has to say how many and why, and then go on.

    Args:
        page: It is live.
        context: Its browser.
        hub: Where it is.
        again: Starts that hub again.
        counted: Whether the reader sees all events: only then the hub says how many are missing.
    """
    last = seq(say(hub, "r1", "The last one seen.")["id"])
    expect(page.get_by_text("The last one seen.")).to_have_count(1, timeout=PATIENCE)
    hub.kill()
    expect(page.get_by_role("status")).to_have_text("connecting", timeout=PATIENCE)
    context.set_offline(True)
    hub = again(hub.port)
    newest = [say(hub, "r1", f"Said meanwhile: {n}.") for n in range(3 * WINDOW)][-1]
    until(lambda: len(stored(hub)) <= WINDOW, SECONDS)
    oldest = seq(stored(hub)[0]["id"])
    context.set_offline(False)
    number = f"{oldest - last - 1}" if counted else "Some"
    wanted = f"{number} events are missing (expired)."
    expect(warning(page)).to_have_text(wanted, timeout=PATIENCE)
    expect(page.get_by_text(f"Said meanwhile: {3 * WINDOW - 1}.")).to_have_count(1, timeout=PATIENCE)
    assert seq(newest["id"]) - last == 3 * WINDOW
    say(hub, "r1", "Heard again.")
    expect(page.get_by_text("Heard again.")).to_have_count(1, timeout=PATIENCE)
    expect(page.get_by_role("status")).to_have_text("live", timeout=PATIENCE)
    return hub


def stored(hub: Hub) -> list[dict[str, Any]]:
    answer = requests.get(
        f"{hub.url}/api/events?limit=1000", headers={"Authorization": "Bearer boss"}, timeout=SECONDS
    )
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def seq(event_id: str) -> int:
    return int(event_id.rpartition("-")[2])


def clients(hub: Hub) -> int:
    count: int = requests.get(f"{hub.url}/api/health", timeout=SECONDS).json()["clients"]
    return count


def test_the_react_page(
    react: Callable[[str], str],
    hubs: Callable[..., Hub],
    page: Page,  # noqa: F811
    context: BrowserContext,  # noqa: F811
) -> None:
    start = partial(hubs, keys={})
    hub = start()
    a_conversation_appears(page, react(hub.url), hub)
    say(hub, "r2", "Elsewhere.")
    page.get_by_label("Room").select_option("r2")
    expect(page.get_by_role("list", name="Transcript")).to_have_text("ann Elsewhere.", timeout=PATIENCE)
    page.get_by_label("Room").select_option("r1")
    hub = a_gap_is_told(page, context, hub, start, counted=True)
    page.goto("about:blank")
    until(lambda: clients(hub) == 0, SECONDS, "the hub's stream is still open")


def test_the_html_page(
    tmp_path: Path,
    serve: Callable[..., Program],
    page: Page,  # noqa: F811
    context: BrowserContext,  # noqa: F811
) -> None:
    """Against a hub without keys, whose history is lost in a restart: the size of the gap is not known."""

    def start(port: int = 0) -> Hub:
        return Hub(tmp_path, port=port, STREAM_HISTORY="memory://").start()

    folder = installed("html")
    site = f"http://localhost:{(port := free_port())}"
    serve(site, [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], folder)
    hub = start()
    try:
        a_conversation_appears(page, f"{site}/?hub={hub.url}", hub)
        hub.kill()
        hub = start(hub.port)
        wanted = "Some events are missing (foreign)."
        expect(warning(page)).to_have_text(wanted, timeout=PATIENCE)
        say(hub, "r1", "Heard again.")
        expect(page.get_by_text("Heard again.")).to_have_count(1, timeout=PATIENCE)
    finally:
        hub.kill()


def test_the_nextjs_app(
    next_build: None,
    serve: Callable[..., Program],
    hubs: Callable[..., Hub],
    page: Page,  # noqa: F811
    context: BrowserContext,  # noqa: F811
) -> None:
    hub = hubs()
    app = NextApp(serve, hub.url)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.url} {request.headers}"))
    a_conversation_appears(page, app.url, hub)
    a_gap_is_told(page, context, hub, hubs, counted=False)
    assert any("/api/hub" in one for one in asked)
    assert not [one for one in asked if "reader" in one or f":{hub.port}" in one]


def read(url: str, count: int, **headers: str) -> list[tuple[str | None, str]]:
    """Return the first events of a stream, each with its id."""
    found: list[tuple[str | None, str]] = []
    place = None
    with requests.get(url, headers=headers, stream=True, timeout=SECONDS) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert "Content-Encoding" not in answer.headers
        for line in answer.iter_lines(chunk_size=1):
            if line.startswith(b"id: "):
                place = line[4:].decode()
            elif line.startswith(b"data: "):
                found.append((place, line[6:].decode()))
                place = None
            if len(found) == count:
                break
    return found


def test_a_browser_resumes_through_the_route(next_app: NextApp, next_hub: Hub) -> None:
    first = say(next_hub, "r1", "one")["id"]
    second = say(next_hub, "r1", "two")["id"]
    connected, event = read(next_app.route, 2, **{"Last-Event-ID": first, "Accept-Encoding": "gzip"})
    assert '"connected"' in connected[1]
    assert event[0] == second
    assert '"two"' in event[1]


def test_only_the_room_that_the_server_names(
    next_build: None, serve: Callable[..., Program], next_hub: Hub
) -> None:
    app = NextApp(serve, next_hub.url, STREAM_ROOM="mine")
    start = say(next_hub, "theirs", "secret")["id"]
    say(next_hub, "theirs", "secret")
    say(next_hub, "mine", "for all")
    events = read(f"{app.route}?room=theirs&last_event_id={start}", 2)
    assert '"for all"' in events[1][1]


def test_a_browser_that_leaves_closes_the_hubs_stream(
    next_build: None, serve: Callable[..., Program], hubs: Callable[..., Hub]
) -> None:
    hub = hubs()
    app = NextApp(serve, hub.url)
    with requests.get(app.route, stream=True, timeout=SECONDS) as answer:
        assert next(answer.iter_content(1)) == b"d"
        until(lambda: clients(hub) == 1, SECONDS, lambda: f"{clients(hub)} streams")
    until(lambda: clients(hub) == 0, SECONDS, "the hub's stream is still open")


def test_a_hub_that_is_away_does_not_end_a_browser(next_build: None, serve: Callable[..., Program]) -> None:
    app = NextApp(serve, f"http://127.0.0.1:{free_port()}")
    answer = requests.get(app.route, timeout=SECONDS)
    assert answer.status_code == 200
    assert re.match(r'retry: \d+\ndata: \{"type":"goodbye"', answer.text)


def test_a_browser_that_stops_reading_costs_the_server_no_memory(next_app: NextApp, next_hub: Hub) -> None:
    event = {"type": "filler", "room": "r1", "text": "x" * 60_000}
    url = urlsplit(next_app.route)
    read(next_app.route, 1)  # loads what the route needs
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=SECONDS) as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        assert stuck.recv(1)
        before = next_app.memory()
        for _ in range(300):
            publish(next_hub.url, [event] * 16, key="writer")
        most = 0
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            most = max(most, next_app.memory() - before)
            time.sleep(0.1)
    assert most < 100e6, f"{most / 1e6:.0f} MB more for 288 MB sent"
