"""How long `Poster.post` holds up the callback that calls it.

Run: uv run bench/poster_callback.py [EVENTS]

Posts events at ten times a talking agent's pace, from an asyncio loop as LiveKit's callbacks do, in five
situations, and prints how long the calls took. The goal is a p99 under 0.2 ms in all of them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from streaming_hub_client.poster import Poster

from tests.kit.fake_hub import FakeHub, Reply

PER_SECOND = 500
EVENT = {
    "type": "transcript",
    "room": "kitchen",
    "session_id": "AJ_1234567890",
    "turn_id": "turn_12",
    "participant": "user-1",
    "role": "user",
    "segment_id": "SG_1234567890",
    "is_final": False,
    "text": "Could you tell me what the weather is going to be like in Lisbon tomorrow morning?",
}


async def measure(poster: Poster, events: int) -> list[float]:
    """Return the time each call took, in seconds."""
    taken = []
    for number in range(events):
        event: dict[str, Any] = EVENT | {"n": number}
        start = time.perf_counter()
        poster.post(event)
        taken.append(time.perf_counter() - start)
        await asyncio.sleep(1 / PER_SECOND)
    return taken


def report(name: str, taken: list[float]) -> None:
    """Print one row, in microseconds."""
    taken.sort()
    points = [taken[int(len(taken) * share)] for share in (0.5, 0.95, 0.99, 0.999)]
    print(f"{name:34}" + "".join(f"{1e6 * point:10.0f}" for point in [*points, taken[-1]]))


def run(name: str, hub: FakeHub, events: int, **options: Any) -> None:
    """Measure one situation."""
    poster = Poster(hub.url, **options)
    report(name, asyncio.run(measure(poster, events)))
    poster.close(0)


def main(events: int) -> None:
    """Measure all situations and print a table."""
    print(f"{events} calls each, {PER_SECOND} a second; microseconds")
    print(f"{'':34}" + "".join(f"{head:>10}" for head in ("p50", "p95", "p99", "p99.9", "max")))
    with tempfile.TemporaryDirectory() as folder:
        with FakeHub() as hub:
            run("hub answers", hub, events, spool_dir=Path(folder))
            hub.default = Reply(503)
            run("hub answers 503", hub, events, spool_dir=Path(folder))
            hub.default = Reply(hold=threading.Event())
            run("hub hangs", hub, events, spool_dir=Path(folder))
        run("hub away, spool", FakeHub(), events, spool_dir=Path(folder))
        run("hub away, everything full", FakeHub(), events, max_queue=10)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
