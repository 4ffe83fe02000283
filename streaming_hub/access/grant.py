"""What a caller may do: a frozen value without secrets, and the check of its rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streaming_hub.errors import Forbidden

if TYPE_CHECKING:
    from streaming_hub.events.views import View

PUBLISH: Final = "publish"
SUBSCRIBE: Final = "subscribe"
OPERATE: Final = "operate"
JOIN: Final = "join"
"""Only for `/api/token`: lets a page fetch LiveKit tokens without any rights on the hub itself."""

HUB_SCOPES: Final = frozenset({PUBLISH, SUBSCRIBE, OPERATE})
ALL_SCOPES: Final = HUB_SCOPES | {JOIN}

ANONYMOUS: Final = "anonymous"
"""`who` of a caller without a credential. No key, token or ticket yields this name."""


class Grant(msgspec.Struct, frozen=True):
    """What one caller may do.

    Attributes:
        who: the caller's name for limits and the audit: `publish-key-1`, `jwt:alice`, `livekit:bob`, `ticket:...`,
            `anonymous`.
        scopes: what it may do, open scopes included.
        rooms: the only rooms it may access; None for all rooms, and events without a room.
        view: which events of them it sees.
        expires_at: when its credential expires, in seconds since 1970, or None.
    """

    who: str
    scopes: frozenset[str]
    rooms: frozenset[str] | None
    view: View
    expires_at: float | None

    @property
    def anonymous(self) -> bool:
        """Whether no credential was given."""
        return self.who == ANONYMOUS

    def allows_room(self, room: str | None) -> bool:
        """Return whether it may access a room; None stands for events without a room."""
        return self.rooms is None or room in self.rooms


def require_room(grant: Grant, room: str | None) -> None:
    """Check the room of an event that is posted, read or erased.

    Args:
        grant: of the caller.
        room: None for an event without a room, which only a credential for all rooms may publish.

    Raises:
        Forbidden: the credential is for other rooms.
    """
    if grant.allows_room(room):
        return
    if room is None:
        raise Forbidden(
            "This credential is limited to certain rooms: name one of them in `room`.", field="room"
        )
    raise Forbidden(f"This credential is not for the room {room[:100]!r}.", field="room")
