"""Passes what any node has stored to this node's streams: between the history's follower and the hub.

The follower calls; everything here runs in its thread and holds the hub's lock for moments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming_hub.history.redis import notes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streaming_hub.events.stored import Entry
    from streaming_hub.history.redis.notes import Erased, Note, Renewed, Wanted
    from streaming_hub.history.redis.store import RedisHistory
    from streaming_hub.history.redis.wire import Meta
    from streaming_hub.stream.hub import Hub


class Arrivals:
    """The follower's listener.

    Args:
        hub: whose streams they reach.
        history: the hub's.

    Attributes:
        saw: called with what arrived, after it was handed on.
        lost: called when another epoch has begun.
        returned: called when a server that was away is back.
        erased, renewed, wanted: called with another node's note.
    """

    def __init__(self, hub: Hub, history: RedisHistory) -> None:
        self._hub = hub
        self._history = history
        history.lock = hub.lock
        self.saw: Callable[[Sequence[Entry]], None] = lambda _entries: None
        self.lost: Callable[[], None] = lambda: None
        self.returned: Callable[[], None] = lambda: None
        self.erased: Callable[[Erased], None] = lambda _note: None
        self.renewed: Callable[[Renewed], None] = lambda _note: None
        self.wanted: Callable[[Wanted], None] = lambda _note: None

    def arrived(self, entries: Sequence[Entry], meta: Meta | None) -> None:
        """Add what follows the head, and pass it on."""
        hub, history = self._hub, self._history
        with hub.lock:
            if meta is None:
                history.take_in(entries, history.bounds.oldest)
            else:
                if not history.take_in(entries, meta.oldest):
                    hub.overtaken()
                    entries = [entry for entry in entries if entry.seq >= meta.oldest]
                history.note(meta)
                if not entries:
                    history.bounds.head = max(history.bounds.head, meta.head)
            hub.hand_on(entries)
        if entries:
            # Before anything else is done in this thread: the streams wait for nothing but this.
            hub.urge()
            self.saw(entries)

    def new_epoch(self, meta: Meta, gone: Sequence[tuple[int, int]]) -> None:
        """Begin at the server's position, and report it on every stream."""
        hub, history = self._hub, self._history
        with hub.lock:
            lost = history.bounds.epoch
            survived = history.adopt(meta, gone)
            if survived is not None:
                hub.begin_epoch(lost, survived)
        self.lost()

    def back(self) -> None:
        """Note that the server is back."""
        self.returned()

    def noted(self, note: Note) -> None:
        """Process another node's note."""
        if isinstance(note, notes.Erased):
            with self._hub.lock:
                self._history.forget(note.numbers)
            self._hub.forget_erased()
            self.erased(note)
        elif isinstance(note, notes.Renewed):
            self.renewed(note)
        else:
            self.wanted(note)

    def notes_missed(self) -> None:
        """Read everything again: any of it may have been erased."""
        with self._hub.lock:
            self._history.distrust()
            self._hub.overtaken()
        self._hub.forget_erased()
        self.lost()
