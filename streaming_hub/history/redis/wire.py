"""How an event lies in Redis, and what the hash `meta` says. Pure.

An entry of the stream has the number as its id (`<seq>-0`), a header of what filters look at, and the event's JSON
without its id: the id holds the epoch, which may change while events survive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.events.stored import Entry, framed, stamped
from streaming_hub.events.types import operator_only

if TYPE_CHECKING:
    from streaming_hub.events.posted import Event

FORMAT: Final = "1"
"""Of keys, headers and scripts. A node refuses to start on another one."""
META: Final = ("run", "epoch", "era", "head", "oldest", "erased_low", "erased_high", "carried")

_Header = tuple[float, str, str | None, str | None, str | None, bool, str | None, bool]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Header).decode


class Meta(msgspec.Struct, frozen=True):
    """What the server says of the history.

    Attributes:
        run: whose memory was compared last; None while it must be compared.
        era: how often an epoch has begun; the later one wins.
        erased: lowest and highest number that was ever erased, or None.
        carried: earlier epochs, and the number up to which their events survived.
    """

    run: str | None
    epoch: str
    era: int
    head: int
    oldest: int
    erased: tuple[int, int] | None
    carried: dict[str, int]


def meta(values: list[bytes | None]) -> Meta | None:
    """Read the fields named by `META`; None where the server has no history."""
    run, epoch, era, head, oldest, low, high, carried = [
        None if value is None else value.decode("ascii") if isinstance(value, bytes) else str(value)
        for value in values
    ]
    if not epoch:
        return None
    pairs = [pair.rpartition(":") for pair in (carried or "").split(" ") if ":" in pair]
    return Meta(
        run,
        epoch,
        int(era or 0),
        int(head or 0),
        int(oldest or 1),
        erased(low, high),
        {name: int(upto) for name, _, upto in pairs if name and upto.isdigit()},
    )


def erased(low: str | bytes | None, high: str | bytes | None) -> tuple[int, int] | None:
    """Read the range in which numbers were erased."""
    return None if low is None or high is None else (int(low), int(high))


def packed(event: Event, now: float) -> list[str | bytes]:
    """Return an event as `append.lua` takes it: id, header, body."""
    header = (
        now,
        event.type,
        event.room,
        event.session_id,
        event.participant,
        event.operator_only or operator_only(event.type),
        event.segment,
        event.supervised,
    )
    known = "" if event.event_id is None else f"={event.event_id}"
    return [known, _encode(header), stamped(event, now)]


def number(stream_id: bytes) -> int:
    """Return an event's number, from the id of its entry in the stream."""
    return int(stream_id.partition(b"-")[0])


def entry(epoch: str, stream_id: bytes, fields: list[bytes]) -> Entry:
    """Read an entry of the stream.

    Args:
        epoch: the present one.
        stream_id: the entry's id in the stream.
        fields: names and values, as written by `append.lua`.
    """
    seq = number(stream_id)
    at, kind, room, session_id, participant, hidden, segment, supervised = _decode(fields[1])
    frame, start = framed(epoch, seq, fields[3])
    return Entry(seq, at, kind, room, session_id, participant, hidden, segment, frame, start, supervised)


def entries(epoch: str, found: list[Any] | None) -> list[Entry]:
    """Read entries of the stream; those that are deleted while they are read have no fields."""
    return [entry(epoch, stream_id, fields) for stream_id, fields in found or () if fields]
