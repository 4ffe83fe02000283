"""Rate limits per credential or address, counted in memory by the library `limits`, or in Redis with several nodes.

Limits depend on the grant, which is known only inside a view, so views call this themselves. The library is called only
if a limit applies. On loopback none does unless STREAM_RATE_LIMIT is set, so publishing there has no extra cost.
"""

from __future__ import annotations

import math
import time
from enum import StrEnum, auto
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.errors import TooMany, Unavailable
from streaming_hub.settings import RateLimit

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

    from streaming_hub.access import Grant
    from streaming_hub.access.address import Client
    from streaming_hub.cluster.server import Server
    from streaming_hub.settings import Settings


class Action(StrEnum):
    """The actions that are counted."""

    PUBLISH = auto()
    START = auto()
    TOKEN = auto()
    TICKET = auto()
    CONNECT = auto()
    WRONG_CREDENTIAL = auto()


OFF_LOOPBACK: Final = {
    Action.PUBLISH: RateLimit(100, 1),
    Action.START: RateLimit(30, 60),
    Action.TOKEN: RateLimit(120, 60),
    Action.TICKET: RateLimit(600, 60),
    Action.CONNECT: RateLimit(600, 60),
    Action.WRONG_CREDENTIAL: RateLimit(60, 60),
}
"""Limits for clients on other machines. High enough for an office that reconnects from one address and for back ends
that request many tickets; they stop only floods."""
STREAMS_PER_ADDRESS: Final = 100
"""Maximum open streams per address outside loopback, unless STREAM_MAX_CLIENTS_PER_ADDRESS is set."""


_COUNT: Final = """
local count = redis.call('INCR', KEYS[1])
if count == 1 or redis.call('PTTL', KEYS[1]) > tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { count, redis.call('PTTL', KEYS[1]) }
"""


class Limits:
    """Counts clients' actions against their limits.

    Args:
        settings: `rate_limit` for publishing, anywhere; `max_clients_per_address`.
        server: the Redis server where all nodes count together; while it is unreachable, each node counts separately.
    """

    def __init__(self, settings: Settings, server: Server | None = None) -> None:
        self._server = server
        self._everywhere = {Action.PUBLISH: settings.rate_limit} if settings.rate_limit else {}
        self._streams = settings.max_clients_per_address

    def check(self, action: Action, client: Client, grant: Grant | None = None) -> None:
        """Count an action against its limit, by credential, or by address without one.

        Raises:
            TooMany: the limit is reached; says when to retry.
        """
        if client.loopback and not self._everywhere:
            return
        limit = self._everywhere.get(action)
        if limit is None:
            if client.loopback:
                return
            limit = OFF_LOOPBACK[action]
        by_address = grant is None or grant.anonymous
        bucket = f"address {client.bucket}" if by_address or grant is None else grant.who
        left = self._hit(limit, action, bucket)
        if left is not None:
            who = "address" if by_address else "credential"
            raise TooMany(
                f"More than {_item(limit)} from this {who} ({action}): retry later.",
                retry_after=max(1, math.ceil(left)),
            )

    def _hit(self, limit: RateLimit, action: Action, bucket: str) -> float | None:
        """Count; return the seconds until there is room again, where there is none now."""
        if self._server is not None:
            key = self._server.key(f"limit:{action}:{bucket}")
            try:
                answer: Any = self._server.call("EVAL", _COUNT, 1, key, limit.seconds * 1000)
                count, left = answer
            except Unavailable:
                return self._hit_here(limit, action, bucket)
            return None if count <= limit.count else left / 1000
        return self._hit_here(limit, action, bucket)

    def _hit_here(self, limit: RateLimit, action: Action, bucket: str) -> float | None:
        item = _item(limit)
        if self._counts.hit(item, action, bucket):
            return None
        return self._counts.get_window_stats(item, action, bucket).reset_time - time.time()

    @cached_property
    def _counts(self) -> FixedWindowRateLimiter:
        # Imported on first use: it takes 30 ms, and a hub on loopback may never need it.
        from limits.storage import MemoryStorage  # noqa: PLC0415
        from limits.strategies import FixedWindowRateLimiter  # noqa: PLC0415

        return FixedWindowRateLimiter(MemoryStorage())

    def streams_of_one(self, client: Client) -> int | None:
        """Return how many streams a client's address may have open; None for any number."""
        if self._streams is None and not client.loopback:
            return STREAMS_PER_ADDRESS
        return self._streams


@cache
def _item(limit: RateLimit) -> RateLimitItem:
    from limits import RateLimitItemPerMinute, RateLimitItemPerSecond  # noqa: PLC0415  # see `_counts`

    kind = RateLimitItemPerSecond if limit.seconds == 1 else RateLimitItemPerMinute
    return kind(limit.count)
