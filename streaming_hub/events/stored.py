"""A stored event and its encoded frame. Pure; encoding happens here, once per event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streaming_hub.events import sse
from streaming_hub.events.types import operator_only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.events.posted import Event


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A stored event.

    Attributes:
        seq: its place in the history, from 1.
        at: when it was appended, seconds since 1970.
        frame: the SSE frame.
        start: where in the frame its JSON begins; `data` is that.
        segment: the segment of an interim transcript, which a newer interim replaces; else None.
        supervised: whether the hub's own agent process posted it; known to stores that several nodes share.
    """

    seq: int
    at: float
    type: str
    room: str | None
    session_id: str | None
    participant: str | None
    operator_only: bool
    segment: str | None
    frame: bytes
    start: int
    supervised: bool = False

    @property
    def data(self) -> bytes:
        """The event as JSON, with `id` and `timestamp`."""
        return self.frame[self.start : -2]

    @property
    def segment_key(self) -> tuple[str | None, ...]:
        """What two interims share when the newer one replaces the older one."""
        return (self.room, self.session_id, self.participant, self.segment, str(self.operator_only))


def encode(epoch: str, seq: int, event: Event, now: float) -> Entry:
    """Give an event its id and its frame.

    Args:
        epoch: the history's epoch.
        seq: the event's place.
        event: what was posted.
        now: seconds since 1970; stands in for a missing timestamp.
    """
    frame, start = framed(epoch, seq, stamped(event, now))
    kind = event.type
    hidden = event.operator_only or operator_only(kind)
    return Entry(
        seq,
        now,
        kind,
        event.room,
        event.session_id,
        event.participant,
        hidden,
        event.segment,
        frame,
        start,
        event.supervised,
    )


def stamped(event: Event, now: float) -> bytes:
    """Return the event's JSON object without its opening brace, with the time where it has none."""
    rest = event.body[1:]
    return rest if event.stamped else b'"timestamp":%.6f,%b' % (now, rest)


def framed(epoch: str, seq: int, rest: bytes) -> tuple[bytes, int]:
    """Return the frame of what `stamped` returned, and where its JSON begins."""
    event_id = b"%b-%d" % (epoch.encode("ascii"), seq)
    return sse.event_frame(event_id, b'{"id":"%b",%b' % (event_id, rest))


def without_superseded(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Remove each interim that a later interim of the same segment replaces."""
    if not any(entry.segment for entry in entries):
        return entries
    newest = {entry.segment_key: entry.seq for entry in entries if entry.segment}
    return [entry for entry in entries if not entry.segment or newest[entry.segment_key] == entry.seq]
