"""The agent process stopped while it speaks: the speech is cut off, the end is reported, nothing is left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.wait import until
from tests.livekit.test_conversation import LONG_STORY, STORY, greeted
from tests.livekit.test_killed_job import descendants
from tests.stubs.script import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.livekit.conftest import Join, StartHub
    from tests.livekit.processes import HubServer
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]


def stop_by_hub(hub: HubServer) -> None:
    hub.post("/api/agent/stop")


def stop_from_outside(hub: HubServer) -> None:
    os.kill(hub.get("/api/agent/status")["pid"], signal.SIGTERM)


def gone(pids: list[int]) -> Callable[[], bool]:
    return lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("executor", ["thread", "process"])
@pytest.mark.parametrize("stop", [stop_by_hub, stop_from_outside])
def test_stop_in_the_middle_of_a_speech(
    start_hub: StartHub, stub: OpenAIStub, join: Join, executor: str, stop: Callable[[HubServer], None]
) -> None:
    stub.learn(STORY)
    stub.script.add(Rule("story", text=LONG_STORY))
    hub = start_hub(AGENT_EXECUTOR=executor)
    hub.start_agent()
    alice = join("nursery")
    quiet = greeted(hub.stream, "nursery")
    alice.say(STORY)
    telling = hub.stream.wait("agent_speech_started", after=quiet)
    hub.stream.wait("transcript", role="agent", is_final=False, turn_id=telling["turn_id"])
    worker = hub.get("/api/agent/status")["pid"]
    processes = [worker, *descendants(worker)]
    stop(hub)
    cut = hub.stream.wait("agent_speech_finished", after=telling)
    final = hub.stream.wait("transcript", role="agent", is_final=True, after=telling)
    ended = hub.stream.wait("session_ended", after=cut)
    assert (cut["interrupted"], final["interrupted"]) == (True, True)
    assert len(final["text"]) < len(LONG_STORY)
    assert ended["reason"] == "agent_stopped"
    until(gone(processes), seconds=10, what="no process of the agent is left")
    assert hub.stream.of_type("session_ended") == [ended]


def test_agent_that_another_program_stopped_is_restarted(hub: HubServer, join: Join) -> None:
    hub.start_agent()
    join("nursery")
    quiet = greeted(hub.stream, "nursery")
    stop_from_outside(hub)
    ended = hub.stream.wait("session_ended", after=quiet)
    assert ended["reason"] == "agent_stopped"
    failed = hub.stream.wait("agent_process", state="failed", after=quiet)
    assert (failed["exit"], failed["restart_in"] is None) == (0, False)
    again = hub.stream.wait("session_started", room="nursery", after=failed, seconds=90)
    assert again["session_id"] != ended["session_id"]
