"""Parameters that several endpoints take, as `/openapi.json` describes them; `web.query` reads them. Pure."""

from __future__ import annotations

from typing import Any, Final

from streaming_hub.web.about import Parameter, Schema
from streaming_hub.web.query import MAX_CURSOR, MOST_DIGITS

NAMES: Final[Schema] = {"type": "array", "items": {"type": "string"}}
FLAG: Final[Schema] = {"type": "string", "enum": ["1", "0", "true", "false", ""]}
CURSOR: Final[Schema] = {"type": "string", "maxLength": MAX_CURSOR}

FILTERS: Final = tuple(
    Parameter(name, "query", NAMES, text, example)
    for name, text, example in (
        (
            "room",
            "Only events of this room. Repeat it for alternatives; different filters combine.",
            "support-7",
        ),
        ("type", "Only events of this type.", "transcript"),
        ("participant", "Only events about this identity.", None),
        ("session_id", "Only events of this session.", None),
    )
)
"""What `query.filters` reads."""


def count(least: int) -> Schema:
    """Return the schema of what `query.count` reads."""
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": 10**MOST_DIGITS - 1}, {"enum": [""]}]}


def choice(*words: str) -> Schema:
    """Return the schema of one of some words; empty is the default."""
    return {"enum": [*words, ""]}


def name(name: str, text: str, example: str, **more: Any) -> Parameter:
    """Return a name in the path: of a room or a session."""
    return Parameter(name, "path", {"type": "string", "pattern": "^[^\\r\\n\\x00]+$", **more}, text, example)
