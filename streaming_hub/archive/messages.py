"""What the hub sends its archive's process. Plain data, which both sides import."""

from __future__ import annotations

from typing import Final

import msgspec

SORTS: Final = ("started", "duration", "heard_latency", "latency", "interruptions", "errors")
"""What lists can be sorted by."""
BUCKETS: Final = {"minute": 60, "hour": 3600, "day": 86_400}
"""Seconds of a bucket of statistics; buckets begin at multiples of it since 1970, UTC."""


class Page(msgspec.Struct, frozen=True):
    """Events to archive.

    Attributes:
        epoch: the history's name.
        after: the position that the archive must be at.
        upto: the position after it.
        at: when the newest of the events was stored, seconds since 1970.
        lines: the events that name a session, as JSON, in order.
        skipped: how many sequence numbers before the first event the history no longer had.
        rooms, gone, closed: names of rooms by LiveKit's ids, jobs whose agents have left, ids of closed rooms.
    """

    epoch: str
    after: int
    upto: int
    at: float
    lines: list[bytes]
    skipped: int = 0
    rooms: dict[str, str] = {}
    gone: list[str] = []
    closed: list[str] = []


class Wanted(msgspec.Struct, frozen=True):
    """What to erase.

    Attributes:
        session_id: this session, in every room of `rooms`.
        rooms: the rooms that the caller may erase in; None for all.
        room: or everything of this room.
        known: sessions (id and room) to reject even if the archive has not read them yet.
    """

    session_id: str | None = None
    rooms: list[str] | None = None
    room: str | None = None
    known: list[tuple[str, str | None]] = []


class Place(msgspec.Struct, frozen=True):
    """Where a list continues: the last session of the previous page.

    Attributes:
        value: what the list is sorted by.
        session_id: its id, at most `queries.MOST_PLACED` characters of it: the place becomes part of a URL.
        row: `sessions.id`.
    """

    value: float | None
    session_id: str
    row: int


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What a list contains, and in which order.

    Attributes:
        allowed: the rooms that the caller may see; None for all.
        state: `live`, `ended` or both.
        since, until: bounds of the start, seconds since 1970; `until` is exclusive.
        sort: one of `SORTS`.
        after: where to continue.
        skip: how many sessions to skip before the page.
        total: whether to count the sessions on all pages.
        operator: whether the caller has the operator's view.
    """

    allowed: list[str] | None = None
    room: list[str] = []
    participant: list[str] = []
    agent: list[str] = []
    reason: list[str] = []
    state: list[str] = []
    since: float | None = None
    until: float | None = None
    q: str | None = None
    latency_over: float | None = None
    failed_tools: bool = False
    errors: bool = False
    sort: str = "started"
    descending: bool = True
    limit: int = 50
    after: Place | None = None
    skip: int = 0
    total: bool = False
    operator: bool = True


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which statistics to compute.

    Attributes:
        since, until: seconds since 1970; `until` is exclusive. Sessions outside are in no bucket.
        bucket: one of `BUCKETS`.
        allowed: the rooms that the caller may see; None for all.
        from_first: whether to begin with the first session at or after `since`.
        operator: whether the caller has the operator's view.
    """

    since: float
    until: float
    bucket: str = "hour"
    room: list[str] = []
    agent: list[str] = []
    allowed: list[str] | None = None
    from_first: bool = False
    operator: bool = True
