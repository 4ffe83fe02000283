"""Where events are stored: one interface, several stores. `open_history` picks the one that the settings name.

A history numbers events, remembers an `event_id` as long as it stores the event, and expires events by count and age.
Touches files and SQLite; knows no clients and no sockets. Time is an argument.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streaming_hub.history.memory import MemoryHistory
from streaming_hub.history.sqlite import SqliteHistory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.posted import Event
    from streaming_hub.events.stored import Entry
    from streaming_hub.history.bounds import Bounds
    from streaming_hub.history.page import Appended, Limit, Page
    from streaming_hub.settings import Settings

__all__ = ["History", "open_history", "shared"]


class History(Protocol):
    """The interface of every store.

    `append`, `recent`, `trim`, `erase` and `close` belong to one thread; `since`, `before`,
    `position_before` and `checkpoint` may wait for a disk and may be called from any.
    """

    bounds: Bounds
    on_disk: bool
    """Whether `since`, `before` and `position_before` may wait for a disk."""
    shared: bool
    """Whether other nodes store in it, too. Then calls wait for the network and take no lock of the hub's."""

    @property
    def away(self) -> str | None:
        """Return why it cannot be read or written at the moment; None where it can."""

    @property
    def first_row(self) -> int:
        """Return the lowest stored sequence number, including expired rows not yet deleted."""

    def append(self, events: Sequence[Event], now: float) -> Appended:
        """Store the events that are new, all or none; they are durable when this returns.

        Raises:
            Unavailable: the store cannot be written to; nothing was stored.
        """

    def recent(self, after: int, interest: Interest, limit: Limit) -> Page | None:
        """Return what follows a position, from memory; None if the disk must be read.

        It examines a limited number of events: a page may be empty and still end below the head.
        """

    def since(self, after: int, interest: Interest, limit: Limit) -> Page:
        """Return what follows a position."""

    def before(self, seq: int, interest: Interest, limit: Limit) -> list[Entry]:
        """Return the last matching entries below a sequence number, in order."""

    def position_before(self, seq: int, interest: Interest, count: int) -> int | None:
        """Return the position before the last matching events below a sequence number.

        Args:
            seq: the sequence number.
            interest: what matches.
            count: how many events, at least 1; where there are fewer it is the position before the first.

        Returns:
            None where nothing matches.
        """

    def erase(self, *, span: tuple[int, int], room: str | None = None, session_id: str | None = None) -> int:
        """Remove a room's or a session's events; return how many there were.

        They are in no file any more after the next `checkpoint` that no reader holds up.

        Args:
            span: between these sequence numbers, both included; it takes time by their distance.
            room: whose events.
            session_id: or this session's; with both, this session's in that room (empty: in none).

        Raises:
            Unavailable: the store cannot be written to; nothing was removed.
        """

    def trim(self, now: float) -> bool:
        """Remove some events over the limits on count or age; return whether there are more to remove."""

    def checkpoint(self) -> None:
        """Do the store's own housekeeping."""

    def close(self) -> None:
        """Release files; the history cannot be used afterwards."""


def shared(history: str) -> bool:
    """Return whether several nodes can be one hub with this setting (STREAM_HISTORY)."""
    return history.partition("://")[0] in ("redis", "rediss", "unix")


def open_history(settings: Settings, now: float, node: str) -> History:
    """Open the history that the settings name; a Redis server that is away is waited for.

    Args:
        settings: `history`, `redis_prefix`, `history_max_events`, `history_max_age`, `history_sync`.
        now: seconds since 1970.
        node: this node's name.

    Raises:
        SettingsError: the setting cannot be used.
        StorageError: the store cannot be opened.
    """
    kind, _, rest = settings.history.partition("://")
    if kind == "memory":
        return MemoryHistory(settings.history_max_events, settings.history_max_age)
    if kind == "sqlite":
        return SqliteHistory(
            Path(rest.removeprefix("/")),
            max_events=settings.history_max_events,
            max_age=settings.history_max_age,
            sync=settings.history_sync,
            now=now,
        )
    # Only then is redis-py needed.
    from streaming_hub.cluster.server import Server  # noqa: PLC0415
    from streaming_hub.history.redis import RedisHistory  # noqa: PLC0415

    return RedisHistory(
        Server(settings.history, settings.redis_prefix),
        max_events=settings.history_max_events,
        max_age=settings.history_max_age,
        node=node,
        sync=settings.history_sync == "full",
    )
