"""Rate limits per credential or address, counted in memory by the library `limits`, or in Redis with several nodes.

What is counted depends on the grant, which is known only inside a view, so views call this themselves. The library is
called only if a limit applies. On loopback none does unless STREAM_RATE_LIMIT is set, so publishing there costs nothing
more.
"""

from __future__ import annotations

import math
import time
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any, Final

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from streaming_hub.errors import TooMany, Unavailable

if TYPE_CHECKING:
    from streaming_hub.access import Grant
    from streaming_hub.access.address import Client
    from streaming_hub.cluster.server import Server
    from streaming_hub.settings import RateLimit, Settings


class Action(StrEnum):
    """What is counted."""

    PUBLISH = auto()
    START = auto()
    TOKEN = auto()
    TICKET = auto()
    CONNECT = auto()
    WRONG_CREDENTIAL = auto()


OFF_LOOPBACK: Final[dict[Action, RateLimitItem]] = {
    Action.PUBLISH: RateLimitItemPerSecond(100),
    Action.START: RateLimitItemPerMinute(30),
    Action.TOKEN: RateLimitItemPerMinute(120),
    Action.TICKET: RateLimitItemPerMinute(600),
    Action.CONNECT: RateLimitItemPerMinute(600),
    Action.WRONG_CREDENTIAL: RateLimitItemPerMinute(60),
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
        self._everywhere: dict[Action, RateLimitItem] = (
            {Action.PUBLISH: _item(settings.rate_limit)} if settings.rate_limit else {}
        )
        self._streams = settings.max_clients_per_address
        self._counts = FixedWindowRateLimiter(MemoryStorage())

    def check(self, action: Action, client: Client, grant: Grant | None = None) -> None:
        """Count an action against its limit, by credential, or by address without one.

        Raises:
            TooMany: the limit is reached; says when to come back.
        """
        if client.loopback and not self._everywhere:
            return
        item = self._everywhere.get(action)
        if item is None:
            if client.loopback:
                return
            item = OFF_LOOPBACK[action]
        by_address = grant is None or grant.anonymous
        bucket = f"address {client.bucket}" if by_address or grant is None else grant.who
        left = self._hit(item, action, bucket)
        if left is not None:
            raise TooMany(
                f"More than {item} from this {'address' if by_address else 'credential'} ({action}): retry later.",
                retry_after=max(1, math.ceil(left)),
            )

    def _hit(self, item: RateLimitItem, action: Action, bucket: str) -> float | None:
        """Count; return the seconds until there is room again, where there is none now."""
        if self._server is not None:
            key = self._server.key(f"limit:{action}:{bucket}")
            try:
                answer: Any = self._server.call("EVAL", _COUNT, 1, key, item.get_expiry() * 1000)
                count, left = answer
            except Unavailable:
                return self._hit_here(item, action, bucket)
            return None if count <= item.amount else left / 1000
        return self._hit_here(item, action, bucket)

    def _hit_here(self, item: RateLimitItem, action: Action, bucket: str) -> float | None:
        if self._counts.hit(item, action, bucket):
            return None
        return self._counts.get_window_stats(item, action, bucket).reset_time - time.time()

    def streams_of_one(self, client: Client) -> int | None:
        """Return how many streams a client's address may have open; None for any number."""
        if self._streams is None and not client.loopback:
            return STREAMS_PER_ADDRESS
        return self._streams


def _item(rate: RateLimit) -> RateLimitItem:
    kind = RateLimitItemPerSecond if rate.seconds == 1 else RateLimitItemPerMinute
    return kind(rate.count)
