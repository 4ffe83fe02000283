"""Erasing a room or a session permanently: from the history, then from everything that still waits for a client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from streaming_hub.stream.pauses import NAP

if TYPE_CHECKING:
    from streaming_hub.stream.hub import Hub

PIECE: Final = 1000
"""Sequence numbers per step: a few milliseconds in which everything else waits."""


def erase(
    hub: Hub, *, room: str | None = None, session_id: str | None = None, upto: int | None = None
) -> int:
    """Erase events piece by piece, with turns for others in between; return how many there were.

    Args:
        hub: whose events.
        room: the room's.
        session_id: or the session's; with both, the session's in that room (empty: in none).
        upto: none above this sequence number; the head at the beginning by default.

    Raises:
        Unavailable: the store cannot be written to; what was erased until then stays erased.
    """
    history = hub.history
    first, last = history.first_row, history.bounds.head if upto is None else upto
    count = 0
    try:
        while first <= last:
            piece = (first, min(last, first + PIECE - 1))
            with hub.storing:
                count += history.erase(room=room, session_id=session_id, span=piece)
            first = piece[1] + 1
            if first <= last:
                time.sleep(NAP)
    finally:
        hub.forget_erased()
    return count
