"""What the hub's event types look like: one msgspec Struct a type, made into JSON Schema and documents.

Pure. They describe and do not check: `events.posted` decides what may be posted, `events.views` who sees it.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.events.types import (
    conversation,
    figures,
    livekit,
    server,
)
from streaming_hub.events.types.base import COMMON, Declared, Stored

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["COMMON", "GROUPS", "TYPES", "Declared", "Stored", "own_fields", "summary"]

_MODULES: Final[dict[str, ModuleType]] = {
    "Conversation": conversation,
    "Tools and figures": figures,
    "Room": livekit,
    "Process and control": server,
}


def _types_of(module: ModuleType) -> dict[str, type[Declared]]:
    found = (kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Declared))
    return {
        str(kind.__struct_config__.tag): kind
        for kind in found
        if kind.__module__ == module.__name__ and kind.example
    }


GROUPS: Final = {title: _types_of(module) for title, module in _MODULES.items()}
"""Title -> the types of that group by name, in the order of their source."""
TYPES: Final = {name: kind for group in GROUPS.values() for name, kind in group.items()}
"""Every event type by name."""


def own_fields(kind: type[Declared]) -> list[dict[str, Any]]:
    """Return what a type has beside the common fields.

    Returns:
        For each field its `name`, `required`, and `schema` (JSON Schema).
    """
    (reference,), components = msgspec.json.schema_components([kind])
    schema = components[reference["$ref"].rpartition("/")[2]]
    common = {*COMMON, "type"} if issubclass(kind, Stored) else {"type"}
    return [
        {"name": name, "required": name in schema["required"], "schema": field}
        for name, field in schema["properties"].items()
        if name not in common
    ]


def summary(kind: type[Declared]) -> str:
    """Return a type's description."""
    return inspect.cleandoc(kind.__doc__ or "").replace("\n", " ").replace("  ", " ")
