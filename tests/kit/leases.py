"""Leases within one process: the reference that the contract suite compares Redis with."""

from __future__ import annotations


class MemoryLeases:
    """Leases within one process."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, float]] = {}

    def acquire(self, name: str, node: str, ttl: float, now: float) -> bool:
        """Take or renew a lease."""
        if self.owner(name, now) not in (None, node):
            return False
        self._held[name] = (node, now + ttl)
        return True

    def release(self, name: str, node: str) -> None:
        """Release a lease."""
        if self._held.get(name, ("", 0.0))[0] == node:
            del self._held[name]

    def owner(self, name: str, now: float) -> str | None:
        """Return a lease's owner."""
        node, until = self._held.get(name, (None, 0.0))
        return node if now < until else None
