"""Waiting for what must come true, with a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def until(
    condition: Callable[[], object], seconds: float = 60.0, what: Callable[[], object] = lambda: ""
) -> None:
    """Wait until the condition holds.

    Raises:
        AssertionError: it does not within so many seconds; the message holds what `what` returns.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        time.sleep(0.01)


def let_pass(seconds: float) -> None:
    """Let time pass in which faults happen or something must not happen."""
    deadline = time.monotonic() + seconds
    until(lambda: time.monotonic() >= deadline, seconds + 60)
