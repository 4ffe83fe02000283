"""The speaker's name in exports. Pure."""

from __future__ import annotations

from typing import Any


def speaker(line: dict[str, Any]) -> str:
    """Return the name to show for a line of a transcript: the participant, else the role."""
    name = " ".join((line["participant"] or line["role"] or "").split())
    return name or "unknown"
