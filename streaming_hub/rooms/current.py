"""The rooms' current state, updated from the history on request; `state` has the reducer."""

from __future__ import annotations

import threading
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.events.interest import EVERYTHING
from streaming_hub.history.page import Limit
from streaming_hub.rooms.state import Rooms
from streaming_hub.stream.pauses import NAP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.types.snapshot import RoomForViewers, RoomSummary
    from streaming_hub.history.page import Page
    from streaming_hub.stream.hub import Hub

PAGE: Final = Limit(events=200, size=512 * 1024)
ROOMS_PER_TURN: Final = 20

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class RoomStates:
    """State of every room that has stored events, as of a position.

    Args:
        hub: whose history is read.
        read: calls a function that may wait for the disk.
    """

    def __init__(self, hub: Hub, read: Callable[[Callable[[], Page]], Page]) -> None:
        self._hub = hub
        self._read = read
        self._lock = threading.Lock()
        self._rooms = Rooms()
        self._position = 0

    def current(self) -> tuple[Rooms, int]:
        """Return the rooms and their position, which is the head.

        Reads what came since the last call; lets other work in between pages.
        """
        with self._lock:
            history = self._hub.history
            while True:
                page = self._next_page()
                for entry in page.entries:
                    self._rooms.apply(entry.seq, _decode(entry.data), operator_only=entry.operator_only)
                self._position = page.upto
                if self._position >= history.bounds.head:
                    break
                time.sleep(NAP)
            self._rooms.prune(history.bounds.oldest)
            return self._rooms, self._position

    def visible(self, rooms: Rooms, interest: Interest) -> Iterator[RoomForViewers]:
        """Yield the state of each room that a reader may see, the newest event's room first."""
        keys = interest.room_keys()
        if keys is None:
            yield from self._describe_each(rooms, rooms.names(viewer=not interest.operator), interest)
        else:
            found = self._describe_each(rooms, keys, interest)
            yield from sorted(found, key=itemgetter("last_seq"), reverse=True)

    def describe(self, rooms: Rooms, name: str, interest: Interest) -> RoomForViewers | None:
        """Return one room's state as a reader sees it; None if it sees nothing of it."""
        keys = interest.room_keys()
        if keys is not None and name not in keys:
            return None
        return rooms.describe(name, viewer=not interest.operator)

    def _describe_each(
        self, rooms: Rooms, names: Iterable[str], interest: Interest
    ) -> Iterator[RoomForViewers]:
        for count, name in enumerate(names, 1):
            state = self.describe(rooms, name, interest)
            if state is not None:
                yield state
            if count % ROOMS_PER_TURN == 0:
                # States may become newer meanwhile; applying an event twice changes nothing.
                time.sleep(NAP)

    def summaries(self, rooms: Rooms, interest: Interest) -> list[RoomSummary]:
        """Return a line for every room that a reader may see."""
        keys = interest.room_keys()
        found = rooms.summaries(viewer=not interest.operator)
        return [summary for summary in found if keys is None or summary["room"] in keys]

    def forget(self) -> None:
        """Start over from the history (after an erasure)."""
        with self._lock:
            self._rooms = Rooms()
            self._position = 0

    def _next_page(self) -> Page:
        history = self._hub.history
        after = max(self._position, history.bounds.oldest - 1)
        recent = history.recent(after, EVERYTHING, PAGE)
        return recent if recent is not None else self._read(lambda: history.since(after, EVERYTHING, PAGE))
