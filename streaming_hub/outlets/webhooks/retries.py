"""When a webhook is retried, and when it has failed for good. Pure: time and chance are arguments."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

JITTER: Final = 0.2
LONGEST_RETRY_AFTER: Final = 86_400.0
CLIENT_ERROR_ATTEMPTS: Final = 3
GONE: Final = 410
_WORTH_RETRYING: Final = frozenset({408, 410, 425, 429})


def delivered(status: int | None) -> bool:
    """Return whether a response's status means success; None means no response."""
    return status is not None and 200 <= status <= 299


def wait(
    attempts: int,
    status: int | None,
    retry_after: str | None,
    *,
    waits: Sequence[float],
    now: float,
    chance: float,
) -> float | None:
    """Return the seconds until the next attempt; None if the delivery has failed for good.

    Args:
        attempts: the number of attempts so far, at least 1.
        status: of the last response; None without one.
        retry_after: the last response's `Retry-After` (RFC 9110, section 10.2.3), which can only lengthen the wait.
        waits: STREAM_WEBHOOK_RETRIES, seconds.
        now: seconds since 1970.
        chance: 0 to 1; varies the wait by up to `JITTER` either way.
    """
    refused = status is not None and 400 <= status <= 499 and status not in _WORTH_RETRYING
    if attempts > len(waits) or (refused and attempts >= CLIENT_ERROR_ATTEMPTS):
        return None
    planned = waits[attempts - 1] * (1 + JITTER * (2 * chance - 1))
    return max(planned, min(_seconds(retry_after, now), LONGEST_RETRY_AFTER))


def _seconds(retry_after: str | None, now: float) -> float:
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        # Neither seconds nor a date: ignore the header.
        return 0.0
