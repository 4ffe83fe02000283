"""A worker at full capacity: livekit-server passes it over without a word, so the stream has to say it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.livekit.participant import Participant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.livekit.conftest import Join, StartHub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]

BURN = "import os; os.nice(19)\nwhile True: pass"


@contextlib.contextmanager
def busy_machine() -> Iterator[None]:
    """Load on all cores, by processes that nothing depends on."""
    burning = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for one in burning:
            one.kill()
            one.wait(10)


def test_full_worker_says_so_and_comes_as_soon_as_it_can(start_hub: StartHub, join: Join) -> None:
    hub = start_hub(AGENT_LOAD_THRESHOLD="0.95")
    hub.start_agent()
    with busy_machine():
        full = hub.stream.wait_for_agent("ready", "full capacity", seconds=60)
        assert "AGENT_LOAD_THRESHOLD" in full["reason"]
        hub.stream.wait("error", source="worker", message=full["reason"])
        join("hall")
    free = hub.stream.wait_for_agent("ready", "", after=full, seconds=90)
    hub.stream.wait("session_started", room="hall", after=free, seconds=40)
    join("den", "bob")
    hub.stream.wait("session_started", room="den", seconds=30)


def test_room_that_no_worker_takes_is_reported(start_hub: StartHub) -> None:
    hub = start_hub(AGENT_LOAD_THRESHOLD="0.001")
    hub.start_agent()
    hub.stream.wait_for_agent("ready", "full capacity", seconds=30)
    url, token = hub.token("den", "bob")
    with Participant(url, token, "bob"):
        told = hub.stream.wait("error", source="dispatch", room="den", seconds=60)
    assert "no agent came" in told["message"]
