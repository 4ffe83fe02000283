"""Keys that the server adds to a request's WSGI environ, besides those of PEP 3333."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

STREAM_PATH: Final = "/api/stream"
"""The path of streams."""
WRITER_KEY: Final = "hub.writer"
"""The writer of streams, if the server can hand them over."""
BODY_KEY: Final = "hub.body"
"""The body (bytes), if the server has read it in full within its limits."""


@lru_cache(maxsize=256)
def field_key(name: str) -> str:
    """Return the key of a header field (PEP 3333); name in any case."""
    return "HTTP_" + name.upper().replace("-", "_")
