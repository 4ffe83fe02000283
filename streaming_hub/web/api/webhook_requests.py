"""The request bodies of the webhook endpoints."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streaming_hub.events.posted import NAME_PATTERN, TYPE_PATTERN
from streaming_hub.events.views import OPERATOR
from streaming_hub.settings import DEFAULT_WEBHOOK_TYPES

MAX_RESENT: Final = 1000

Url = Annotated[str, Meta(min_length=1, max_length=2048)]
Type = Annotated[str, Meta(pattern=rf"^(?:\*|{TYPE_PATTERN})$(?!\n)")]
Types = Annotated[list[Type], Meta(min_length=1, max_length=100)]
Room = Annotated[str, Meta(min_length=1, max_length=1000, pattern=NAME_PATTERN)]
Rooms = Annotated[list[Room], Meta(min_length=1, max_length=1000)]
Description = Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00]*$")]
View = Literal["operator", "viewer"]
Place = str | float


class Create(msgspec.Struct, forbid_unknown_fields=True, rename={"since": "from"}):
    """A new webhook.

    Attributes:
        url: the receiver; `https` and a public address, unless STREAM_WEBHOOK_ALLOW_PRIVATE is set.
        types: event types; `*` for all.
        rooms: the only rooms; null for all, and for events without a room.
        view: whose view of the events.
        interims: whether interim transcripts are sent.
        description: for people.
        since: a cursor (exclusive) or a time; events from then on are sent. Default: now.
    """

    url: Url
    types: Types = msgspec.field(default_factory=lambda: list(DEFAULT_WEBHOOK_TYPES))
    rooms: Rooms | None = None
    view: View = OPERATOR
    interims: bool = False
    description: Description | None = None
    since: Place | None = None


class Change(msgspec.Struct, forbid_unknown_fields=True, rename={"since": "from"}):
    """A change of a webhook; omitted fields stay unchanged.

    Attributes:
        url, types, rooms, view, interims, description: as for a new one.
        since: where it continues: a cursor (exclusive) or a time.
        enabled: whether events are sent to it. Once re-enabled, it gets what it missed, if the history still has it.
        rotate_secret: true for a new secret; the old one also signs for another 24 hours.
    """

    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    rooms: Rooms | UnsetType | None = UNSET
    view: View | UnsetType = UNSET
    interims: bool | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    since: Place | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    rotate_secret: bool = False


class Replay(msgspec.Struct, forbid_unknown_fields=True, rename={"since": "from"}):
    """What to send again: a range, single deliveries, or all failed ones.

    Attributes:
        since: the first event, by id or time of acceptance (inclusive).
        to: the last one (inclusive); the newest by default.
        deliveries: or these deliveries.
        state: or all deliveries in this state that have not been sent again.
    """

    since: Place | None = None
    to: Place | None = None
    deliveries: Annotated[list[str], Meta(min_length=1, max_length=MAX_RESENT)] | None = None
    state: Literal["failed"] | None = None
