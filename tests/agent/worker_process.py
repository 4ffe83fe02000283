"""Starts agent.worker as the hub does: own session, one end of a socket pair, settings in its environment."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("LIVEKIT_", "OPENAI_", "AGENT_", "STREAM_")


class WorkerProcess:
    """The agent process and its messages on the control socket. A context manager.

    Args:
        settings: The environment's settings; those of the machine are not passed on.
    """

    def __init__(self, **settings: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        self.hub_end, child_end = socket.socketpair()
        environment |= {"AGENT_CONTROL_FD": str(child_end.fileno()), **settings}
        self.messages: list[dict[str, Any]] = []
        self.started = time.time()
        self._changed = threading.Condition()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        with child_end:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "agent.worker"],
                cwd=ROOT,
                env=environment,
                pass_fds=[child_end.fileno()],
                start_new_session=True,
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        self.hub_end.close()
        self._log.close()

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def wait_for_state(self, state: str, *, times: int = 1, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until the child has reported a state `times` times, and return the first message."""

        def found() -> list[dict[str, Any]]:
            return [message for message in self.messages if message["state"] == state]

        self._wait(lambda: len(found()) >= times, seconds, f"no {state!r} on the control socket")
        return found()[0]

    def stop(self, seconds: float = 10.0) -> float:
        """Send SIGTERM; return the seconds until the process has ended."""
        asked = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)
        return time.monotonic() - asked

    def _wait(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition():
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise AssertionError(f"{what} within {seconds} s: {self.messages}\n{self.log}")
                self._changed.wait(rest)

    def _read(self) -> None:
        with self.hub_end.makefile() as lines:
            for line in lines:
                with self._changed:
                    self.messages.append(json.loads(line))
                    self._changed.notify_all()
