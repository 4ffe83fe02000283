"""Which node runs the watcher process, with real processes; what it does is in tests/livekit/test_watcher.py."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from streaming_hub.agents.states import State
from streaming_hub.agents.supervisor import Supervisor
from streaming_hub.agents.watcher import POLICY, Watcher
from streaming_hub.cluster.ownership import Ownership
from tests.kit.leases import MemoryLeases
from tests.kit.process import is_running
from tests.kit.wait import until
from tests.streaming_hub.agents.watched import command

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def running() -> Iterator[contextlib.ExitStack]:
    """What is closed at the end."""
    with contextlib.ExitStack() as stack:
        yield stack


def watcher(running: contextlib.ExitStack, *steps: str, lease: Ownership | None = None) -> Watcher:
    supervisor = Supervisor(
        command(*steps),
        environ=lambda _mode, _room: {},
        on_state=lambda _change: None,
        policy=POLICY,
        name="watcher",
    )
    made = Watcher(supervisor)
    made.lease = lease
    running.callback(made.close)
    return made


def test_one_node_runs_it_from_the_start(running: contextlib.ExitStack) -> None:
    made = watcher(
        running, 'told:{"state": "ready", "counts": {"rooms": 2, "unknown": -1, "other": true}}', "drain"
    )
    made.begin()
    made.begin()
    until(lambda: made.status().state is State.READY, 30, "ready")
    assert made.counts == {"rooms": 2, "unknown": 0, "other": 0}
    pid = made.status().pid
    made.close()
    assert pid is not None
    assert not is_running(pid)
    assert made.status().state is State.STOPPED


def test_of_two_nodes_the_owner_of_the_lease_runs_it_and_the_other_takes_over(
    running: contextlib.ExitStack,
) -> None:
    leases = MemoryLeases()
    first, second = (Ownership(leases, "watcher", name, ttl=3600.0) for name in ("one", "two"))
    owner, other = (watcher(running, "ready", "drain", lease=lease) for lease in (first, second))
    assert first.hold(time.monotonic())
    assert not second.hold(time.monotonic())
    owner.begin()
    other.begin()
    until(lambda: owner.status().state is State.READY, 30, "the owner runs it")
    assert other.status().state is State.STOPPED
    first.release()
    assert second.hold(time.monotonic())
    until(lambda: owner.status().state is State.STOPPED, 30, "the first node has let go")
    until(lambda: other.status().state is State.READY, 30, "the second one has taken over")


def test_it_is_never_given_up() -> None:
    assert POLICY.limit > 1000
