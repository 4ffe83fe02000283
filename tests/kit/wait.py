"""Waiting for what must happen, and how long it may take on this machine.

Waiting for something uses a deadline of many seconds, which only bounds a hang. Where the promise itself is a time
(a crash is reported within 3 s), a test compares with `allowed(3)`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE_SECONDS: Final = 0.012
"""What `_work` takes on the machine the promises were measured on: two cores, nothing else running."""
SAMPLES: Final = 5


def until(
    condition: Callable[[], object],
    seconds: float = 60.0,
    what: str | Callable[[], object] = "",
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Wait until a condition holds.

    Args:
        condition: looked at every few milliseconds.
        seconds: how long to wait at most.
        what: what is waited for, or a function that returns what there is instead, for the error.
        sleep: pauses; `gevent.sleep` where the loop must run meanwhile.

    Raises:
        AssertionError: the condition does not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what}"
        sleep(0.005)


def let_pass(seconds: float) -> None:
    """Let time pass in which faults happen or something must not happen."""
    deadline = time.monotonic() + seconds
    until(lambda: time.monotonic() >= deadline, seconds + 60)


def allowed(seconds: float) -> float:
    """Scale a duration by how much slower this machine is now, because of its cores or of what else runs on them.

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
