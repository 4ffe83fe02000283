"""A real hub, and example programs as child processes whose output is read while they run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.browser.hub_process import ROOT, HubProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 30.0


class Program:
    """A running program.

    Args:
        command: the program and its arguments.
        environment: variables besides this process's own.
    """

    def __init__(self, command: list[str], **environment: str) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def wait_for(self, text: str) -> str:
        """Wait until a line with this text was printed, and return it."""
        deadline = time.monotonic() + SECONDS
        with self._changed:
            while not (found := [line for line in self.lines if text in line]):
                assert self._changed.wait(deadline - time.monotonic()), f"no {text!r} in {self.lines}"
        return found[0]

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        code = self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    running = HubProcess(0, {"STREAM_HISTORY": f"sqlite:///{tmp_path / 'events.db'}"}, tmp_path / "hub.log")
    running.wait_until_healthy()
    yield running
    running.kill()


@pytest.fixture
def run(hub: HubProcess) -> Iterator[Callable[..., Program]]:
    """Start an example by its file name; ends them all."""
    started: list[Program] = []

    def start(name: str, *arguments: str, **environment: str) -> Program:
        command = [sys.executable, f"examples/{name}", *arguments]
        started.append(Program(command, **{"STREAM_URL": hub.url, "STREAM_KEY": "", **environment}))
        return started[-1]

    yield start
    for program in started:
        program.kill()
