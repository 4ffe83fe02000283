"""Rate limits per credential or address, counted in memory by the library `limits`, or in Redis with several nodes.

What is counted depends on the grant, which is known only inside a view, so views call this themselves. The library is
called only if a limit applies. On loopback none does unless STREAM_RATE_LIMIT is set, so publishing there costs nothing
more.
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
    """What is counted."""

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
"""What a client that is not on this machine may do. Whole offices reconnect from one address, back ends ask for many
tickets: so these stop floods, not use."""
STREAMS_PER_ADDRESS: Final = 100
"""Open streams of one address off loopback, unless STREAM_MAX_CLIENTS_PER_ADDRESS says otherwise."""


_COUNT: Final = """
local count = redis.call('INCR', KEYS[1])
if count == 1 or redis.call('PTTL', KEYS[1]) > tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { count, redis.call('PTTL', KEYS[1]) }
"""


class Limits:
    """Counts what clients do.

    Args:
        settings: `rate_limit` for publishing, anywhere; `max_clients_per_address`.
        server: where all nodes of the hub count together; while it is away each counts by itself.
    """

    def __init__(self, settings: Settings, server: Server | None = None) -> None:
        self._server = server
        self._everywhere = {Action.PUBLISH: settings.rate_limit} if settings.rate_limit else {}
        self._streams = settings.max_clients_per_address

    def check(self, action: Action, client: Client, grant: Grant | None = None) -> None:
        """Count an action against its limit, by credential, or by address without one.

        Raises:
            TooMany: the limit is reached; says when to come back.
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
        # Importing the library takes 30 ms, which a hub on loopback need not spend at its start.
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
