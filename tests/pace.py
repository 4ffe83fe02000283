"""How long a duration that is promised for an idle machine may take on this one, at this moment.

Waiting for something uses a deadline of many seconds, which only bounds a hang. Where the promise itself is a time
(a crash is reported within 3 s), a test compares with `allowed(3)`.
"""

from __future__ import annotations

import time
from typing import Final

REFERENCE_SECONDS: Final = 0.012
"""What `_work` takes on the machine the promises were measured on: two cores, nothing else running."""
SAMPLES: Final = 5


def allowed(seconds: float) -> float:
    """Scale a duration by how much slower this machine is now, be it by its cores or by what else runs on them.

    A faster machine gets no less than the promise, an idle one of the reference's speed no more.
    """
    return seconds * max(1.0, slowness())


def slowness() -> float:
    """Return the mean time of a fixed piece of work, in units of the reference."""
    begun = time.perf_counter()
    for _ in range(SAMPLES):
        _work()
    return (time.perf_counter() - begun) / SAMPLES / REFERENCE_SECONDS


def _work() -> int:
    total = 0
    for number in range(400_000):
        total += number & 7
    return total
