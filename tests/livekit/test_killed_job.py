"""A session's own process is killed, and the worker lives on (the process executor)."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.kit.proc import descendants
from tests.livekit.test_conversation import greeted

if TYPE_CHECKING:
    from tests.livekit.conftest import Join, StartHub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(180)]


def job_processes(worker: int) -> list[int]:
    """The processes in which jobs run or will run: LiveKit's forkserver makes them."""
    below = descendants(worker)
    return [pid for pid in below if any(pid in descendants(other) for other in below)]


def test_killed_job_ends_its_session_and_the_room_gets_another(start_hub: StartHub, join: Join) -> None:
    hub = start_hub(AGENT_EXECUTOR="process")
    hub.start_agent()
    alice = join("hall")
    quiet = greeted(hub.stream, "hall")
    first = hub.stream.wait("session_started", room="hall")
    worker = hub.get("/api/agent/status")["pid"]
    jobs = job_processes(worker)
    assert jobs, "no job has a process of its own"
    for job in jobs:
        os.kill(job, signal.SIGKILL)
    ended = hub.stream.wait("session_ended", session_id=first["session_id"], after=quiet, seconds=40)
    assert ended["reason"] == "lease_expired"
    hub.stream.wait("session_started", room="hall", after=ended, seconds=60)
    assert alice.wait_for_agent()
    assert hub.get("/api/agent/status")["pid"] == worker
