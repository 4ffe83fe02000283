"""Periodic work: remove expired events in small steps, and let the store tidy up."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from streaming_hub.history import History

log = logging.getLogger(__name__)

PAUSE: Final = 1.0
"""Seconds between two rounds when there is nothing more to remove."""
STEP_PAUSE: Final = 0.02
"""Seconds between two small steps of one round, in which others may publish."""
SHORTEST_PAUSE: Final = STEP_PAUSE / 16
STEPS: Final = 50
"""Steps of one round, at most, so that fast publishing cannot delay the store's own upkeep."""


class Housekeeper:
    """A thread (a greenlet under gevent) that maintains the history.

    Args:
        history: to maintain.
        lock: guards the history wherever several threads use it.
        clock: seconds since 1970.
    """

    def __init__(
        self, history: History, lock: AbstractContextManager[object], clock: Callable[[], float]
    ) -> None:
        self._history = history
        self._lock = lock
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._offload: Callable[[Callable[[], None]], Any] = at_once

    def start(self, offload: Callable[[Callable[[], None]], Any] | None = None) -> None:
        """Begin; a second call does nothing.

        Args:
            offload: runs a function that waits for the disk, off the thread that serves requests.
        """
        if self._thread is not None:
            return
        self._offload = offload or at_once
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Stop, and wait for the current round to end.

        Args:
            timeout: seconds; a disk that takes longer is not waited for.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        pause, step_pause = PAUSE, STEP_PAUSE
        while not self._stop.wait(pause):
            more = False
            try:
                more = self._forget_a_round(step_pause)
                self._offload(self._history.checkpoint)
            except Exception:
                log.exception("unexpected error: cleaning up the history failed; the next round tries again")
            # More arrives than is removed: continue without pause until all is done.
            step_pause = max(step_pause / 2, SHORTEST_PAUSE) if more else STEP_PAUSE
            pause = step_pause if more else PAUSE

    def _forget_a_round(self, pause: float) -> bool:
        """Run a number of steps; return whether there is more to remove."""
        for _ in range(STEPS):
            if not self._forget_a_little():
                return False
            if self._stop.wait(pause):
                return False
        return True

    def _forget_a_little(self) -> bool:
        with self._lock:
            return self._history.trim(self._clock())


def at_once(function: Callable[[], Any]) -> Any:
    """Run a function in the calling thread, where no other thread can wait for the disk."""
    return function()
