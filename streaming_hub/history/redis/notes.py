"""What nodes tell each other besides events: what was erased, which leases were renewed. Pure data."""

from __future__ import annotations

from typing import Final

import msgspec

KEPT: Final = 2000
"""Notes that the server keeps. A node that was away for longer reads everything again."""


class Erased(msgspec.Struct, frozen=True, tag="erased"):
    """Events are gone from the history and have to go from every node's memory.

    Attributes:
        numbers: theirs.
        room, session_id: what was erased, as in `History.erase`.
    """

    numbers: list[int]
    room: str | None = None
    session_id: str | None = None


class Renewed(msgspec.Struct, frozen=True, tag="renewed"):
    """Leases of sessions were renewed on another node.

    Attributes:
        node: that node.
        sessions: id and room of each.
        lease: seconds.
    """

    node: str
    sessions: list[tuple[str, str | None]]
    lease: float


class Wanted(msgspec.Struct, frozen=True, tag="wanted"):
    """A node asks the owner of a lease to hand it over.

    Attributes:
        name: the lease's.
        node: who asks.
    """

    name: str
    node: str


Note = Erased | Renewed | Wanted

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Note).decode
