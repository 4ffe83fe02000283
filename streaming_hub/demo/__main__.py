"""The child process of a demo: posts simulated calls to a hub until its standard input closes.

STREAM_PUBLISH_KEY=... python -m streaming_hub.demo http://127.0.0.1:5000 30
"""

from __future__ import annotations

import heapq
import os
import sys
import threading
import time
import uuid
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import requests

from streaming_hub.demo.calls import timelines

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP: Final = 0.1
"""Seconds between two posts."""
MOST: Final = 500
"""Events in one post."""
BUSY: Final = frozenset({429, 502, 503, 504})
PATIENCE: Final = 30.0
"""Seconds for one post, with all its attempts."""


def main(url: str, count: int) -> int:
    """Post the events when they are due.

    Returns:
        1 when the hub refuses them or cannot be reached.
    """
    _end_with_parent()
    key = os.environ.get("STREAM_PUBLISH_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with requests.Session() as session:
        session.trust_env = False  # no proxy on the way to this machine
        session.headers.update(headers)
        try:
            for events in batches(count):
                post(session, f"{url}/api/agent/data", events)
        except requests.RequestException as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    return 0


def post(session: requests.Session, address: str, events: list[dict[str, Any]]) -> None:
    """Post events; retry for a while if the hub is busy or a connection breaks.

    Raises:
        requests.RequestException: the hub refuses them or cannot be reached.
    """
    # The base install has no client package. The `event_id` makes repeats harmless.
    named = [{"event_id": uuid.uuid4().hex, **event} for event in events]
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = session.post(address, json=named, timeout=PATIENCE)
            if answer.status_code not in BUSY or time.monotonic() > deadline:
                answer.raise_for_status()
                return
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


def batches(count: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the events of all lines when they are due, oldest first."""
    begun = time.time()
    timeline = heapq.merge(*timelines(count, begun), key=itemgetter(0))
    due: list[dict[str, Any]] = []
    for at, event in timeline:
        if at < begun and event.get("is_final") is False:
            continue  # skip interims from before the start of the demo
        while at > time.time() or len(due) >= MOST:
            if due:
                yield due
                due = []
            else:
                time.sleep(STEP)
        due.append(event)


def _end_with_parent() -> None:
    """End with the hub, however it ends: the system then closes the pipe on standard input."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
