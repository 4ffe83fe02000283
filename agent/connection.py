"""Why LiveKit's worker does not come up: what its log says while it retries.

LiveKit's worker ends with exit code 0 whatever happens, and gives up only after 134 s of retries; its log is
the only place that says sooner what is wrong. One pure function, and one logging handler that calls back.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED_TO_CONNECT = "failed to connect to livekit"
AT_CAPACITY = "worker is at full capacity"
ATTEMPTS_BEFORE_GIVING_UP = 2


def explain(error: BaseException | str, attempt: int, url: str) -> str | None:
    """Say why the connection fails, once waiting longer makes no sense.

    Args:
        error: What the connection attempt raised.
        attempt: Its number, from 1.
        url: LIVEKIT_URL.

    Returns:
        One sentence that says what to do; None where the next attempt may help.
    """
    status = getattr(error, "status", None)
    if status in (401, 403):
        return (
            f"LiveKit at {url} refused the key or secret ({status});"
            " check LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        )
    if status == 404:
        return f"there is no LiveKit server at {url} (404); check LIVEKIT_URL"
    if attempt < ATTEMPTS_BEFORE_GIVING_UP:
        return None
    return f"LiveKit at {url} cannot be reached ({error}); check LIVEKIT_URL and that the server runs"


class ConnectionWatch(logging.Handler):
    """Reads the worker's log for the lines that matter.

    Args:
        url: LIVEKIT_URL.
        on_failure: Called with the sentence once a connection that never stood makes no sense any more.
        on_full: Called with a sentence when the worker takes no more jobs.
    """

    def __init__(self, url: str, on_failure: Callable[[str], None], on_full: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.registered = False
        self._url = url
        self._on_failure = on_failure
        self._on_full = on_full

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line; after the first registration LiveKit's own retries go on undisturbed."""
        message = record.getMessage()
        if message.startswith(FAILED_TO_CONNECT) and not self.registered:
            error = getattr(record, "error", "") or "no reason given"
            reason = explain(error, getattr(record, "retry_count", 1), self._url)
            if reason is not None:
                self._on_failure(reason)
        elif message.startswith(AT_CAPACITY):
            load = getattr(record, "load", 0.0)
            self._on_full(
                f"the agent's machine is at full capacity (load {load:.2f}): new rooms get no agent until it"
                " is below AGENT_LOAD_THRESHOLD"
            )
