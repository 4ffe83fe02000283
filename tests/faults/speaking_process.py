"""An agent that the hub did not start, in the middle of a sentence; for tests that kill it.

Arguments: URL, session. Prints `speaking` once the hub has its events, then stays alive and silent.
"""

from __future__ import annotations

import sys
import threading

from streaming_hub_client.poster import Poster


def main(url: str, session: str) -> None:
    """Begin to speak, and never end."""
    poster = Poster(url)
    known = {"session_id": session, "room": "hall", "participant": "agent", "role": "agent"}
    poster.post({"type": "session_started", **known})
    poster.post({"type": "agent_speech_started", **known})
    if poster.flush(20):
        print("speaking", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
