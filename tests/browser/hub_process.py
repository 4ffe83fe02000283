"""The real hub as a child process, started as a user starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]
OWN_SETTINGS = ("STREAM_", "LIVEKIT_", "OPENAI_", "AGENT_")
"""Settings that whoever runs the tests may have set, and that must not reach the hub."""
SECONDS = 30.0
"""How long to wait for what must happen."""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class HubProcess:
    """One run of `flask_server.py`.

    Args:
        port: where to listen; 0 takes a free one.
        settings: environment variables besides those of the machine's own.
        log: the file for its output; the hub runs in its folder, not in the project's, which may have a `.env.local`.
    """

    def __init__(self, port: int, settings: dict[str, str], log: Path) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, str(ROOT / "flask_server.py"), "--port", str(self.port)],
                cwd=log.parent,
                env={**inherited, **settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_healthy(self) -> None:
        """Wait until the server answers.

        Raises:
            AssertionError: it ended, or did not answer in time; the message holds its log.
        """
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"the hub ended at once:\n{self._log.read_text()}"
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{self.url}/api/health", timeout=5).ok:
                    return
            self._wait(0.05)
        raise AssertionError(f"the hub is not healthy after {SECONDS} s:\n{self._log.read_text()}")

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def post(self, event: Any, **headers: str) -> dict[str, Any]:
        """Publish an event or a batch, and give the answer.

        Raises:
            requests.HTTPError: it was refused.
        """
        answer = requests.post(f"{self.url}/api/agent/data", json=event, headers=headers, timeout=10)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    def agent(self) -> dict[str, Any]:
        """The agent's status."""
        status: dict[str, Any] = requests.get(f"{self.url}/api/agent/status", timeout=10).json()
        return status

    def kill(self) -> None:
        """End the server as a crash does."""
        self._process.kill()
        self._process.wait(SECONDS)

    def ask_to_end(self) -> None:
        """Send the signal that an operator sends, without waiting."""
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """End the server as an operator does; by force where that takes too long."""
        if self._process.poll() is None:
            self.ask_to_end()
            self._wait(15)
        if self._process.poll() is None:
            self.kill()
