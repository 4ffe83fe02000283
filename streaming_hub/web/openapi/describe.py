"""Put the tables of endpoints together. Import this only on request: it takes time and memory."""

from __future__ import annotations

from typing import Any, Final

from streaming_hub.web.openapi import (
    agents,
    archive,
    livekit,
    publishing,
    reading,
    server,
)
from streaming_hub.web.openapi.document import document

ENDPOINTS: Final = (
    *reading.ENDPOINTS,
    *archive.ENDPOINTS,
    *publishing.ENDPOINTS,
    *agents.ENDPOINTS,
    *livekit.ENDPOINTS,
    *server.ENDPOINTS,
)


def describe(open_scopes: frozenset[str]) -> dict[str, Any]:
    """Return the OpenAPI document of a server with these open scopes."""
    return document(ENDPOINTS, open_scopes)
