"""Subscribers grouped by filter, and the groups that an event may match. Pure bookkeeping."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streaming_hub.events.interest import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.stored import Entry
    from streaming_hub.stream.subscriber import Subscriber


class Group:
    """All subscribers of one interest."""

    __slots__ = ("interest", "live", "members")

    def __init__(self, interest: Interest) -> None:
        self.interest = interest
        self.members: dict[Subscriber, None] = {}
        self.live: dict[Subscriber, None] = {}


class Audience:
    """All subscribers.

    Attributes:
        addresses: how many subscribers each address has.
    """

    def __init__(self) -> None:
        self.addresses: Counter[str] = Counter()
        self._size = 0
        self._groups: dict[Interest, Group] = {}
        self._unconfined: dict[Group, None] = {}
        self._by_key: dict[tuple[str, str | None], dict[Group, None]] = {}

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Subscriber]:
        return (subscriber for group in self._groups.values() for subscriber in group.members)

    def groups(self) -> list[Group]:
        """Return all groups."""
        return list(self._groups.values())

    def group(self, interest: Interest) -> Group | None:
        """Return the group of an interest, if any subscriber has it."""
        return self._groups.get(interest)

    def go_live(self, subscriber: Subscriber) -> None:
        """Mark an added subscriber as having read up to the head."""
        subscriber.live = True
        self._groups[subscriber.interest].live[subscriber] = None

    def add(self, subscriber: Subscriber) -> None:
        """Add a subscriber."""
        group = self._groups.get(subscriber.interest)
        if group is None:
            group = self._groups[subscriber.interest] = Group(subscriber.interest)
            for index in self._indexes(group):
                index[group] = None
        group.members[subscriber] = None
        self._size += 1
        self.addresses[subscriber.address] += 1

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a subscriber; does nothing if it was never added."""
        group = self._groups.get(subscriber.interest)
        if group is None or subscriber not in group.members:
            return
        del group.members[subscriber]
        self._size -= 1
        self.addresses[subscriber.address] -= 1
        if not self.addresses[subscriber.address]:
            del self.addresses[subscriber.address]
        group.live.pop(subscriber, None)
        if not group.members:
            del self._groups[subscriber.interest]
            self._unindex(group)

    def candidates(self, entries: Sequence[Entry]) -> list[Group]:
        """Return the groups that may see one of these, without looking at thousands of others."""
        groups = list(self._unconfined)
        if self._by_key:
            found: dict[Group, None] = {}
            for key in {key for entry in entries for key in keys_of(entry)}:
                found.update(self._by_key.get(key, {}))
            groups.extend(found)
        return groups

    def count_readers(self, entries: Sequence[Entry]) -> int:
        """Return how many subscribers want at least one of these."""
        return sum(
            len(group.members)
            for group in self.candidates(entries)
            if group.interest.everything or any(group.interest.matches(entry) for entry in entries)
        )

    def _indexes(self, group: Group) -> list[dict[Group, None]]:
        keys = group.interest.index_keys()
        if keys is None:
            return [self._unconfined]
        return [self._by_key.setdefault(key, {}) for key in keys]

    def _unindex(self, group: Group) -> None:
        for index in self._indexes(group):
            index.pop(group, None)
        for key in group.interest.index_keys() or ():
            if not self._by_key.get(key):
                self._by_key.pop(key, None)
