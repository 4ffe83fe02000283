"""The watcher process: run by one node of a hub, from the start of the hub to its end (docs/guides/any-agent.md).

    one node         at the start
    several nodes    by the lease `watcher`: if its owner dies, another node acquires it

A supervisor of its own starts, restarts and stops it, without a limit of restarts. While livekit-server is away, the
process waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.agents.states import ALIVE, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.agents.report import AgentStatus
    from streaming_hub.agents.supervisor import Supervisor
    from streaming_hub.cluster.ownership import Ownership

log = logging.getLogger(__name__)

MODE: Final = "livekit"
CHECK_INTERVAL: Final = 0.5
"""Seconds between two checks of the lease."""
STOP_SECONDS: Final = 4.0
LOST_SECONDS: Final = 1.0
"""Seconds to leave all rooms: when the hub stops, and when this node has lost the lease."""
POLICY: Final = Policy(start_timeout=30.0, limit=1_000_000)


class Watcher:
    """See the module.

    Args:
        supervisor: runs the process.

    Attributes:
        lease: this node's side of the lease; None if there is only one node.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self.lease: Ownership | None = None
        self._supervisor = supervisor
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The process's counts: `rooms` it is in, `unknown` parts of LiveKit's messages."""
        return self._supervisor.counts

    def begin(self) -> None:
        """Start the process, or compete for the lease; a second call does nothing."""
        if self._thread is None:
            target: Callable[[], Any] = self._start if self.lease is None else self._run
            self._thread = threading.Thread(target=target, name="watcher", daemon=True)
            self._thread.start()

    def status(self) -> AgentStatus:
        """Return the state of the process on this node."""
        return self._supervisor.status()

    def close(self) -> None:
        """Stop for good."""
        self._stop.set()
        self._supervisor.close(STOP_SECONDS)
        if self.lease is not None:
            self.lease.wanted = False
            self.lease.release()

    def _start(self) -> None:
        if not self._stop.is_set():
            self._supervisor.start(MODE)

    def _run(self) -> None:
        while not self._stop.wait(CHECK_INTERVAL):
            try:
                self._check()
            except Exception:
                log.exception("unexpected error: a check of the watcher failed; continuing")

    def _check(self) -> None:
        assert self.lease is not None  # noqa: S101 - checked by `begin`
        alive = self._supervisor.status().state in ALIVE
        if self.lease.held(time.monotonic()):
            if not alive:
                self._start()
        elif alive:
            log.warning("stopping the watcher: this node has lost its lease")
            self._supervisor.stop(LOST_SECONDS)
