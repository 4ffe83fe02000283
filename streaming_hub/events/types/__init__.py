"""The hub's event types: one class each says its name, fields, view, effect on a room, and example.

Pure. Checks, views, room states, JSON Schema and the documents all read these classes. They do not check fields.
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
from streaming_hub.events.types.base import COMMON, Control, Declared, Stored
from streaming_hub.events.views import OPERATOR

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "COMMON",
    "CONTROL_TYPES",
    "GROUPS",
    "PROCESS_TYPES",
    "TYPES",
    "Declared",
    "Stored",
    "operator_only",
    "own_fields",
    "summary",
]

_MODULES: Final[dict[str, ModuleType]] = {
    "Conversation": conversation,
    "Tools and metrics": figures,
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
CONTROL_TYPES: Final = frozenset(name for name, kind in TYPES.items() if issubclass(kind, Control))
"""Created only by the hub, never stored."""
PROCESS_TYPES: Final = frozenset(name for name, kind in TYPES.items() if kind.by_hub) - CONTROL_TYPES
"""Created only by the hub, and stored."""

_FOR_OPERATORS: Final = frozenset(name for name, kind in TYPES.items() if kind.view == OPERATOR)


def operator_only(event_type: str, audience: object = None) -> bool:
    """Return whether an event is withheld from viewers. The only place that decides it.

    The live stream, replay, snapshots, `/api/events` and `/api/rooms` all ask it, so no caller can read in the
    history what was withheld on the stream. A type without a class here is the application's own and goes to viewers.

    Args:
        event_type: the event's `type`.
        audience: the event's `audience`, whatever was posted; only the string `operator` counts. It can
            withhold an event from viewers, never show them more.
    """
    return audience == OPERATOR or event_type in _FOR_OPERATORS


def own_fields(kind: type[Declared]) -> list[dict[str, Any]]:
    """Return a type's fields besides the common ones.

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
