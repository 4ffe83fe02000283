"""Signals that stop the server, handled from the first moment of start-up to exit.

Standard library only: `flask_server.py` calls `end_at_once` before it imports anything that takes time. In a container,
process 1 has no default reaction to signals, so each is handled here.
"""

from __future__ import annotations

import os
import signal
from typing import Final


def _ending() -> tuple[signal.Signals, ...]:
    # Under nohup the terminal's end is ignored, and must stay so.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGTERM, signal.SIGINT
    return signal.SIGTERM, signal.SIGINT, signal.SIGHUP


ENDING: Final = _ending()
"""Signals that end the server with a drain; the last one when its terminal is closed."""

SAME: Final = 1.0
"""Seconds within which a repeated signal counts as one: `uv run` and the terminal both send it."""


def end_at_once() -> None:
    """Until the server serves, let a signal end the process at once, and silently.

    Signals that the parent blocked are let through: a process inherits that, and could not be ended.
    """
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    for number in ENDING:
        signal.signal(number, lambda received, _frame: die_of(received))


def die_of(number: int) -> None:
    """End this process as the signal would, without cleaning up."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    # Only process 1 gets this far: the kernel protects it from its own signals.
    os._exit(128 + number)
