"""Why LiveKit's worker does not start, or gets no rooms for a while, according to its log.

LiveKit's worker ends with exit code 0 whatever happens, and does not report that it has lost the server or takes no
rooms; its log is the only place that says so. One pure function, and one logging handler that calls back.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED_TO_CONNECT = "failed to connect to livekit"
AT_CAPACITY = "worker is at full capacity"
BELOW_CAPACITY = "worker is below capacity"
ATTEMPTS_BEFORE_GIVING_UP = 2
FULL = (
    "the agent's machine is at full capacity: new rooms get no agent until its CPU load is below"
    " AGENT_LOAD_THRESHOLD"
)


def explain(error: BaseException | str, attempt: int, url: str) -> str | None:
    """Return why the connection fails, once waiting longer makes no sense.

    Args:
        error: The exception of the connection attempt.
        attempt: The attempt's number, from 1.
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


class ConnectionMonitor(logging.Handler):
    """Reads the worker's log for the lines that matter; has to be notified of each registration.

    Args:
        url: LIVEKIT_URL.
        on_failure: Called with the sentence once a connection that never stood makes no sense any more.
        on_trouble: Called with a sentence when new rooms begin to get no agent or get none for another reason,
            and with an empty one when they get it again.
    """

    def __init__(
        self, url: str, on_failure: Callable[[str], None], on_trouble: Callable[[str], None]
    ) -> None:
        super().__init__(logging.INFO)
        self._registered = False
        self._url = url
        self._on_failure = on_failure
        self._on_trouble = on_trouble
        self._unreachable = ""
        self._full = ""

    def registered(self) -> None:
        """Note that the worker is registered: from now on a lost server is a trouble, and no failure."""
        self._registered = True
        self._update("", self._full)

    def emit(self, record: logging.LogRecord) -> None:
        """Process one line."""
        message = record.getMessage()
        if message.startswith(FAILED_TO_CONNECT):
            self._failed(getattr(record, "error", "") or "no reason given", getattr(record, "retry_count", 1))
        elif message.startswith(AT_CAPACITY):
            self._update(self._unreachable, FULL)
        elif message.startswith(BELOW_CAPACITY):
            self._update(self._unreachable, "")

    def _failed(self, error: BaseException | str, attempt: int) -> None:
        reason = explain(error, attempt, self._url)
        if reason is None:
            return
        if not self._registered:
            self._on_failure(reason)
        else:
            # The sentence of the first attempt stays: later ones say nothing new.
            away = self._unreachable or f"{reason}; new rooms get no agent until it is back"
            self._update(away, self._full)

    def _update(self, unreachable: str, full: str) -> None:
        before = self._unreachable or self._full
        self._unreachable, self._full = unreachable, full
        if (now := unreachable or full) != before:
            self._on_trouble(now)
