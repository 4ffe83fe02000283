"""Erasing a room, a session or its words for good: from the history, then from everything that waits for a client."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.events import posted
from streaming_hub.events.interest import Interest
from streaming_hub.events.wordless import EMPTY, has_words, replacement
from streaming_hub.history.page import Limit
from streaming_hub.stream.pauses import NAP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streaming_hub.events.posted import Event
    from streaming_hub.history.page import Page
    from streaming_hub.stream.hub import Hub

PIECE: Final = 1000
"""Sequence numbers per step. A step takes a few milliseconds, during which everything else waits."""
PAGE: Final = Limit(1000, 1024 * 1024)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def erase(
    hub: Hub, *, room: str | None = None, session_id: str | None = None, upto: int | None = None
) -> int:
    """Erase events in steps, letting other greenlets run in between; return the number of erased events.

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


def hide_words(
    hub: Hub,
    session_id: str,
    *,
    read: Callable[[Callable[[], Page]], Page],
    publish: Callable[[Sequence[Event]], object],
) -> int:
    """Erase a session's events with what was said, and publish events without words that take their place.

    Clients that have shown the words replace them: a transcript by its `segment_id`, a tool call by its `call_id`.

    Args:
        hub: whose events.
        session_id: the session, in every room.
        read: calls a function that may wait for the disk.
        publish: publishes events.

    Returns:
        How many events were erased.

    Raises:
        Unavailable: the history is away; what was done until then stays, and a repetition does the rest.
    """
    history = hub.history
    interest = Interest(sessions=frozenset({session_id}), types=frozenset(EMPTY))
    position, head, count = history.bounds.oldest - 1, history.bounds.head, 0
    try:
        while position < head:
            page = read(partial(history.since, position, interest, PAGE))
            said = [(entry.seq, event) for entry in page.entries if has_words(event := _decode(entry.data))]
            if made := [new for _, event in said if (new := replacement(event)) is not None]:
                publish([posted.make(fields) for fields in made])
            for seq, _ in said:
                with hub.storing:
                    count += history.erase(session_id=session_id, span=(seq, seq))
            position = page.upto
    finally:
        hub.forget_erased()
    return count
