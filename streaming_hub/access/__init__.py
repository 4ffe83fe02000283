"""Who may see what, and who may say what.

    views           which type of event belongs to which view; one function decides
    grant           what a caller may do, and the checks against it
    keys            the keys of the settings, compared in constant time
    tokens          JWTs of the operator's back end, and LiveKit's participant tokens
    tickets         short-lived credentials for clients that cannot send headers
    authenticator   puts them together: credential in, grant out

Pure: no I/O and no clock. Time is an argument, and a refusal is a `streaming_hub.errors.HubError`. No message repeats a
credential, and a grant carries none, so both may be logged.
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
