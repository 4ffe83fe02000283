"""A history in Redis or Valkey that several nodes share.

    append    one script numbers, deduplicates, stores and trims (append.lua)
    follower  one blocking read brings what any node stored into this node's window and its live streams
    settle    after a restart, a promotion or a loss the nodes compare what they have seen (settle.lua)

Keys, all with the hash tag `{PREFIX}`: `meta` (hash), `log` (stream), `ids` (sorted set of event_ids by number),
`notes` (stream of what nodes tell each other), `nodes` and `reports` (who is there, and what they have seen). Only
commands that Redis 7.0 has.
"""

from streaming_hub.history.redis.store import RedisHistory

__all__ = ["RedisHistory"]
