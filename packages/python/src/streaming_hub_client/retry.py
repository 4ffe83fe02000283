"""What a response means, and how long to wait before the next request. Pure."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from datetime import timezone
from enum import Enum
from typing import Any, NamedTuple

import msgspec


class Verdict(Enum):
    """What the hub's response means for the batch."""

    ACCEPTED = "accepted"
    LATER = "later"
    KEY_REFUSED = "key refused"
    BAD = "bad"


class Outcome(NamedTuple):
    """How an attempt ended.

    Attributes:
        verdict: What to do with the batch.
        detail: The reason for the log; the part before its first colon identifies the kind of failure.
        retry_after: Minimum wait in seconds that the response asks for.
        smaller: Whether a smaller batch might be accepted.
    """

    verdict: Verdict
    detail: str = ""
    retry_after: float = 0.0
    smaller: bool = False


@dataclass(frozen=True)
class Pace:
    """Delays and timeouts, in seconds.

    Attributes:
        first_delay: Before the second attempt; doubles with each further one.
        longest_delay: Between attempts while the hub is unreachable.
        key_delay: Between attempts while the hub refuses the key.
        connect_timeout: For a connection.
        answer_timeout: For a response.
        spill_after: How long an event stays in memory before it is written to the spool file.
        renew_leases: Between two renewals of the sessions' leases.
    """

    first_delay: float = 0.1
    longest_delay: float = 5.0
    key_delay: float = 30.0
    connect_timeout: float = 3.0
    answer_timeout: float = 10.0
    spill_after: float = 0.1
    renew_leases: float = 5.0


LONGEST_RETRY_AFTER = 600.0
PROBLEM_TYPE = "application/problem+json"
ABOUT_THE_BODY = frozenset({400, 403, 413, 422})
"""Statuses with which a proxy in front of the hub may refuse a body for its size or its content."""


def backoff(attempt: int, chance: float, *, first: float, longest: float) -> float:
    """Return the seconds to wait after failure number `attempt` (from 0).

    Args:
        attempt: How many failures came before this one.
        chance: A random number from 0 to 1. The delay is between half of its step and all of it, so that agents do not
            all reconnect at the same time.
        first: The step after the first failure, in seconds.
        longest: The largest step, in seconds.
    """
    step = min(longest, first * 2.0 ** min(attempt, 60))
    return step * (0.5 + 0.5 * chance)


def retry_after(header: str | None, now: float, *, longest: float = LONGEST_RETRY_AFTER) -> float:
    """Return the seconds that a response asks the client to wait, or 0 (RFC 9110, section 10.2.3).

    Args:
        header: The value of Retry-After: seconds or a date.
        now: Seconds since 1970.
        longest: Upper limit of the result, in seconds.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), longest)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return min(max(at.timestamp() - now, 0.0), longest)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body, or an empty one if the body is anything else."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def is_from_hub(status: int, content_type: str, said: dict[str, Any]) -> bool:
    """Return whether a response is the hub's own, rather than from a proxy or another server on its port.

    The hub accepts events with a JSON object whose `status` is `ok`. It refuses them with a problem document (RFC 9457)
    that has neither a `type` of its own nor an `instance`, unlike those of gateways that use the same format.

    Args:
        status: The HTTP status.
        content_type: The Content-Type header, empty without one.
        said: The body's JSON object (`json_object`).
    """
    if 200 <= status < 300:
        return said.get("status") == "ok"
    return (
        content_type.partition(";")[0].strip().lower() == PROBLEM_TYPE
        and said.get("type") == "about:blank"
        and said.get("status") == status
        and isinstance(said.get("title"), str)
        and isinstance(said.get("detail"), str)
        and "instance" not in said
    )


def takes(said: dict[str, Any], count: int | None) -> bool:
    """Return whether a response accepts every event of a request: the hub returns an id for each.

    Args:
        said: The body's JSON object (`json_object`).
        count: Number of events sent as an array; None for a single event sent as an object.
    """
    ids = [said.get("id")] if count is None else said.get("ids")
    expected = 1 if count is None else count
    named = isinstance(ids, list) and len(ids) == expected and all(isinstance(one, str) for one in ids)
    return said.get("status") == "ok" and named


def judge(status: int, field: object = None) -> Verdict:
    """Return what the hub's own response means for a batch.

    Only responses about the events themselves are BAD. Any other refusal (a wrong path, a hub that is stopping) may be
    temporary, so the events are kept.

    Args:
        status: The HTTP status.
        field: `field` of the hub's problem document. A 403 that names `room` refuses one event: the key is valid, but
            not for that event's room, and the other events must not wait behind it.
    """
    if 200 <= status < 300:
        return Verdict.ACCEPTED
    if status == 403 and field == "room":
        return Verdict.BAD
    if status in {401, 403}:
        return Verdict.KEY_REFUSED
    if status in {400, 413, 422}:
        return Verdict.BAD
    return Verdict.LATER
