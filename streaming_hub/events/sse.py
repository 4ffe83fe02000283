"""Server-Sent Events as bytes (WHATWG HTML, section 9.2). Pure: takes values, returns bytes, never sees a socket.

Every payload here is a JSON object without CR and LF, so one `data:` line always holds it whole.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

LAST_CHUNK: Final = b"0\r\n\r\n"
"""What ends a chunked body (RFC 9112, section 7.1)."""

_encode_json = msgspec.json.Encoder().encode


def event_frame(event_id: bytes, data: bytes) -> tuple[bytes, int]:
    """Return the frame of a stored event, its id and its JSON on a line each, and where the JSON begins."""
    return b"id: %b\ndata: %b\n\n" % (event_id, data), len(event_id) + 11


def control_frame(
    fields: dict[str, Any], *, event_id: str | None = None, retry_ms: int | None = None
) -> bytes:
    """Return the frame of a control event.

    Args:
        fields: the JSON object, with `type`.
        event_id: the reader's own position; only heartbeats carry one.
        retry_ms: how long a browser waits before it reconnects, in milliseconds.
    """
    head = b""
    if retry_ms is not None:
        head += b"retry: %d\n" % retry_ms
    if event_id is not None:
        head += b"id: %b\n" % event_id.encode("ascii")
    return b"%bdata: %b\n\n" % (head, _encode_json(fields))


def chunk(frame: bytes) -> bytes:
    """Wrap bytes as one chunk of a chunked body (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(frame), frame)
