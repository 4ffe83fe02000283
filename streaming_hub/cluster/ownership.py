"""Decides which node does a task that only one may do: leases in Redis.

One node at a time owns a lease, for `TTL` seconds from its last renewal. A node counts itself as the owner for slightly
less time, so it stops before another can begin, even if it can no longer reach the server. Time is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from streaming_hub.errors import Unavailable

if TYPE_CHECKING:
    from streaming_hub.cluster.server import Server

TTL: Final = 8.0
"""Seconds until a lease expires without renewal."""
MARGIN: Final = 1.5
"""Seconds before expiry at which the owner considers it lost."""

REST: Final = 3.0
"""Seconds for which a node that gave up a lease does not take it again."""


class Leases(Protocol):
    """Where leases are stored."""

    def acquire(self, name: str, node: str, ttl: float, now: float) -> bool:
        """Take or renew a lease; return whether the node has it.

        Args:
            name: of the lease.
            node: the node that wants it.
            ttl: seconds.
            now: seconds of a monotonic clock; ignored by stores with their own clock.

        Raises:
            Unavailable: the store is away.
        """

    def release(self, name: str, node: str) -> None:
        """Release a lease; does nothing if another node owns it.

        Raises:
            Unavailable: the store is away.
        """

    def owner(self, name: str, now: float) -> str | None:
        """Return a lease's owner.

        Raises:
            Unavailable: the store is away.
        """


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
    """Leases of all nodes, on one server and by its clock.

    Args:
        server: stores them.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def acquire(self, name: str, node: str, ttl: float, now: float) -> bool:  # noqa: ARG002 - the server's clock
        """Take or renew a lease."""
        answer: Any = self._server.call("EVAL", _ACQUIRE, 1, self._key(name), node, max(1, round(ttl * 1000)))
        return bool(answer)

    def release(self, name: str, node: str) -> None:
        """Release a lease."""
        self._server.call("EVAL", _RELEASE, 1, self._key(name), node)

    def owner(self, name: str, now: float) -> str | None:  # noqa: ARG002 - the server's clock
        """Return a lease's owner."""
        found = self._server.call("GET", self._key(name))
        return None if found is None else found.decode()

    def _key(self, name: str) -> str:
        return self._server.key(f"lease:{name}")


class Ownership:
    """A node's side of a lease.

    Args:
        leases: stores it.
        name: of the lease.
        node: this node.
        ttl: seconds.
        margin: seconds before expiry at which this node considers it lost.

    Attributes:
        wanted: whether this node takes it when it is free; see `look`.
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
        """Return whether this node is the owner, as far as it knows."""
        return now < self._until

    def look(self, now: float) -> None:
        """Take or renew it if it is wanted; call this about every second."""
        if self.wanted and now >= self._rest_until:
            self.hold(now)

    def yield_to_others(self, now: float) -> None:
        """Release it, and leave it to others for a while."""
        self._rest_until = now + REST
        self.release()

    def hold(self, now: float) -> bool:
        """Take or renew the lease; return whether this node is the owner.

        If the store is away, the last renewal counts: until that expires, no other node can be the owner.
        """
        try:
            got = self._leases.acquire(self.name, self._node, self._ttl, now)
        except Unavailable:
            return self.held(now)
        # From before the request: the store's own time began later.
        self._until = now + self._ttl - self._margin if got else float("-inf")
        return got

    def owner(self, now: float) -> str | None:
        """Return the owner's name.

        Raises:
            Unavailable: the store is away.
        """
        return self._leases.owner(self.name, now)

    def release(self) -> None:
        """Release it, so that another node need not wait; if the store is away, it expires."""
        self._until = float("-inf")
        try:
            self._leases.release(self.name, self._node)
        except Unavailable:
            return
