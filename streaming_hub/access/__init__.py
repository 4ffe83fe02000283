"""Who may do and see what: credentials, grants, origins, rate limits, and the audit log.

Pure except `audit` (logging) and `limits` (counters in memory). No message and no grant contains a credential.
Imports events and settings; knows no HTTP framework.
"""

from streaming_hub.access.authenticator import Authenticator, credential_of
from streaming_hub.access.grant import (
    ALL_SCOPES,
    ANONYMOUS,
    HUB_SCOPES,
    JOIN,
    OPERATE,
    PUBLISH,
    SUBSCRIBE,
    Grant,
    require_room,
)
from streaming_hub.access.tickets import MAX_TICKET_SECONDS, Expired

__all__ = [
    "ALL_SCOPES",
    "ANONYMOUS",
    "HUB_SCOPES",
    "JOIN",
    "MAX_TICKET_SECONDS",
    "OPERATE",
    "PUBLISH",
    "SUBSCRIBE",
    "Authenticator",
    "Expired",
    "Grant",
    "credential_of",
    "require_room",
]
