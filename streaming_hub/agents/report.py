"""The supervisor's reports: its status, its changes in order, and the sentences that explain a failure.

Plain data and text; no process, no decisions.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.agents.states import Policy, State

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AgentStatus:
    """A snapshot of the agent process.

    Attributes:
        state: see `states.State`.
        pid: the process; None when there is none.
        mode: `livekit` or `rehearsal`, of the present or the last process; None before the first start.
        room: the room it was started for, if any.
        uptime: seconds since the process was started; 0.0 when there is none.
        restarts: automatic restarts since the last start by an operator.
        sessions: live sessions, as last reported by the child.
        last_error: why it last failed since that start; None if it did not.
        trouble: why it gets no new rooms for now, though it runs; None where it does.
        log: its last log lines since that start, oldest first, without secrets.
        node: the node that runs it; None where none does.
    """

    state: State
    pid: int | None
    mode: str | None
    room: str | None
    uptime: float
    restarts: int
    sessions: int
    last_error: str | None
    trouble: str | None
    log: list[str]
    node: str | None = None


@dataclass(frozen=True)
class Started:
    """The answer to a start: the status, and whether a process was there before."""

    status: AgentStatus
    already_running: bool


class Outbox:
    """Passes changes to a callback one at a time, in the order in which they were added."""

    def __init__(self, deliver: Callable[[dict[str, Any]], None]) -> None:
        self._deliver = deliver
        self._waiting: deque[dict[str, Any]] = deque()
        self._lock = threading.RLock()

    def put(self, change: dict[str, Any]) -> None:
        """Add a change; the caller's lock determines the order."""
        self._waiting.append(change)

    def flush(self) -> None:
        """Wait until everything added before has been delivered."""
        with self._lock:
            while self._waiting:
                change = self._waiting.popleft()
                try:
                    self._deliver(change)
                except Exception:
                    log.exception(
                        "unexpected error: the agent's change to %s could not be published", change["state"]
                    )


def death_sentence(outcome: int | str | None, *, was_ready: bool, name: str = "agent") -> str:
    """Return why a child that reported no reason counts as failed; `outcome` is its exit code or signal."""
    how = f"was ended by {outcome}" if isinstance(outcome, str) else f"ended with exit code {outcome}"
    if was_ready:
        return f"the {name} process {how} without being asked to"
    return f"the {name} process {how} before it was ready: see its last log lines"


def late_sentence(policy: Policy, name: str = "agent") -> str:
    """Why a child that never got ready was ended."""
    return (
        f"the {name} did not say that it is ready within {policy.start_timeout:g} s and was ended: "
        "its last log lines show what it waits for (an address, a key, the network)"
    )


def given_up_sentence(failures: int) -> str:
    """Return the sentence that follows the reason of the last of too many quick failures."""
    return (
        f"; it failed {failures} times in quick succession and is not started again: "
        "mend the cause, then start it"
    )
