"""The states of the agent process, and when it is restarted. Pure: no process, no clock, no randomness.

`supervisor` asks this module what may follow and what to do after a crash; it never decides by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The agent process as operators and pages see it. `stopped` and `failed` have no process."""

    STARTING = "starting"
    READY = "ready"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.STOPPED: frozenset({State.STARTING}),
    State.STARTING: frozenset({State.READY, State.RUNNING, State.DRAINING, State.STOPPED, State.FAILED}),
    State.READY: frozenset({State.READY, State.RUNNING, State.DRAINING, State.STOPPED, State.FAILED}),
    State.RUNNING: frozenset({State.RUNNING, State.READY, State.DRAINING, State.STOPPED, State.FAILED}),
    State.DRAINING: frozenset({State.STOPPED, State.FAILED}),
    State.FAILED: frozenset({State.STARTING, State.STOPPED}),
}
"""What may follow. `ready` and `running` may follow themselves, as the reason why new rooms get no agent changes."""

ALIVE = frozenset({State.STARTING, State.READY, State.RUNNING, State.DRAINING})
"""The states in which a process exists."""

REPORTABLE = frozenset({State.READY, State.RUNNING, State.DRAINING})
"""The states that the child itself may report."""


def after_report(state: State, reported: State) -> State:
    """Return the state after the child reported one: a report that does not fit the current state changes nothing.

    A draining child that still reports a session must not look alive again.
    """
    return reported if reported in REPORTABLE and reported in TRANSITIONS[state] else state


@dataclass(frozen=True)
class Policy:
    """The times and counts of starting and starting again. All times in seconds.

    Attributes:
        start_timeout: how long a child may take to say that it is ready.
        failed_grace: how long a child that said it failed may take to end by itself.
        first_delay: the wait before the first restart; it doubles with each quick failure.
        max_delay: the longest wait before a restart.
        quick: a child that lived shorter than this after it was ready has failed quickly.
        limit: this many quick failures in a row end the restarts.
    """

    start_timeout: float = 60.0
    failed_grace: float = 2.0
    first_delay: float = 0.5
    max_delay: float = 30.0
    quick: float = 60.0
    limit: int = 5


@dataclass(frozen=True)
class Past:
    """What is remembered between the lives of one child command, from one operator's start to the stop."""

    was_ready: bool = False
    quick_failures: int = 0


@dataclass(frozen=True)
class Verdict:
    """What follows an unexpected death.

    Attributes:
        past: what to remember for the next time.
        restart_in: seconds until the restart; None if there is none.
        gave_up: whether the restarts ended because of repeated quick failures.
    """

    past: Past
    restart_in: float | None
    gave_up: bool = False


def judge(policy: Policy, past: Past, ready_for: float | None, draw: float) -> Verdict:
    """Decide whether a child that ended unexpectedly is restarted, and when.

    A child that has not been ready since the operator's start is not restarted: a setting must be wrong, which a
    retry does not fix.

    Args:
        policy: the times and counts.
        past: what happened since the operator's start.
        ready_for: seconds from its first `ready` to its end; None if it was never ready.
        draw: a random number in [0, 1): the wait is between half of the back-off and all of it.
    """
    was_ready = past.was_ready or ready_for is not None
    lasting = ready_for is not None and ready_for >= policy.quick
    failures = 0 if lasting else past.quick_failures + 1
    remembered = Past(was_ready, failures)
    if not was_ready:
        return Verdict(remembered, None)
    if failures >= policy.limit:
        return Verdict(remembered, None, gave_up=True)
    doublings = min(max(failures - 1, 0), 64)
    delay = min(policy.max_delay, policy.first_delay * 2**doublings)
    return Verdict(remembered, delay * (0.5 + draw / 2))
