"""The description of the HTTP API: what `/openapi.json` answers and `/docs` shows.

    endpoint                                        the words: Endpoint, Parameter, Content, Answer
    publishing, reading, agents, livekit, server    the tables: one entry an endpoint
    schemas                                         JSON Schemas, made from the code's own types
    build                                           tables -> OpenAPI 3.1
    page                                            OpenAPI -> HTML

A new endpoint is one entry in a table; a test compares them with the application's routes. Nothing here is imported
before somebody asks for the description.
"""

from __future__ import annotations

from typing import Any, Final

from streaming_hub.web.openapi import (
    agents,
    livekit,
    publishing,
    reading,
    server,
)
from streaming_hub.web.openapi.document import document

ENDPOINTS: Final = (
    *reading.ENDPOINTS,
    *publishing.ENDPOINTS,
    *agents.ENDPOINTS,
    *livekit.ENDPOINTS,
    *server.ENDPOINTS,
)


def describe(open_scopes: frozenset[str]) -> dict[str, Any]:
    """Return the OpenAPI document of a server with these open scopes."""
    return document(ENDPOINTS, open_scopes)
