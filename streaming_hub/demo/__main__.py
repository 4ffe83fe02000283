"""The child process of a demo: posts simulated calls to a hub until its standard input closes.

STREAM_PUBLISH_KEY=... python -m streaming_hub.demo http://127.0.0.1:5000 30
"""

from __future__ import annotations

import heapq
import os
import sys
import threading
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import requests
from streaming_hub_client import Refused, publish

from streaming_hub.demo.calls import timelines

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP: Final = 0.1
"""Seconds between two posts."""
MOST: Final = 500
"""Events in one post."""


def main(url: str, count: int) -> int:
    """Post the events as their times come.

    Returns:
        1 when the hub refuses them or cannot be reached.
    """
    _end_with_parent()
    key = os.environ.get("STREAM_PUBLISH_KEY")
    try:
        for events in batches(count):
            publish(url, events, key=key)
    except (Refused, requests.RequestException) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def batches(count: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the events of all lines that are due, oldest first; wait where none is."""
    timeline = heapq.merge(*timelines(count, time.time()), key=itemgetter(0))
    due: list[dict[str, Any]] = []
    for at, event in timeline:
        while at > time.time() or len(due) >= MOST:
            if due:
                yield due
                due = []
            else:
                time.sleep(STEP)
        due.append(event)


def _end_with_parent() -> None:
    """End when the hub does, however it ends: the system then closes the pipe that is our standard input."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
