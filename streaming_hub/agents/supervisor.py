"""The supervisor: at most one agent process, restarted by the policy, its state changes reported in order.

It works the same with plain threads and under gevent's monkey-patching (see `process`). Two locks:
`_commands` allows one start, stop or restart at a time, so that there are never two processes; `_cond`
guards the fields and is held only briefly. State changes go to `on_state` outside `_cond`, in order.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streaming_hub.agents.output import (
    LINES_KEPT,
    Cleaner,
    Tail,
    levelled,
)
from streaming_hub.agents.process import (
    WITHHELD,
    Child,
    Report,
    exit_name,
    parse_report,
)
from streaming_hub.agents.report import (
    AgentStatus,
    Outbox,
    Started,
    death_sentence,
    given_up_sentence,
    late_sentence,
)
from streaming_hub.agents.states import (
    ALIVE,
    TRANSITIONS,
    Past,
    Policy,
    State,
    after_report,
    judge,
)
from streaming_hub.logs import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

KILL_PATIENCE = 1.5
"""Seconds to wait for a killed process group to be gone."""

LOG_LINES_PER_SECOND = 200
"""At most this many of the agent's lines a second reach the server's log; the stored last lines have no such limit."""

EVENT_LINES = 10
"""How many of the last log lines are reported with a failure."""

EVENT_LINE_LENGTH = 500
"""The longest of them, in characters."""

DEFAULT_POLICY = Policy()


class SupervisorClosedError(RuntimeError):
    """The server is shutting down and starts no agent."""


@dataclass
class _Run:
    """All lives of the process from an operator's start to the stop or the final failure."""

    mode: str
    room: str | None
    environ: Mapping[str, str]
    cleaner: Cleaner
    child: Child | None = None
    started_at: float = 0.0
    ready_at: float | None = None
    sessions: int = 0
    restarts: int = 0
    past: Past = field(default_factory=Past)
    cause: str | None = None
    trouble: str | None = None
    stopping: bool = False
    timer: threading.Timer | None = None


class Supervisor:
    """Starts, watches and stops the agent process.

    Args:
        command: the program and its arguments.
        environ: called with mode and room at each start by an operator; what it returns is added to the
            child's environment (the server's own, without the hub's keys).
        on_state: called for every change, in order, with `{"state", "pid", "exit", "reason"}` and, with
            `failed`, `log` (the last lines) and `restart_in` (seconds, or None when it is not started again).
            It is called on the thread that caused the change and must not call start, stop or close.
        clock: seconds that only rise.
        policy: times and counts of restarts.
        cwd: the directory that the process runs in; the server's own by default.
        draw: a random number in [0, 1), for the jitter.
        name: what runs, in sentences and in the log.

    Attributes:
        counts: what the process counts, as it last said (`process.Report`).
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environ: Callable[[str, str | None], Mapping[str, str]],
        on_state: Callable[[dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
        policy: Policy = DEFAULT_POLICY,
        cwd: Path | None = None,
        draw: Callable[[], float] = random.random,
        name: str = "agent",
    ) -> None:
        self.counts: dict[str, int] = {}
        self._name = name
        self._log = logging.getLogger(f"{__package__}.{name}")
        self._command = tuple(command)
        self._environ = environ
        self._clock = clock
        self._policy = policy
        self._cwd = cwd
        self._draw = draw
        self._outbox = Outbox(on_state)
        self._commands = threading.Lock()
        self._cond = threading.Condition()
        self._state = State.STOPPED
        self._run: _Run | None = None
        self._tail = Tail()
        self._gate = Gate(LOG_LINES_PER_SECOND, clock)
        self._last_error: str | None = None
        self._closed = False
        self._jobs_until: float | None = None

    def start(self, mode: str, room: str | None = None, wait: float = 0.0) -> Started:
        """Start the process, unless there is one. If one is draining, wait until it has ended.

        Args:
            mode: `livekit` or `rehearsal`, passed on as `AGENT_MODE`.
            room: passed on as `AGENT_ROOM`.
            wait: seconds to wait until it is ready, or has failed.

        Raises:
            SupervisorClosedError: the server is shutting down.
        """
        with self._commands:
            with self._cond:
                if self._closed:
                    raise SupervisorClosedError(f"the server is shutting down, so it starts no {self._name}")
                already_running = self._state in ALIVE
            if not already_running:
                self._begin(mode, room)
        self._outbox.flush()
        with self._cond:
            self._cond.wait_for(lambda: self._state is not State.STARTING, max(wait, 0.0))
        self._outbox.flush()
        return Started(self.status(), already_running)

    def stop(self, timeout: float = 8.0) -> AgentStatus:
        """Let the process drain, then kill its group; cancel a pending restart. Always ends in `stopped`.

        Args:
            timeout: seconds that the process has to drain; 1.5 s more at most until it is gone.
        """
        with self._commands:
            child = self._ask_to_stop()
            self._outbox.flush()
            if child is not None and not self._await_stopped(timeout):
                self._kill(
                    child, f"the {self._name} did not end within {timeout:g} s of SIGTERM and was killed"
                )
                if not self._await_stopped(KILL_PATIENCE):
                    self._abandon(child)
        self._outbox.flush()
        return self.status()

    def status(self) -> AgentStatus:
        """Return a snapshot, without waiting for commands in progress."""
        with self._cond:
            run = self._run
            child = run.child if run else None
            return AgentStatus(
                state=self._state,
                pid=child.pid if child else None,
                mode=run.mode if run else None,
                room=run.room if run else None,
                uptime=round(max(0.0, self._clock() - run.started_at), 3) if run and child else 0.0,
                restarts=run.restarts if run else 0,
                sessions=run.sessions if run and child else 0,
                last_error=self._last_error,
                trouble=run.trouble if run and child else None,
                log=self._tail.last(),
            )

    def close(self, timeout: float = 8.0) -> None:
        """Stop the process permanently: later starts are refused.

        Args:
            timeout: as for `stop`.
        """
        with self._cond:
            self._closed = True
        self.stop(timeout)

    def allow_jobs(self, until: float) -> None:
        """Let the process take new jobs up to a time; never called, it always may. What it has, it keeps.

        Args:
            until: seconds of `time.monotonic`, which all processes of a machine share; in the past: none from now on.
        """
        with self._cond:
            changed, self._jobs_until = until != self._jobs_until, until
            child = self._run.child if self._run is not None else None
        if changed and child is not None:
            child.send(jobs_until=until)

    def _begin(self, mode: str, room: str | None) -> None:
        environ = {name: value for name, value in os.environ.items() if name not in WITHHELD}
        environ.setdefault("PYTHONUNBUFFERED", "1")
        environ["AGENT_MODE"] = mode
        if room is not None:
            environ["AGENT_ROOM"] = room
        environ.update(self._environ(mode, room))
        run = _Run(mode, room, environ, Cleaner({**os.environ, **environ}))
        with self._cond:
            self._run, self._tail, self._last_error = run, Tail(), None
            self._cond.notify_all()
        if self._launch(run):
            threading.Thread(target=self._watch, args=(run,), name=f"{self._name}-watch", daemon=True).start()
        else:
            self._died(run, None)

    def _launch(self, run: _Run) -> bool:
        """Start one child, with `_commands` held. Return False if that is not possible; `run.cause` says why."""
        run.ready_at, run.sessions, run.cause, run.trouble = None, 0, None, None
        try:
            child = Child(self._command, run.environ, self._cwd)
        except (OSError, ValueError) as error:
            run.cause = (
                f"the {self._name} process could not be started: {run.cleaner.clean(str(error))}; check the command "
                f"{self._command[0]!r} and the system's limits"
            )
            with self._cond:
                self._change(State.STARTING)
            return False
        with self._cond:
            run.child, run.started_at = child, self._clock()
            self._change(State.STARTING)
            self._set_timer(run, self._policy.start_timeout, late_sentence(self._policy, self._name))
            until = self._jobs_until
        if until is not None:
            child.send(jobs_until=until)
        child.listen(
            lambda lines: self._on_lines(run, lines), lambda lines: self._on_report(run, child, lines)
        )
        return True

    def _watch(self, run: _Run) -> None:
        """Run the thread of one run: wait for each child's end, and start the next if the policy says so."""
        child = run.child
        while True:
            delay = self._died(run, child.wait() if child else None)
            self._outbox.flush()
            if delay is None:
                return
            with self._cond:
                self._cond.wait_for(lambda: self._gone(run), delay)
            with self._commands:
                if self._gone(run):
                    return
                run.restarts += 1
                self._launch(run)
                child = run.child
            self._outbox.flush()

    def _gone(self, run: _Run) -> bool:
        return run.stopping or run is not self._run

    def _died(self, run: _Run, code: int | None) -> float | None:
        """Decide what the end of a child means; return the seconds until the next start, or None."""
        with self._cond:
            if run is not self._run or self._state not in ALIVE:
                return None
            child, run.child = run.child, None
            self._set_timer(run, None)
            outcome = None if code is None else exit_name(code)
            pid = child.pid if child else None
            if run.stopping:
                self._change(State.STOPPED, pid=pid, exit_=outcome, reason=run.cause)
                return None
            ready_for = None if run.ready_at is None else self._clock() - run.ready_at
            verdict = judge(self._policy, run.past, ready_for, self._draw())
            run.past = verdict.past
            reason = run.cause or death_sentence(outcome, was_ready=ready_for is not None, name=self._name)
            if verdict.gave_up:
                reason += given_up_sentence(run.past.quick_failures)
            self._last_error = reason
            lines = [line[:EVENT_LINE_LENGTH] for line in self._tail.last(EVENT_LINES)]
            restart_in = None if verdict.restart_in is None else round(verdict.restart_in, 3)
            self._change(
                State.FAILED, pid=pid, exit_=outcome, reason=reason, log=lines, restart_in=restart_in
            )
        log.warning("%s failed: %s", self._name, reason)
        return verdict.restart_in

    def _on_lines(self, run: _Run, lines: list[bytes]) -> None:
        """Store and log what the child wrote; of a flood only the last lines are processed."""
        passing, skipped = [], max(0, len(lines) - LINES_KEPT)
        for text in filter(None, map(run.cleaner.clean, lines[-LINES_KEPT:])):
            with self._cond:
                self._tail.add(text)
                passes, held_back = self._gate.admit()
            skipped += held_back
            if passes:
                passing.append(text)
        if skipped:
            self._log.warning("%d lines of the %s's log were left out here", skipped, self._name)
        for text in passing:
            level, words = levelled(text)
            self._log.log(level, "%s", words)

    def _on_report(self, run: _Run, child: Child, lines: list[bytes]) -> None:
        for line in lines:
            try:
                report = parse_report(line)
            except (ValueError, RecursionError) as error:
                self._on_lines(run, [b"ignored control message (%s): " % str(error).encode() + line[:200]])
                continue
            with self._cond:
                if run is self._run and run.child is child:
                    self._take(run, report)
            self._outbox.flush()

    def _take(self, run: _Run, report: Report) -> None:
        """Apply one message of the live child, with `_cond` held."""
        if run.stopping:
            return
        if report.state is State.FAILED:
            run.cause = (
                run.cleaner.clean(report.reason) or f"the {self._name} said that it failed, without a reason"
            )
            self._set_timer(run, self._policy.failed_grace, run.cause)
            return
        before, state = self._state, after_report(self._state, report.state)
        run.sessions = report.sessions
        self.counts = self.counts | report.counts
        if state in (State.READY, State.RUNNING):
            run.ready_at = self._clock() if run.ready_at is None else run.ready_at
            run.cause = None
            self._set_timer(run, None)
        trouble = run.cleaner.clean(report.reason) or None
        if report.state in TRANSITIONS[before] and (state is not before or trouble != run.trouble):
            run.trouble = trouble
            self._change(state, reason=trouble)

    def _ask_to_stop(self) -> Child | None:
        with self._cond:
            run = self._run
            if run is None or self._state is State.STOPPED:
                return None
            run.stopping = True
            if run.child is None:
                self._change(State.STOPPED)
                return None
            self._set_timer(run, None)
            if self._state is not State.DRAINING:
                self._change(State.DRAINING)
            child = run.child
        child.terminate()
        return child

    def _await_stopped(self, timeout: float) -> bool:
        with self._cond:
            return self._cond.wait_for(lambda: self._state is State.STOPPED, timeout)

    def _kill(self, child: Child, cause: str) -> None:
        with self._cond:
            if self._run is None or self._run.child is not child:
                return
            self._run.cause = cause
        child.kill()

    def _abandon(self, child: Child) -> None:
        """Give up on a process that even SIGKILL does not end (it hangs in the kernel)."""
        with self._cond:
            if self._run is None or self._run.child is not child:
                return
            self._run.child, self._run = None, None
            reason = f"process {child.pid} did not end after SIGKILL: look at it by hand"
            self._last_error = reason
            self._change(State.STOPPED, pid=child.pid, reason=reason)

    def _set_timer(self, run: _Run, seconds: float | None, cause: str = "") -> None:
        """Set, replace or (None) remove the time at which the child is killed, with `_cond` held."""
        if run.timer is not None:
            run.timer.cancel()
            run.timer = None
        if seconds is not None and run.child is not None:
            run.timer = threading.Timer(seconds, self._overdue, (run, run.child, cause))
            run.timer.daemon = True
            run.timer.start()

    def _overdue(self, run: _Run, child: Child, cause: str) -> None:
        with self._cond:
            # It is too late to cancel a timer that already waits for the lock.
            if run.timer is not threading.current_thread():
                return
        self._kill(child, cause)

    def _change(
        self,
        state: State,
        *,
        pid: int | None = None,
        exit_: int | str | None = None,
        reason: str | None = None,
        **more: object,
    ) -> None:
        """Change the state, with `_cond` held. The only place that does."""
        if state not in TRANSITIONS[self._state]:
            raise RuntimeError(f"the {self._name} process cannot go from {self._state} to {state}")
        self._state = state
        if pid is None and self._run is not None and self._run.child is not None:
            pid = self._run.child.pid
        self._outbox.put({"state": state.value, "pid": pid, "exit": exit_, "reason": reason, **more})
        self._cond.notify_all()
