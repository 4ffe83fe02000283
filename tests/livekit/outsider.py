"""A person in a process of its own, so that it can crash.

Run as `python -m tests.livekit.outsider ADDRESS TOKEN NAME`.
"""

from __future__ import annotations

import sys
import threading

from tests.livekit.participant import Participant


def main() -> None:
    """Join, say so, and stay until killed."""
    address, token, identity = sys.argv[1:]
    with Participant(address, token, identity):
        print("joined", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
