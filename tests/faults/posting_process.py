"""A process that posts numbered events for as long as it lives, for tests that kill it.

Arguments: URL, spool folder, first number, how many events, seconds between them, JSON of more arguments.
Prints the number of the last event posted, a line each; then closes the poster and prints `closed`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

from streaming_hub_client.poster import Poster


def main(url: str, folder: str, first: str, count: str, pause: str, options: str) -> None:
    """Post, report progress, close."""
    logging.basicConfig(level=logging.WARNING)
    poster = Poster(url, spool_dir=Path(folder), **json.loads(options))
    for number in range(int(first), int(first) + int(count)):
        poster.post({"type": "test", "n": number})
        print(number, flush=True)
        if float(pause):
            time.sleep(float(pause))
    print("closed", poster.close(60), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
