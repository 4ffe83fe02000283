"""Who of several nodes does a chore that only one may do: leases, in memory for a single node and in Redis for several.

A lease is held by one node at a time, for `TTL` seconds from its last renewal. A node counts itself as the owner for a
little less: it stops before another one can begin, even if it cannot reach the server any more. Time is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from streaming_hub.errors import Unavailable

if TYPE_CHECKING:
    from streaming_hub.cluster.server import Server

TTL: Final = 8.0
"""Seconds that a lease lasts without renewal."""
MARGIN: Final = 1.5
"""Seconds before its end in which the owner counts it as lost."""

REST: Final = 3.0
"""Seconds in which a node that gave a lease away leaves it to others."""


class Leases(Protocol):
    """Where leases are kept."""

    def acquire(self, name: str, node: str, ttl: float, now: float) -> bool:
        """Take or renew a lease; return whether the node has it.

        Args:
            name: the lease's.
            node: who wants it.
            ttl: seconds.
            now: seconds that only rise; a store with a clock of its own uses that.

        Raises:
            Unavailable: the store is away.
        """

    def release(self, name: str, node: str) -> None:
        """Give a lease back; of another node's nothing happens.

        Raises:
            Unavailable: the store is away.
        """

    def owner(self, name: str, now: float) -> str | None:
        """Return who has a lease.

        Raises:
            Unavailable: the store is away.
        """


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
        """Give a lease back."""
        if self._held.get(name, ("", 0.0))[0] == node:
            del self._held[name]

    def owner(self, name: str, now: float) -> str | None:
        """Return who has a lease."""
        node, until = self._held.get(name, (None, 0.0))
        return node if now < until else None


_RELEASE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)
# A lease ends at a time of day. Where the server's clock was set back, that is too far off for others to wait for.
_ACQUIRE: Final = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class RedisLeases:
    """Leases of all nodes on one server, by its clock.

    Args:
        server: where they lie.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def acquire(self, name: str, node: str, ttl: float, now: float) -> bool:  # noqa: ARG002 - the server's clock
        """Take or renew a lease."""
        answer: Any = self._server.call("EVAL", _ACQUIRE, 1, self._key(name), node, max(1, round(ttl * 1000)))
        return bool(answer)

    def release(self, name: str, node: str) -> None:
        """Give a lease back."""
        self._server.call("EVAL", _RELEASE, 1, self._key(name), node)

    def owner(self, name: str, now: float) -> str | None:  # noqa: ARG002 - the server's clock
        """Return who has a lease."""
        found = self._server.call("GET", self._key(name))
        return None if found is None else found.decode()

    def _key(self, name: str) -> str:
        return self._server.key(f"lease:{name}")


class Ownership:
    """One node's side of one lease.

    Args:
        leases: where it is kept.
        name: the lease's.
        node: this node.
        ttl: seconds.
        margin: seconds before its end in which this node counts it as lost.

    Attributes:
        wanted: whether this node takes it whenever it is free; see `look`.
    """

    def __init__(
        self,
        leases: Leases,
        name: str,
        node: str,
        ttl: float = TTL,
        *,
        margin: float = MARGIN,
        wanted: bool = True,
    ) -> None:
        self.name = name
        self.wanted = wanted
        self._rest_until = float("-inf")
        self._leases = leases
        self._node = node
        self._ttl = ttl
        self._margin = margin
        self._until = float("-inf")

    @property
    def until(self) -> float:
        """Until when this node counts as the owner, unless it renews the lease; of the same clock as `now`."""
        return self._until

    def held(self, now: float) -> bool:
        """Return whether this node is the owner, as far as it can know."""
        return now < self._until

    def look(self, now: float) -> None:
        """Take or renew it where it is wanted; to be called every second or so."""
        if self.wanted and now >= self._rest_until:
            self.hold(now)

    def yield_to_others(self, now: float) -> None:
        """Give it back, and let others have it for a while."""
        self._rest_until = now + REST
        self.release()

    def hold(self, now: float) -> bool:
        """Take or renew the lease; return whether this node is the owner.

        A store that is away leaves what was renewed before: until that runs out, nobody else can have it.
        """
        try:
            got = self._leases.acquire(self.name, self._node, self._ttl, now)
        except Unavailable:
            return self.held(now)
        # From the moment before the request: the store's own count began later.
        self._until = now + self._ttl - self._margin if got else float("-inf")
        return got

    def owner(self, now: float) -> str | None:
        """Return the owner's name.

        Raises:
            Unavailable: the store is away.
        """
        return self._leases.owner(self.name, now)

    def release(self) -> None:
        """Give it back, so that another node need not wait; a store that is away lets it run out."""
        self._until = float("-inf")
        try:
            self._leases.release(self.name, self._node)
        except Unavailable:
            return
