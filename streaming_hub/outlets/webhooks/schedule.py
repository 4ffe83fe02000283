"""How many requests run at a time, and for whom. Pure.

An endpoint has at most `PER_ENDPOINT` requests open, one for each of its lanes (a room's order). All together have a
bound, too, for each takes a descriptor: endpoints that fail share half of it, so that those that work always find room.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

PER_ENDPOINT: Final = 16


class Schedule:
    """Counts what runs.

    Args:
        total: requests at a time, all endpoints.
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
        """How many lanes are at work."""
        return self._running

    def busy(self, endpoint: str) -> frozenset[str]:
        """Return the lanes of an endpoint that are at work."""
        return frozenset(self._busy.get(endpoint, ()))

    def free(self, endpoint: str) -> int:
        """Return how many more lanes of an endpoint may begin; where that is none for the others' sake, it waits."""
        own = PER_ENDPOINT - len(self._busy.get(endpoint, ()))
        left = self._total - self._running
        if endpoint in self._failing:
            left = min(left, self._total // 2 - self._running_failing)
        if left <= 0 < own:
            self._waiting[endpoint] = None
        return max(0, min(own, left))

    def begin(self, endpoint: str, lane: str) -> None:
        """Note that a lane is at work."""
        self._busy.setdefault(endpoint, set()).add(lane)
        self._running += 1
        self._running_failing += endpoint in self._failing

    def end(self, endpoint: str, lane: str) -> list[str]:
        """Note that a lane has ended; return the endpoints that waited for that."""
        lanes = self._busy[endpoint]
        lanes.discard(lane)
        if not lanes:
            del self._busy[endpoint]
        self._running -= 1
        self._running_failing -= endpoint in self._failing
        waiting, self._waiting = list(self._waiting), OrderedDict()
        return waiting

    def fails(self, endpoint: str) -> bool:
        """Tell whether an endpoint fails at present."""
        return endpoint in self._failing

    def note(self, endpoint: str, *, failing: bool) -> None:
        """Note whether an endpoint fails at present."""
        if failing == (endpoint in self._failing):
            return
        running = len(self._busy.get(endpoint, ()))
        if failing:
            self._failing.add(endpoint)
            self._running_failing += running
        else:
            self._failing.discard(endpoint)
            self._running_failing -= running
