"""A secret that all nodes of a hub share, made by the first one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streaming_hub.cluster.server import Server


def shared_secret(server: Server) -> bytes:
    """Return 32 random bytes, the same on every node; if the server loses its data, the next start makes new ones.

    Raises:
        Unavailable: the server is away.
    """
    key = server.key("secret")
    server.call("SET", key, secrets.token_bytes(32), "NX")
    found: bytes = server.call("GET", key)
    return found
