"""Follow a hub's stream for as long as you like: reconnects, resumes where it was, tells what was missed.

Used by the other examples; copy it into your own program. Needs `requests` only.
"""

from __future__ import annotations

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


class Refused(Exception):
    """The hub refuses for good: a wrong key, a malformed filter. The text has its own words, and what to do."""


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
        except requests.HTTPError as error:
            pause = float(error.response.headers.get("Retry-After", 5))
        except requests.RequestException as error:
            why = type(error).__name__
            print(f"the hub cannot be reached at {hub} ({why}), again in {pause:.1f} s", file=sys.stderr)


def _words(answer: requests.Response) -> str:
    """Return what the hub says about a refusal, or the status where it is not a hub that answers."""
    hint = " A subscribe key goes into STREAM_KEY." if answer.status_code in (401, 403) else ""
    try:
        return f"The hub refuses, {answer.status_code}: {answer.json()['detail']}{hint}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason} from {answer.url}: no hub answers there."


def _one_connection(
    hub: str, key: str | None, position: str | None, query: dict[str, Any]
) -> Iterator[Received]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if position:
        headers["Last-Event-ID"] = position
        query = {name: value for name, value in query.items() if name != "replay"}
    with requests.get(
        f"{hub}/api/stream", params=query, headers=headers, stream=True, timeout=(5, SILENCE)
    ) as answer:
        if answer.status_code in (429, 503):
            answer.raise_for_status()
        if not answer.ok:
            raise Refused(_words(answer))
        place: str | None = None
        for line in answer.iter_lines():
            if line.startswith(b"id: "):
                place = line[4:].decode()
            elif line.startswith(b"data: "):
                event = json.loads(line[6:])
                if event["type"] == "connected" and position is None:
                    place = event["cursor"]
                yield Received(place, event)
                place = None
