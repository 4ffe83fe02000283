"""Input of the store: pages of events, and outcomes of requests. Plain data."""

from __future__ import annotations

from typing import Any

import msgspec


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
