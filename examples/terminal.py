"""The live transcript in a terminal: `uv run examples/terminal.py [--room NAME]`.

Words appear as they are spoken; a line that was interrupted is marked. Ctrl-C ends it. Needs
livekit-streaming-hub-client and wcwidth.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import unicodedata
from typing import Any

from streaming_hub_client import Gap, Refused, follow
from wcwidth import iter_graphemes, wcswidth

ERASE_LINE = "\r\x1b[2K"
WRAP_OFF, WRAP_ON = "\x1b[?7l", "\x1b[?7h"
INDENT = "    "
REORDER = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Bidi embeddings, overrides and isolates: they can rearrange the rest of the line, the speaker's name included."""
ACTED_ON = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories a terminal acts on or cannot print: controls, surrogates, line and paragraph separators."""


class Screen:
    """Shows events one by one; an interim is rewritten in place.

    An interim takes one row of the screen, however long it is, so erasing that row erases all of it.
    """

    def __init__(self) -> None:
        self._moving = sys.stdout.isatty()
        self._open = False

    def show(self, event: dict[str, Any] | Gap) -> None:
        """Show a gap, a transcript, or the start or end of a session; ignore other events."""
        if isinstance(event, Gap):
            missed = "some" if event.missed is None else event.missed
            self._line(f"--- {missed} events are missing ({event.reason})")
        elif event["type"] == "transcript":
            self._transcript(event)
        elif event["type"] in ("session_started", "session_ended", "agent_ready"):
            self._line(
                f"--- {event['type'].replace('_', ' ')} {visible(str(event.get('reason', '')))}".rstrip()
            )

    def _transcript(self, event: dict[str, Any]) -> None:
        who = visible(str(event.get("participant") or event.get("role") or "?"))
        lines = [visible(line) for line in str(event.get("text", "")).replace("\r\n", "\n").split("\n")]
        if event.get("is_final", True):
            # Indented, so that no text can pass for another speaker's line.
            text = f"\n{INDENT}".join(lines)
            self._line(f"{who}: {text}" + (" [cut off]" if event.get("interrupted") else ""))
        elif self._moving:
            text = tail(f"{who}: {' '.join(lines)}", shutil.get_terminal_size().columns - 1)
            # Some terminals draw a cluster wider than Unicode says; the row must not wrap even then.
            print(f"{ERASE_LINE}{WRAP_OFF}{text}{WRAP_ON}", end="", flush=True)
            self._open = True

    def _line(self, text: str) -> None:
        print((ERASE_LINE if self._open else "") + text, flush=True)
        self._open = False


def visible(text: str) -> str:
    r"""Escape what a terminal would act on, such as `\x1b`; leave every other character as it is.

    Joiners, combining marks and direction marks stay: many scripts, and emoji, need them.
    """
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if character in REORDER or unicodedata.category(character) in ACTED_ON
        else character
        for character in text
    )


def tail(text: str, cells: int) -> str:
    """Return the end of a text, at most this many cells wide: in an interim the end is what is new."""
    if wcswidth(text) <= cells:
        return text
    room, kept = cells - 1, []
    for cluster in reversed(list(iter_graphemes(text))):
        room -= wcswidth(cluster)
        if room < 0:
            break
        kept.append(cluster)
    return "…" + "".join(reversed(kept))


def main() -> None:
    parser = argparse.ArgumentParser(description="Show a hub's live transcript.")
    parser.add_argument(
        "--hub",
        default=os.environ.get("STREAM_URL") or "http://localhost:5000",
        help="its address; STREAM_URL by default",
    )
    parser.add_argument("--room", action="append", help="only this room; may be repeated")
    parser.add_argument("--replay", type=int, default=0, help="how many past events to show first")
    options = parser.parse_args()
    # If the locale's encoding lacks a character, show its escape.
    sys.stdout.reconfigure(errors="backslashreplace")
    screen = Screen()
    key = os.environ.get("STREAM_KEY")
    for event in follow(options.hub, key=key, room=options.room, replay=options.replay):
        screen.show(event)


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(f"Refused by the hub: {error} Put a subscribe key into STREAM_KEY.")
    except KeyboardInterrupt:
        print()
