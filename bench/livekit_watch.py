"""Readers of the stream that note when each event arrived: a process with a socket, and the live page in Chromium.

As a program it is the former:  livekit_watch.py PORT  prints a line for each event: the time, a tab, the event.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from pathlib import Path

_NOTE = """
window.arrivals = [];
const now = () => performance.timeOrigin + performance.now();
window.EventSource = class extends EventSource {
  constructor(...options) {
    super(...options);
    this.addEventListener("message", (event) => {
      const note = [event.lastEventId, now(), 0];
      window.arrivals.push(note);
      requestAnimationFrame(() => requestAnimationFrame(() => { note[2] = now(); }));
    });
  }
};
"""


class LivePage:
    """The page at `/`, open in Chromium; a context manager."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Self:
        self._playwright = sync_playwright().start()
        program = (
            shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        )
        options: dict[str, Any] = {"executable_path": program, "args": ["--no-sandbox", "--disable-gpu"]}
        self._browser = self._playwright.chromium.launch(**options)
        self._page = self._browser.new_page()
        self._page.add_init_script(_NOTE)
        self._page.goto(self._url)
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._playwright.stop()

    def arrivals(self) -> dict[str, tuple[float, float]]:
        """Return, for each event's id, when it reached the page's script and when it was painted (seconds)."""
        notes = self._page.evaluate("window.arrivals")
        first = reversed(notes)  # a heartbeat repeats the id of what came before it
        return {event_id: (read / 1000, painted / 1000) for event_id, read, painted in first if painted}


def read_notes(path: Path) -> list[tuple[float, dict[str, Any]]]:
    """Return what the program has printed into a file: (time, event)."""
    lines = (line.partition("\t") for line in path.read_text().splitlines())
    return [(float(at), json.loads(event)) for at, _, event in lines]


def watch(port: int) -> None:
    """Print what arrives until the stream ends."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /api/stream HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        waiting = b""
        while block := connection.recv(65536):
            at = time.time()
            *frames, waiting = (waiting + block).split(b"\n\n")
            for frame in frames:
                data = [line[5:].strip() for line in frame.split(b"\n") if line.startswith(b"data:")]
                if data:
                    print(f"{at}\t{b''.join(data).decode()}", flush=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
