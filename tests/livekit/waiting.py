"""Lists that can be waited on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")


class Growing(Generic[Item]):
    """A list that one thread appends to while others wait for what they need."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._items: list[Item] = []
        self._changed = threading.Condition()

    def add(self, item: Item) -> None:
        """Append, and wake the waiting threads."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def touch(self) -> None:
        """Wake the waiting threads: an item has changed in place."""
        with self._changed:
            self._changed.notify_all()

    def all(self) -> list[Item]:
        """Return a copy of the items so far."""
        with self._changed:
            return list(self._items)

    def wait(
        self, wanted: Callable[[Item], bool], *, seconds: float, text: str, after: Item | None = None
    ) -> Item:
        """Return the first item that fits, waiting for it if need be.

        Args:
            wanted: Says whether an item is the one.
            seconds: How long to wait.
            text: What is waited for, for the error.
            after: Look only at what came after this item.

        Raises:
            AssertionError: Nothing fitted in time; the text lists the newest items.
        """
        deadline = time.monotonic() + seconds
        position = 0 if after is None else self.all().index(after) + 1
        with self._changed:
            while True:
                for item in self._items[position:]:
                    if wanted(item):
                        return item
                left = deadline - time.monotonic()
                if left <= 0:
                    newest = "\n  ".join(str(item) for item in self._items[-25:])
                    raise AssertionError(f"no {text} in {self._what} within {seconds} s; newest:\n  {newest}")
                self._changed.wait(left)
