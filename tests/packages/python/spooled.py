"""What lies in a poster's spool folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def spooled_numbers(folder: Path) -> list[int]:
    """The field `n` of the events that have one, in order."""
    # What comes after the last line feed may be a line that is just being written.
    rows = [row for path in sorted(folder.glob("*.jsonl")) for row in path.read_bytes().split(b"\n")[:-1]]
    return [event["n"] for event in map(json.loads, rows) if "n" in event]
