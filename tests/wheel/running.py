"""A hub that runs from some command, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

import requests

from tests.wheel.conftest import environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PATIENCE = 60.0


class RunningHub:
    """Started by a command, on a free port; ended with all its processes.

    Args:
        command: without `--port`.
        folder: the working directory.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path, **settings: str) -> None:
        self._log = folder.parent / f"hub-{time.monotonic_ns()}.log"
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [*map(str, command), "--port", "0"],
                cwd=folder,
                env=environment(PYTHONUNBUFFERED="1", **settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.url = self._wait_for(r"Live page +(http://\S+)/")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            finally:
                if self.process.poll() is None:
                    os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE)

    def post(self, path: str, body: Any = None) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=PATIENCE)

    def until(self, path: str, condition: Any) -> Any:
        """Ask until the JSON of an answer is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while not condition(found := self.get(path).json()):
            assert time.monotonic() < deadline, f"{found}\n{self.output}"
            self._nap()
        return found

    def events(self, query: str = "") -> Any:
        """Yield the events of a stream."""
        with requests.get(f"{self.url}/api/stream{query}", stream=True, timeout=PATIENCE) as answer:
            for line in answer.iter_lines():
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def _wait_for(self, pattern: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.output)):
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            self._nap()
        return found[1]

    def _nap(self) -> None:
        try:
            self.process.wait(0.1)
        except subprocess.TimeoutExpired:
            return
