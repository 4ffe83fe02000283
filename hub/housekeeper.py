"""What has to be done now and then: forget old events in small steps, and let the store tidy up."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.broadcast import Hub

PAUSE: Final = 1.0
"""Seconds between two rounds when there is nothing more to forget."""
STEP_PAUSE: Final = 0.02
"""Seconds between two small steps of one round, in which others may publish."""


class Housekeeper:
    """A thread (a greenlet under gevent) that looks after the history.

    Args:
        hub: whose history it is.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._offload: Callable[[Callable[[], None]], Any] = _call

    def start(self, offload: Callable[[Callable[[], None]], Any] | None = None) -> None:
        """Begin; a second call does nothing.

        Args:
            offload: runs a function that waits for the disk, off the thread that serves requests.
        """
        if self._thread is not None:
            return
        self._offload = offload or _call
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until the round that is under way has ended."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            while self._forget_a_little() and not self._stop.wait(STEP_PAUSE):
                continue
            self._offload(self._hub.history.checkpoint)

    def _forget_a_little(self) -> bool:
        with self._hub.lock:
            return self._hub.history.trim(self._hub.clock())


def _call(function: Callable[[], None]) -> None:
    function()
