"""Follow a hub's stream for as long as you like: reconnects, resumes where it was, tells what was missed.

Used by the other examples; copy it into your own program. Needs `requests` only.
"""

from __future__ import annotations

import email.utils
import json
import random
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

SILENCE = 45.0
"""Seconds without a byte (three heartbeats) after which the connection counts as dead."""
LONGEST_PAUSE = 120.0


class Refused(Exception):
    """The hub refuses for good: a wrong key, a malformed filter. The text has its own words, and what to do."""


class Away(Exception):
    """No stream for now. The text says why.

    Attributes:
        pause: seconds to wait at least.
    """

    def __init__(self, why: str, pause: float) -> None:
        super().__init__(why)
        self.pause = pause


class Received(NamedTuple):
    """One event, and the position that a stream which has dealt with it goes on from (None: not known yet)."""

    position: str | None
    event: dict[str, Any]


def follow(
    hub: str, *, key: str | None = None, position: str | None = None, **query: Any
) -> Iterator[Received]:
    """Yield the hub's events for ever, control events among them.

    Args:
        hub: its address, like http://localhost:5000.
        key: a subscribe key, where the hub asks for one.
        position: the `position` of the last event that was dealt with, in an earlier run.
        **query: filters and other parameters of the stream: room, type, replay, snapshot...

    Raises:
        Refused: the hub refuses for good.
    """
    pause = 0.0
    while True:
        time.sleep(pause)
        pause = random.uniform(0.5, 3.0)
        try:
            for received in _one_connection(hub, key, position, query):
                position = received.position or position
                if received.event["type"] == "goodbye":
                    pause = received.event["retry_ms"] / 1000
                yield Received(position, received.event)
        except Away as error:
            pause = max(pause, error.pause)
            print(f"{error}; again in {pause:.1f} s", file=sys.stderr)
        except requests.RequestException as error:
            why = type(error).__name__
            print(f"the hub cannot be reached at {hub} ({why}), again in {pause:.1f} s", file=sys.stderr)


def _check(answer: requests.Response) -> None:
    """Return where a stream follows.

    Raises:
        Refused: the hub itself refuses, with a problem document of its own.
        Away: it has no room now, or something else answers: a proxy whose hub restarts, another server on its port.
    """
    status, kind = (
        answer.status_code,
        answer.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
    )
    if status == 200 and kind == "text/event-stream":
        return
    pause = _retry_after(answer.headers.get("Retry-After"))
    detail = _detail(answer) if kind == "application/problem+json" else None
    if detail is None:
        server = answer.headers.get("Server", "no name")
        raise Away(f"{status} from {answer.url}, which is no hub's answer (Server: {server})", pause)
    if status >= 500 or status in (408, 425, 429):
        raise Away(f"the hub says {status}: {detail}", pause)
    hint = " A subscribe key goes into STREAM_KEY." if status in (401, 403) else ""
    raise Refused(f"The hub refuses, {status}: {detail}{hint}")


def _detail(answer: requests.Response) -> str | None:
    """Return the words of the hub's problem document; None where it is another's."""
    try:
        problem = answer.json()
        own = problem["type"] == "about:blank" and problem["status"] == answer.status_code
        return str(problem["detail"]) if own and "instance" not in problem else None
    except (ValueError, KeyError, TypeError):
        return None


def _retry_after(header: str | None) -> float:
    """Return the seconds that the header asks for, in either of its forms; 5 without one."""
    try:
        if header is None:
            return 5.0
        date = None if header.strip().isdecimal() else email.utils.parsedate_to_datetime(header)
        seconds = float(header) if date is None else date.timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return 5.0
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def _one_connection(
    hub: str, key: str | None, position: str | None, query: dict[str, Any]
) -> Iterator[Received]:
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {})
    if position:
        headers["Last-Event-ID"] = position
        query = {name: value for name, value in query.items() if name != "replay"}
    with requests.get(
        f"{hub.rstrip('/')}/api/stream", params=query, headers=headers, stream=True, timeout=(5, SILENCE)
    ) as answer:
        _check(answer)
        place: str | None = None
        data = b""
        for line in answer.iter_lines():
            if line.startswith(b"id: "):
                place = line[4:].decode()
            elif line.startswith(b"data: "):
                data = line[6:]
            elif not line and data:
                # Only its empty line ends an event: one without it was cut off, and comes again.
                event = json.loads(data)
                if event["type"] == "connected" and position is None:
                    place = event["cursor"]
                yield Received(place, event)
                place, data = None, b""
