"""The control frames that a stream's transport creates. Pure."""

from __future__ import annotations

from typing import Final

from streaming_hub.events import sse

LAST_LOOK: Final = 0.25
"""Seconds between the last frame and an end that is an error to a page: browsers discard data that arrives with it."""


def heartbeat(now: float, place: str, *, chunked: bool) -> bytes:
    """Return a heartbeat that carries its reader's own position.

    Args:
        now: seconds since 1970.
        place: the reader's position as an id.
        chunked: whether the body goes out in chunks.
    """
    frame = sse.control_frame({"type": "heartbeat", "timestamp": round(now, 6)}, event_id=place)
    return sse.chunk(frame) if chunked else frame


def goodbye(reason: str, retry_ms: int, *, chunked: bool, whole: bool = True) -> bytes:
    """Return the last frame of a stream, and the end of its body.

    Args:
        reason: why it ends.
        retry_ms: milliseconds after which a browser reconnects.
        chunked: whether the body goes out in chunks.
        whole: whether the body ends as HTTP says. Where it does not, the close of the connection is an error to the
            reader: pages that read by `fetch` (fetch-event-source, for one) reconnect only then.
    """
    frame = sse.control_frame({"type": "goodbye", "reason": reason, "retry_ms": retry_ms}, retry_ms=retry_ms)
    if not chunked:
        return frame
    return sse.chunk(frame) + (sse.LAST_CHUNK if whole else b"")
