"""A real hub, and example programs as child processes whose output is read while they run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.process import HubProcess, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    running = HubProcess(0, {"STREAM_HISTORY": f"sqlite:///{tmp_path / 'events.db'}"}, tmp_path)
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
