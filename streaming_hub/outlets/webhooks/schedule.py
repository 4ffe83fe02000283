"""Limits the number of concurrent requests, per endpoint and in total. Pure.

An endpoint has at most `PER_ENDPOINT` requests open, one per lane (the sequence of a room). The total is limited, too,
since each request needs a descriptor. Failing endpoints share half of it, which leaves room for those that work.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

PER_ENDPOINT: Final = 16


class Schedule:
    """Counts running lanes.

    Args:
        total: maximum number of requests at a time, for all endpoints.
    """

    def __init__(self, total: int) -> None:
        self._total = max(2, total)
        self._busy: dict[str, set[str]] = {}
        self._failing: set[str] = set()
        self._running = 0
        self._running_failing = 0
        self._waiting: OrderedDict[str, None] = OrderedDict()

    @property
    def running(self) -> int:
        """How many lanes are running."""
        return self._running

    def busy(self, endpoint: str) -> frozenset[str]:
        """Return the running lanes of an endpoint."""
        return frozenset(self._busy.get(endpoint, ()))

    def free(self, endpoint: str) -> int:
        """Return how many more lanes of an endpoint may start; if the total allows none, note that it waits."""
        own = PER_ENDPOINT - len(self._busy.get(endpoint, ()))
        left = self._total - self._running
        if endpoint in self._failing:
            left = min(left, self._total // 2 - self._running_failing)
        if left <= 0 < own:
            self._waiting[endpoint] = None
        return max(0, min(own, left))

    def begin(self, endpoint: str, lane: str) -> None:
        """Note that a lane has started."""
        self._busy.setdefault(endpoint, set()).add(lane)
        self._running += 1
        self._running_failing += endpoint in self._failing

    def end(self, endpoint: str, lane: str) -> list[str]:
        """Note that a lane has ended; return the endpoints that waited for it."""
        lanes = self._busy[endpoint]
        lanes.discard(lane)
        if not lanes:
            del self._busy[endpoint]
        self._running -= 1
        self._running_failing -= endpoint in self._failing
        waiting, self._waiting = list(self._waiting), OrderedDict()
        return waiting

    def note(self, endpoint: str, *, failing: bool) -> None:
        """Note whether an endpoint is failing."""
        if failing == (endpoint in self._failing):
            return
        running = len(self._busy.get(endpoint, ()))
        if failing:
            self._failing.add(endpoint)
            self._running_failing += running
        else:
            self._failing.discard(endpoint)
            self._running_failing -= running
