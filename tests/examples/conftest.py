"""A real hub, and example programs as child processes whose output is read while they run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.hub import Hub
from tests.kit.process import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path, STREAM_HISTORY=f"sqlite:///{tmp_path / 'events.db'}") as running:
        yield running


@pytest.fixture
def run(hub: Hub) -> Iterator[Callable[..., Program]]:
    """Start an example by its file name; ends them all."""
    started: list[Program] = []

    def start(name: str, *arguments: str, **environment: str) -> Program:
        command = [sys.executable, f"examples/{name}", *arguments]
        started.append(Program(command, **{"STREAM_URL": hub.url, "STREAM_KEY": "", **environment}))
        return started[-1]

    yield start
    for program in started:
        program.kill()
