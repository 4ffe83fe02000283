"""A process that stores numbered events and prints each acknowledged number, until it is killed.

    appending_process.py FILE

Every third append is a batch; now and then it trims and checkpoints, so that a kill meets those, too.
"""

import sys
from pathlib import Path

from streaming_hub.events import posted
from streaming_hub.history.sqlite import SqliteHistory


def main() -> None:
    """Append until killed."""
    history = SqliteHistory(Path(sys.argv[1]), max_events=500, max_age=1e9, sync="normal", now=1.0)
    number = history.bounds.head
    round_ = 0
    while True:
        round_ += 1
        count = 7 if round_ % 3 == 0 else 1
        events = [
            posted.make({"type": "n", "n": number + k, "event_id": f"id-{number + k}"})
            for k in range(1, count + 1)
        ]
        seqs = history.append(events, 1.0).seqs
        number += count
        print(history.bounds.epoch, seqs[-1], number, flush=True)
        if round_ % 20 == 0:
            history.trim(1.0)
        if round_ % 50 == 0:
            history.checkpoint()


main()
