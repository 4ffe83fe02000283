"""The live transcript in a terminal: `uv run examples/terminal.py [--room NAME]`.

Words show while they are spoken; what was cut off is marked. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import Any

from hub_stream import Refused, follow

ERASE_LINE = "\r\x1b[2K"


class Screen:
    """Shows one event after the other; an interim line is rewritten in place."""

    def __init__(self) -> None:
        self._moving = sys.stdout.isatty()
        self._open = False

    def show(self, event: dict[str, Any]) -> None:
        """Show an event, if it is one for people."""
        if event["type"] == "transcript":
            self._transcript(event)
        elif event["type"] == "stream_reset":
            self._line(f"--- {event['missed'] if event['missed'] is not None else 'some'} events were missed")
        elif event["type"] in ("session_started", "session_ended", "agent_ready"):
            self._line(
                f"--- {event['type'].replace('_', ' ')} {_safe(str(event.get('reason', '')))}".rstrip()
            )

    def _transcript(self, event: dict[str, Any]) -> None:
        who = event.get("participant") or event.get("role") or "?"
        text = _safe(f"{who}: {event.get('text', '')}")
        if event.get("is_final", True):
            self._line(text + (" [cut off]" if event.get("interrupted") else ""))
        elif self._moving:
            # The end of a long line is what is new.
            width = shutil.get_terminal_size().columns - 1
            print(ERASE_LINE + (text if len(text) <= width else "…" + text[1 - width :]), end="", flush=True)
            self._open = True

    def _line(self, text: str) -> None:
        print((ERASE_LINE if self._open else "") + text, flush=True)
        self._open = False


def _safe(text: str) -> str:
    """Replace what a terminal would obey: people's words are text and nothing else."""
    return "".join(character if character.isprintable() else " " for character in text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Show a hub's live transcript.")
    parser.add_argument(
        "--hub",
        default=os.environ.get("STREAM_URL") or "http://localhost:5000",
        help="its address; STREAM_URL by default",
    )
    parser.add_argument("--room", action="append", help="only this room; may be repeated")
    parser.add_argument("--replay", type=int, default=0, help="the last so many events first")
    options = parser.parse_args()
    # What this terminal's encoding lacks is no reason to stop.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    screen = Screen()
    for received in follow(
        options.hub, key=os.environ.get("STREAM_KEY"), room=options.room, replay=options.replay
    ):
        screen.show(received.event)


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print()
