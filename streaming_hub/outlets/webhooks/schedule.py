"""Limits the number of concurrent requests, per endpoint and in total. Pure.

An endpoint has at most `PER_ENDPOINT` requests open, one per lane (the sequence of a room). The total is limited, too,
since each request needs a descriptor. Failing endpoints share half of it, which leaves room for those that work.
"""

from __future__ import annotations

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
        self._waiting: dict[bool, dict[str, None]] = {False: {}, True: {}}
        """Endpoints that wait for a request of the total, by whether they fail."""

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
        failing = endpoint in self._failing
        left = self._left(failing=failing)
        if left <= 0 < own:
            self._waiting[failing][endpoint] = None
        return max(0, min(own, left))

    def _left(self, *, failing: bool) -> int:
        left = self._total - self._running
        return min(left, self._total // 2 - self._running_failing) if failing else left

    def begin(self, endpoint: str, lane: str) -> None:
        """Note that a lane has started."""
        self._busy.setdefault(endpoint, set()).add(lane)
        self._running += 1
        self._running_failing += endpoint in self._failing

    def end(self, endpoint: str, lane: str) -> list[str]:
        """Note that a lane has ended; return endpoints that waited, as many as requests are left.

        One that turns out to need none leaves it to those that are returned next time.
        """
        lanes = self._busy[endpoint]
        lanes.discard(lane)
        if not lanes:
            del self._busy[endpoint]
        self._running -= 1
        self._running_failing -= endpoint in self._failing
        woken: list[str] = []
        for failing, waiting in self._waiting.items():
            for name in list(waiting)[: max(0, self._left(failing=failing))]:
                del waiting[name]
                woken.append(name)
        return woken

    def fails(self, endpoint: str) -> bool:
        """Return whether an endpoint is failing."""
        return endpoint in self._failing

    def note(self, endpoint: str, *, failing: bool) -> None:
        """Note whether an endpoint is failing."""
        if failing == (endpoint in self._failing):
            return
        if endpoint in self._waiting[not failing]:
            del self._waiting[not failing][endpoint]
            self._waiting[failing][endpoint] = None
        running = len(self._busy.get(endpoint, ()))
        if failing:
            self._failing.add(endpoint)
            self._running_failing += running
        else:
            self._failing.discard(endpoint)
            self._running_failing -= running
