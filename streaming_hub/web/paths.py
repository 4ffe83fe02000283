"""The path as it was sent: a `%2F` belongs to a name, a `/` separates; Flask sees no difference. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

Environ = dict[str, Any]


def segments(environ: Environ) -> list[str] | None:
    """Return the decoded segments of a request's path; None if the server does not provide it.

    Args:
        environ: the WSGI environ. `REQUEST_URI` and `RAW_URI` are not in PEP 3333, but most servers set one of them.
    """
    raw = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if not raw:
        return None
    path = raw.partition("?")[0]
    if "://" in path:
        # The absolute form of RFC 9112, section 3.2.2.
        path = "/" + path.partition("://")[2].partition("/")[2]
    return [unquote(part) for part in path.split("/")[1:]]


def ends_with(environ: Environ, name: str) -> bool:
    """Return whether the last segment of a path is this word, rather than part of the name before it."""
    sent = segments(environ)
    return sent is None or sent[-1] == name
