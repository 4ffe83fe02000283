"""One agent for all nodes of a hub: the node that owns the lease `agent` runs it, every node can start, stop and ask.

    start   here if the lease is free; else returns the status of the owner's agent
    stop    asks the owner, which stops it
    look    once a second: the owner publishes its status; the others take over an agent that no node runs

The hub tells the agent process up to when it may take new jobs, which is as long as the lease is certainly this node's;
it enforces that itself, whatever becomes of the hub meanwhile. An owner that loses the server keeps its live calls: in
`livekit` mode it ends the agent only once another node has taken over and no session is left here. A rehearsal has no
callers, and ends before the lease does.

The shared state is one hash: `wanted` (1 from a start to a stop), `mode`, `room`, `status` (JSON).
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.agents.report import AgentStatus, Started
from streaming_hub.agents.states import ALIVE, State
from streaming_hub.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.agents.supervisor import Supervisor
    from streaming_hub.cluster.ownership import Ownership
    from streaming_hub.cluster.server import Server

log = logging.getLogger(__name__)

CHECK_INTERVAL: Final = 0.5
"""Seconds between two checks."""
TTL: Final = 9.0
MARGIN: Final = 3.5
"""Of the lease: an owner that is cut off has the margin to end a rehearsal in."""
REHEARSAL_STOP: Final = 1.5
"""Seconds that a rehearsal has for its last words then; it is killed within the margin."""
STOP_SECONDS: Final = 12.0
"""How long a stop waits for the node that runs the agent."""


class HubAgent:
    """See the module. Offers what `Supervisor` does.

    Args:
        supervisor: runs the agent process on this node.
        lease: this node's side of the lease; taken by a start, so not `wanted` by itself.
        server: where the hash lies.
        node: this node.
        others: whether other nodes are there to take over.
        taken_over: called before an agent is started whose node is gone.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        lease: Ownership,
        server: Server,
        *,
        node: str,
        others: Callable[[], bool],
        taken_over: Callable[[], None],
    ) -> None:
        self._supervisor = supervisor
        self._lease = lease
        self._server = server
        self._node = node
        self._others = others
        self._taken_over = taken_over
        self._key = server.key("agent")
        self._commands = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()
        self._superseded = False

    def begin(self) -> None:
        """Begin to look; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hub-agent", daemon=True)
            self._thread.start()

    def changed(self) -> None:
        """Have the status published at once; the supervisor's state has changed."""
        self._changed.set()

    def start(self, mode: str, room: str | None = None, wait: float = 0.0) -> Started:
        """Start the agent here, unless a node runs it.

        Raises:
            SupervisorClosedError: this node is stopping.
            Unavailable: the server is away.
        """
        with self._commands:
            if self._server.away is not None or not self._lease.hold(time.monotonic()):
                return Started(self._elsewhere(), already_running=True)
            self._server.call("HSET", self._key, "wanted", 1, "mode", mode, "room", room or "")
            self._lease.wanted = True
            self._supervisor.allow_jobs(self._jobs_until())
            started = self._supervisor.start(mode, room, 0.0)
        if wait:
            started = replace(
                self._supervisor.start(mode, room, wait), already_running=started.already_running
            )
        self._publish()
        return Started(replace(started.status, node=self._node), started.already_running)

    def stop(self, timeout: float = 8.0) -> AgentStatus:
        """Stop the agent, whichever node runs it.

        Raises:
            Unavailable: the server is away, or the node that runs it does not answer.
        """
        if self._lease.held(time.monotonic()) or self._server.away is not None:
            return self._stop_here(timeout)
        self._server.call("HSET", self._key, "wanted", 0)
        until = time.monotonic() + STOP_SECONDS
        while self._lease.owner(time.monotonic()) is not None:
            if time.monotonic() >= until:
                raise Unavailable("The node that runs the agent has not stopped it yet: retry.")
            time.sleep(0.05)
        return self.status()

    def status(self) -> AgentStatus:
        """Return the agent's state, whichever node runs it; this node's own where the server is away."""
        here = self._supervisor.status()
        if self._lease.held(time.monotonic()) or here.pid is not None:
            return replace(here, node=self._node)
        try:
            return self._elsewhere()
        except Unavailable:
            return replace(here, node=None)

    def close(self, timeout: float) -> None:
        """Stop what runs here for good. Another node takes over, if there is one."""
        self._stop.set()
        owned = self._lease.held(time.monotonic())
        if owned and not self._others():
            self._forget_wish()
        self._supervisor.close(timeout)
        if owned:
            self._lease.wanted = False
            self._lease.release()

    def _stop_here(self, timeout: float) -> AgentStatus:
        with self._commands:
            self._forget_wish()
            status = self._supervisor.stop(timeout)
            self._publish()
            self._lease.wanted = False
            self._lease.release()
        return replace(status, node=self._node)

    def _forget_wish(self) -> None:
        try:
            self._server.call("HSET", self._key, "wanted", 0)
        except Unavailable as error:
            log.warning("the other nodes could not be notified that the agent stops: %s", error.detail)

    def _elsewhere(self) -> AgentStatus:
        status, owner = self._server.call("HGET", self._key, "status"), self._lease.owner(time.monotonic())
        if status is None:
            return replace(self._supervisor.status(), node=owner)
        fields: dict[str, Any] = msgspec.json.decode(status)
        fields["state"] = State(fields["state"])
        found = AgentStatus(**fields)
        if owner is None and found.state in ALIVE:
            # Its node is gone; soon another one runs it, or it is stopped.
            return replace(found, state=State.FAILED, pid=None, uptime=0.0, sessions=0, node=None)
        return found

    def _publish(self) -> None:
        if not self._lease.held(time.monotonic()):
            return
        status = replace(self._supervisor.status(), node=self._node)
        self._server.call("HSET", self._key, "status", msgspec.json.encode(asdict(status)))

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._check()
            except Unavailable as error:
                log.debug("the agent's lease could not be read: %s", error.detail)
            except Exception:
                log.exception("unexpected error: a check of the agent failed; continuing")
            self._changed.wait(CHECK_INTERVAL)
            self._changed.clear()

    def _jobs_until(self) -> float:
        # No infinity: it has to be JSON. The beginning of the clock is in the past, too.
        return max(0.0, self._lease.until)

    def _check(self) -> None:
        now = time.monotonic()
        self._supervisor.allow_jobs(self._jobs_until())
        here = self._supervisor.status()
        if self._lease.held(now):
            self._superseded = False
            self._check_as_owner(here)
        elif here.state in ALIVE:
            self._check_cut_off(here)
        else:
            self._check_for_an_orphan()

    def _check_as_owner(self, here: AgentStatus) -> None:
        wanted = self._server.call("HGET", self._key, "wanted")
        if wanted == b"0" and here.state is not State.STOPPED:
            self._stop_here(8.0)
            return
        self._publish()
        if here.state is State.STOPPED and not self._stop.is_set():
            with self._commands:
                if self._supervisor.status().state is State.STOPPED:
                    self._lease.wanted = False
                    self._lease.release()

    def _check_cut_off(self, here: AgentStatus) -> None:
        """Deal with an agent that runs here though this node is not known to own the lease any more."""
        if here.mode != "livekit":
            log.warning("stopping the rehearsal: this node cannot renew the agent's lease")
            with self._commands:
                self._supervisor.stop(REHEARSAL_STOP)
            return
        owner = self._lease.owner(time.monotonic())
        if owner in (None, self._node):
            self._lease.wanted = True
            self._lease.hold(time.monotonic())
            return
        if not self._superseded:
            self._superseded = True
            log.warning(
                "node %s runs the agent now; the one on this node stops after its last session", owner
            )
        if not here.sessions:
            self._lease.wanted = False
            with self._commands:
                self._supervisor.stop()

    def _check_for_an_orphan(self) -> None:
        wanted, mode, room = self._server.call("HMGET", self._key, "wanted", "mode", "room")
        if wanted != b"1":
            return
        with self._commands:
            if self._stop.is_set() or not self._lease.hold(time.monotonic()):
                return
            log.warning("the node that ran the agent is gone; starting it here")
            self._lease.wanted = True
            self._taken_over()
            self._supervisor.allow_jobs(self._jobs_until())
            self._supervisor.start((mode or b"rehearsal").decode(), (room or b"").decode() or None)
            self._publish()
