"""Put the tables of endpoints together. Import this only on request: it takes time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.web.declared import declaration_of
from streaming_hub.web.openapi import (
    agents,
    archive,
    livekit,
    publishing,
    reading,
    server,
    webhooks,
)
from streaming_hub.web.openapi.document import document

if TYPE_CHECKING:
    from streaming_hub.web.openapi.endpoint import Endpoint

_TABLES: Final = (
    *reading.ENDPOINTS,
    *archive.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *publishing.ENDPOINTS,
    *agents.ENDPOINTS,
    *livekit.ENDPOINTS,
    *server.ENDPOINTS,
)


def _as_declared(said: Endpoint) -> Endpoint:
    declared = declaration_of(said.method, said.path)
    return msgspec.structs.replace(said, scope=declared.scope, signed=declared.signed)


ENDPOINTS: Final = tuple(map(_as_declared, _TABLES))
"""Every endpoint: what its table says, with the credential that its view declares."""


def describe(open_scopes: frozenset[str]) -> dict[str, Any]:
    """Return the OpenAPI document of a server with these open scopes."""
    return document(ENDPOINTS, open_scopes)
