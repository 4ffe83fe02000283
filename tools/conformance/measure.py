"""Run clients through cases, several at a time in one thread, as pages belong to the thread of their browser."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tools.conformance.cases import Case, Seen
from tools.conformance.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tools.conformance.clients import Client

CONTROL = ("connected", "heartbeat", "goodbye")
"""A hub's events that other clients report like any event."""
POLL = 0.03
ENDED = 0.5
"""Seconds to wait after a client's end: its last output, and the server's threads, may be late."""


class Trial:
    """One client in one case; call `poll` until it says whether the client passed."""

    def __init__(self, client: Client, case: Case) -> None:
        self.client = client
        self.case = case
        self._stack = ExitStack()
        self._server = self._stack.enter_context(Server(case.script, client.pages))
        self._reading = client.read(self._server.url)
        self._stack.callback(self._reading.end)
        self._deadline = time.monotonic() + case.seconds + case.sleep
        self._wakes: float | None = None
        self._woken = 0.0
        self._settled: float | None = None

    def poll(self) -> bool | None:
        """Return whether it passed; None if that is not yet decided."""
        now = time.monotonic()
        events, _ = outcome(self._reading.lines)
        if self.case.sleep and self._nap(now, begun=bool(events)):
            return None
        if self._settled is None:
            if self._reading.has_ended():
                self._settled = now + ENDED
            elif self._server.requests and len(events) >= len(self.case.expected):
                self._settled = now + self.case.settle
            elif now > self._deadline:
                self._settled = now
        if self._settled is None or now < self._settled:
            return None
        return self.passed()

    def _nap(self, now: float, *, begun: bool) -> bool:
        """Return whether the client sleeps, or still has to."""
        if self._woken or now > self._deadline:
            return False
        if self._wakes is None:
            if begun:
                self._reading.sleep()
                self._wakes = now + self.case.sleep
        elif now >= self._wakes:
            self._woken = time.monotonic()
            self._reading.wake()
        return not self._woken

    def passed(self) -> bool:
        """Return whether what has come is what should."""
        events, errors = outcome(self._reading.lines)
        wanted: list[Any] = [one if isinstance(one, tuple) else (one, None) for one in self.case.expected]
        return events == wanted and self.case.check(Seen(self._server.requests, errors, self._woken))

    def close(self) -> None:
        """End client and server."""
        self._stack.close()


def outcome(lines: Sequence[str]) -> tuple[list[tuple[Any, Any]], list[str]]:
    """Return the events that a client handed out, as `n` and `t`, and the errors that it reported.

    What is no event of a case, such as an empty one that a comment gave rise to, is an event without an `n`.
    """
    events, errors = [], []
    for line in list(lines):
        try:
            found = json.loads(line)
        except ValueError:
            found = {}
        if "error" in found:
            errors.append(str(found["error"]))
        elif "ended" in found:
            continue
        elif found.get("type") not in CONTROL:
            events.append((found.get("n"), found.get("t")))
    return events, errors


def measure(pairs: Iterable[tuple[Client, Case]], at_once: int) -> list[bool]:
    """Return for each pair whether the client passed, in order; run at most `at_once` trials at the same time."""
    waiting = list(enumerate(pairs))[::-1]
    results: dict[int, bool] = {}
    running: dict[int, Trial] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index, (client, case) = waiting.pop()
                running[index] = Trial(client, case)
            for client in {id(trial.client): trial.client for trial in running.values()}.values():
                client.pump()
            time.sleep(POLL)
            for index, trial in list(running.items()):
                passed = trial.poll()
                if passed is not None:
                    running.pop(index).close()
                    results[index] = passed
    finally:
        for trial in running.values():
            trial.close()
    return [results[index] for index in sorted(results)]
