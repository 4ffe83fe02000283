"""The audit: one log line for every start, stop, refusal and erasure, to the logger `streaming_hub.access.audit`.

A line names the caller, the action and the address. It never contains a credential or spoken words: callers of `note`
pass names (of keys, rooms, sessions), statuses and counts.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec

log = logging.getLogger(__name__)

MAX_VALUE: Final = 200
"""Maximum characters of a value, because clients choose the names."""

_encode = msgspec.json.Encoder().encode


def note(action: str, who: str, address: str, **what: Any) -> None:
    """Write one line.

    Args:
        action: `start`, `stop`, `erase` or `refuse`.
        who: a grant's `who`: the name of a key, a token's identity, or `anonymous`.
        address: the client's, as reported by trusted proxies.
        **what: names, statuses and counts; None is left out.
    """
    fields = {"action": action, "who": who, "address": address, **what}
    shown = {name: _short(value) for name, value in fields.items() if value is not None}
    text = " ".join(f"{name}={_quoted(value)}" for name, value in shown.items())
    log.info("%s", text, extra={"fields": shown})


def _short(value: Any) -> Any:
    return value[:MAX_VALUE] if isinstance(value, str) else value


def _quoted(value: Any) -> str:
    """Format a value so that nothing in it looks like another field or line."""
    text = _encode(value).decode("utf-8")
    plain = (
        isinstance(value, str) and value.isascii() and value.isprintable() and not set(value) & set(' "\\=')
    )
    return value if plain and value else text
