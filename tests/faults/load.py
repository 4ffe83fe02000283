"""A publisher of numbered events that outlives crashes of the hub: what it counts as acknowledged must not be lost."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

ROOMS: Final = 6
BATCH: Final = 5


class Load:
    """Publishes until `end`, also while the hub is away, each event until it is acknowledged.

    Args:
        url: the hub's.
        make: makes the event of a number; events of one room have numbers `ROOMS` apart.

    Attributes:
        acknowledged: id of each acknowledged event -> its number.
    """

    def __init__(self, url: str, make: Callable[[int], dict[str, Any]]) -> None:
        self.acknowledged: dict[str, int] = {}
        self._url = url
        self._make = make
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        number = 0
        while not self._over.is_set():
            numbers = range(number, number + BATCH)
            batch = [self._make(one) | {"event_id": str(uuid.uuid4())} for one in numbers]
            number += BATCH
            while True:
                with contextlib.suppress(requests.RequestException):
                    answer = requests.post(f"{self._url}/api/agent/data", json=batch, timeout=20)
                    if answer.status_code == 200:
                        self.acknowledged |= dict(zip(answer.json()["ids"], numbers, strict=True))
                        break
                time.sleep(0.05)
            time.sleep(0.02)

    def end(self, seconds: float) -> dict[str, int]:
        """Stop, within a time; return what was acknowledged, in order."""
        self._over.set()
        self._thread.join(seconds)
        assert not self._thread.is_alive()
        return self.acknowledged


def seq(event_id: str) -> int:
    """Return an event's sequence number."""
    return int(event_id.rpartition("-")[2])
