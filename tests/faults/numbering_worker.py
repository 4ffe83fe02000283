"""agent/worker.py with a serial number in every event that it posts.

    python -m tests.faults.numbering_worker FILE

Writes a line to the file for each event: its serial number, and for how many seconds the session waited for the
poster. Flushed at once, so it survives the process.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from streaming_hub_client.poster import Poster

from agent import worker


def number_posts(path: Path) -> None:
    """Put a counter in front of every poster's `post`."""
    lock = threading.Lock()
    count = 0
    out = path.open("w", buffering=1)
    post = Poster.post

    def numbered(self: Poster, event: dict[str, Any]) -> None:
        nonlocal count
        with lock:
            begun = time.perf_counter()
            post(self, {**event, "serial": count})
            out.write(f"{count} {time.perf_counter() - begun:.7f}\n")
            count += 1

    Poster.post = numbered  # type: ignore[method-assign] # that is the point


if __name__ == "__main__":
    number_posts(Path(sys.argv[1]))
    sys.exit(worker.main())
