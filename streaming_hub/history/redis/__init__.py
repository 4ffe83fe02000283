"""A history in Redis or Valkey that several nodes share: `store` writes and reads, `follower` brings what others wrote.

After a restart, a promotion or a loss the nodes compare what they have seen (settle.lua). `store` names the keys.
"""

from streaming_hub.history.redis.store import RedisHistory

__all__ = ["RedisHistory"]
