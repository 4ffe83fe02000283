"""Taking back bytes that a socket has not accepted yet, when events are erased. Pure.

A slow client may have received part of a write. The rest is cut after the frame in progress and read again from the
history, which no longer has the erased events. A chunk (HTTP/1.1) must keep its announced size: the cut part is
replaced by a comment, which every reader of Server-Sent Events ignores.
"""

from __future__ import annotations

import re

import msgspec

_ID = re.compile(rb"(?:^|\n)id: [A-Za-z0-9]+-([0-9]+)\n")


class Cut(msgspec.Struct, frozen=True):
    """The part of a write that is still sent, and the position to resume after."""

    rest: bytes
    position: int


def cut(data: bytes, sent: int, *, chunked: bool) -> Cut | None:
    """Cut a write.

    Args:
        data: the whole write: frames, in one chunk where `chunked`.
        sent: how many of its bytes the socket has accepted.
        chunked: whether the stream is sent in chunks.

    Returns:
        None if it cannot be cut: its frames have no ids to resume after, or it is not one chunk.
    """
    payload = _payload(data) if chunked else range(len(data))
    if payload is None:
        return None
    # The end of the frame in progress: the first end of a frame at or after what was sent.
    end = (
        data.find(b"\n\n", max(payload.start, sent - 2), payload.stop) + 2
        if sent > payload.start
        else payload.start
    )
    if end < sent and sent > payload.start:
        return None
    kept, dropped = _ID.findall(data[payload.start : end]), _ID.search(data[end : payload.stop])
    if kept:
        position = int(kept[-1])
    elif dropped:
        position = int(dropped[1]) - 1
    else:
        return None
    if sent == 0:
        return Cut(b"", position)
    filler = payload.stop - end if chunked else 0
    comment = b":" * (filler - 1) + b"\n" if filler else b""
    tail = data[max(sent, payload.stop) :]
    return Cut(data[sent : max(end, sent)] + comment + tail, position)


def _payload(data: bytes) -> range | None:
    """Return where a chunk's payload is, or None if data is not exactly one chunk."""
    size, found, _ = data.partition(b"\r\n")
    if not found:
        return None
    try:
        length = int(size, 16)
    except ValueError:
        return None
    start = len(size) + 2
    return range(start, start + length) if len(data) == start + length + 2 else None
