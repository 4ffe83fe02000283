"""The hub's clock: the server's, so that nodes whose own clocks differ or are set agree. Pure; time is an argument.

Between two measurements it follows this machine's monotonic clock, which cannot be set.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class HubClock:
    """Seconds since 1970; call it. Until it is first measured it is this machine's.

    Args:
        monotonic: seconds that only rise.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ahead: float | None = None

    def __call__(self) -> float:
        """Return the time."""
        return time.time() if self._ahead is None else self._monotonic() + self._ahead

    def measured(self, server: float, asked: float, answered: float) -> None:
        """Take in what the server's clock said.

        Args:
            server: seconds since 1970.
            asked: when it was asked, of the monotonic clock.
            answered: when it had answered. The server's clock was read in between; a difference that this can explain
                changes nothing, so the time does not move back and forth.
        """
        earliest, latest = server - answered, server - asked
        if self._ahead is None:
            self._ahead = (earliest + latest) / 2
        else:
            self._ahead = min(max(self._ahead, earliest), latest)
