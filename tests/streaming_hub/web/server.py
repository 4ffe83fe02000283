"""The real server as a child process, started the way a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import requests

from tests.streaming_hub.server.wire import PATIENCE

ROOT = Path(__file__).parents[3]
OWN = ("STREAM_", "LIVEKIT_", "OPENAI_", "AGENT_")


class ServerProcess:
    """One run of `flask_server.py` on a free port.

    Args:
        folder: its working directory; `data/` and `.env` would be looked for there.
        command: what runs; its output must name an address as `http://127.0.0.1:PORT`.
        **settings: environment variables.
    """

    def __init__(self, folder: Path, command: list[str] | None = None, **settings: str) -> None:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(OWN)}
        environ.update({"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **settings})
        self.folder = folder
        self.process = subprocess.Popen(
            command or [sys.executable, str(ROOT / "flask_server.py"), "--port", "0"],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line.decode(errors="replace"))
                self._news.notify_all()
        with self._news:
            self._lines.append("")
            self._news.notify_all()

    @property
    def log(self) -> str:
        """Its output so far."""
        return "".join(self._lines)

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Wait until its output has a pattern."""
        with self._news:
            found = self._news.wait_for(lambda: re.search(pattern, self.log) or "" in self._lines, PATIENCE)
            match = re.search(pattern, self.log)
        assert match, f"no {pattern!r} ({'it ended' if found else 'too slow'}):\n{self.log}"
        return match

    def wait_until_up(self) -> ServerProcess:
        """Wait until it takes requests."""
        self.port = int(self.wait_for_line(r"http://127\.0\.0\.1:(\d+)")[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def post(self, body: Any, **headers: str) -> requests.Response:
        """Publish an event or a batch."""
        return requests.post(f"{self.url}/api/agent/data", json=body, headers=headers, timeout=PATIENCE)

    def get(self, path: str, **headers: str) -> requests.Response:
        """Ask for a page."""
        return requests.get(f"{self.url}{path}", headers=headers, timeout=PATIENCE)

    def wait_for_clients(self, count: int) -> None:
        """Wait until so many streams are open, as health tells."""
        deadline = time.monotonic() + PATIENCE
        while (now := self.get("/api/health").json()["clients"]) != count:
            assert time.monotonic() < deadline, f"{now} streams are open, not {count}"

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def end(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
