"""What the hub, the store and the dispatcher exchange: pages, queries, deliveries, outcomes. Plain data."""

from __future__ import annotations

from typing import Any, Final

import msgspec

RUN_LENGTH: Final = 16
RUN_BYTES: Final = 64 * 1024
"""How many deliveries, and bytes of them, of a lane are in memory at a time."""


class Line(msgspec.Struct, array_like=True, frozen=True):
    """An event as the hub's feed sends it."""

    seq: int
    at: float
    hidden: bool
    data: bytes


class Page(msgspec.Struct, frozen=True):
    """Events that follow a position.

    Attributes:
        version: the `Store.version` by which the feed left out what no endpoint wants.
        epoch: the history's name.
        after: the position that they follow.
        upto: the position after them.
        skipped: how many sequence numbers the history no longer had.
        endpoint: the one that catches up with this page; None for all that are up to date.
    """

    version: int
    epoch: str
    after: int
    upto: int
    lines: list[Line]
    skipped: int = 0
    endpoint: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """A query of an endpoint's log; `before` is where the previous page ended."""

    endpoint: str
    limit: int
    states: list[str] = []
    types: list[str] = []
    before: int | None = None


class Queued(msgspec.Struct, frozen=True):
    """A delivery to send."""

    id: int
    event_id: str
    type: str
    session: str | None
    size: int
    body: bytes
    attempts: list[dict[str, Any]]


class Taken(msgspec.Struct, frozen=True):
    """What a page has brought.

    Attributes:
        endpoints: those that got any delivery.
        fresh: the oldest pending deliveries of each lane of endpoints that had nothing pending before, in order, by
            endpoint and lane.
        erasures: `Store.erasures` when they were stored.
    """

    endpoints: set[str]
    fresh: dict[str, dict[str, list[Queued]]]
    erasures: int


class Tried(msgspec.Struct, frozen=True):
    """The outcome of a request.

    Attributes:
        state: the delivery's state after it.
        attempts: all of the delivery's attempts, this one included.
        next_try: seconds since 1970; None unless it stays pending.
        size: bytes of the delivery's body.
        gone: whether the response disables the endpoint.
    """

    endpoint: str
    lane: str
    delivery: int
    size: int
    state: str
    attempts: list[dict[str, Any]]
    next_try: float | None
    gone: bool = False


class Ended(msgspec.Struct, frozen=True):
    """A lane is no longer busy."""

    endpoint: str
    lane: str
