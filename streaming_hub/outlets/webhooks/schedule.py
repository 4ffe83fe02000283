"""Limits the number of concurrent requests, per endpoint and in total. Pure.

An endpoint has at most `PER_ENDPOINT` requests open, one per lane (the sequence of a room). The total is limited, too,
since each request needs a descriptor. Endpoints that are not known to work share half of it, which leaves room for
those that do.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

PER_ENDPOINT: Final = 16


class Standing(IntEnum):
    """What is known of an endpoint. The order is that in which they are served."""

    WORKING = 0
    """Its last request succeeded."""
    UNPROVEN = 1
    """No request has ended yet, since this process started or since it was enabled."""
    FAILING = 2
    """Its last request failed."""


class Schedule:
    """Counts running lanes.

    Args:
        total: maximum number of requests at a time, for all endpoints.
    """

    def __init__(self, total: int) -> None:
        self._total = max(2, total)
        self._busy: dict[str, set[str]] = {}
        self._standings: dict[str, Standing] = {}
        self._running = 0
        self._running_doubtful = 0
        self._waiting: dict[Standing, dict[str, None]] = {standing: {} for standing in Standing}
        """Endpoints that wait for a request of the total."""

    def busy(self, endpoint: str) -> frozenset[str]:
        """Return the running lanes of an endpoint."""
        return frozenset(self._busy.get(endpoint, ()))

    def free(self, endpoint: str) -> int:
        """Return how many more lanes of an endpoint may start; if the total allows none, note that it waits."""
        own = PER_ENDPOINT - len(self._busy.get(endpoint, ()))
        standing = self.standing(endpoint)
        left = self._left(standing)
        if left <= 0 < own:
            self._waiting[standing][endpoint] = None
        return max(0, min(own, left))

    def _left(self, standing: Standing) -> int:
        left = self._total - self._running
        return left if standing is Standing.WORKING else min(left, self._total // 2 - self._running_doubtful)

    def begin(self, endpoint: str, lane: str) -> None:
        """Note that a lane has started."""
        self._busy.setdefault(endpoint, set()).add(lane)
        self._running += 1
        self._running_doubtful += self.standing(endpoint) is not Standing.WORKING

    def end(self, endpoint: str, lane: str) -> list[str]:
        """Note that a lane has ended; return endpoints that waited, as many as requests are left.

        One that turns out to need none leaves it to those that are returned next time.
        """
        lanes = self._busy[endpoint]
        lanes.discard(lane)
        if not lanes:
            del self._busy[endpoint]
        self._running -= 1
        self._running_doubtful -= self.standing(endpoint) is not Standing.WORKING
        woken: list[str] = []
        for standing, waiting in self._waiting.items():
            for name in list(waiting)[: max(0, self._left(standing))]:
                del waiting[name]
                woken.append(name)
        return woken

    def standing(self, endpoint: str) -> Standing:
        """Return what is known of an endpoint."""
        return self._standings.get(endpoint, Standing.UNPROVEN)

    def note(self, endpoint: str, standing: Standing) -> None:
        """Note what is known of an endpoint."""
        before = self.standing(endpoint)
        if standing is before:
            return
        if endpoint in self._waiting[before]:
            del self._waiting[before][endpoint]
            self._waiting[standing][endpoint] = None
        self._standings[endpoint] = standing
        running = len(self._busy.get(endpoint, ()))
        self._running_doubtful += running * ((before is Standing.WORKING) - (standing is Standing.WORKING))
