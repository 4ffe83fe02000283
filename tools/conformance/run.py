"""Run one client through one case. Starts processes, and Chromium where a page has to be the client."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tools.conformance.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tools.conformance.cases import Case

FOLDER = Path(__file__).parent


class Client(Protocol):
    """Something that reads a stream."""

    pages: Mapping[str, tuple[str, bytes]]

    def reading(self, url: str, lines: list[str]) -> contextlib.AbstractContextManager[None]:
        """Read the stream of a server, adding each event's data to a list, until the context is left."""


@dataclass
class Program:
    """A client that is a program: its command gets the stream's URL as the last argument but `after`."""

    command: Sequence[str]
    after: Sequence[str] = ()
    pages: Mapping[str, tuple[str, bytes]] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.pages = {}

    @contextlib.contextmanager
    def reading(self, url: str, lines: list[str]) -> Iterator[None]:
        command = [*self.command, f"{url}/stream", *self.after]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            threading.Thread(
                target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True
            ).start()
            try:
                yield
            finally:
                process.kill()


@dataclass
class Page:
    """A client that is a page in a browser."""

    browser: Any
    script: str
    pages: Mapping[str, tuple[str, bytes]]

    @contextlib.contextmanager
    def reading(self, url: str, lines: list[str]) -> Iterator[None]:
        page = self.browser.new_page()
        page.on("console", lambda message: lines.append(message.text))
        try:
            page.goto(f"{url}/")
            page.evaluate(self.script)
            self._page = page
            yield
        finally:
            page.close()

    def pump(self) -> None:
        """Let the browser's messages in."""
        self._page.wait_for_timeout(50)


def passes(client: Client, case: Case) -> bool:
    """Return whether a client does in a case what it should."""
    lines: list[str] = []
    with Server(case.script, client.pages) as server, client.reading(server.url, lines):
        deadline = time.monotonic() + case.seconds

        def enough() -> bool:
            return len(numbers(lines)) >= len(case.expected) and bool(server.requests)

        while not enough() and time.monotonic() < deadline:
            _pause(client)
        settled = time.monotonic() + case.settle
        while time.monotonic() < settled:
            _pause(client)
        if numbers(lines) != list(case.expected):
            return False
        with contextlib.suppress(IndexError):
            return case.check(server.requests)
        return False


def numbers(lines: Sequence[str]) -> list[int]:
    """Return `n` of every event that has one."""
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "n" in event:
                found.append(event["n"])
    return found


def _pause(client: Client) -> None:
    if isinstance(client, Page):
        client.pump()
    else:
        time.sleep(0.05)
