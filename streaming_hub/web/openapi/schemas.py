"""The schemas of the document: from Python types by msgspec, and those that no type can express (posted events)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streaming_hub.events import posted
from streaming_hub.events.types import COMMON, CONTROL_TYPES, PROCESS_TYPES, TYPES, Stored
from streaming_hub.events.types.conversation import SessionStarted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming_hub.web.about import Schema

POSTED_EVENT: Final = "PostedEvent"
EVENT_BATCH: Final = "EventBatch"
STORED_EVENT: Final = "StoredEvent"
COMMON_FIELDS: Final = "CommonFields"
PREFIX: Final = "#/components/schemas/"
EVENT_SUFFIX: Final = "Event"
"""Event types get it behind their names, so that they do not clash with answers."""


def reference(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": PREFIX + name}


def name_of_event(type_name: str) -> str:
    """Return the component's name of an event type: `agent_state` -> `AgentStateEvent`."""
    return "".join(part.capitalize() for part in type_name.split("_")) + EVENT_SUFFIX


def components(types: Iterable[type]) -> dict[str, Schema]:
    """Return every schema of the document by name.

    Args:
        types: Python types that requests and answers are described by.
    """
    _, found = msgspec.json.schema_components(list(dict.fromkeys(types)), ref_template=PREFIX + "{name}")
    made = {name: _tidy(schema) for name, schema in found.items()}
    made |= _event_types()
    made |= {POSTED_EVENT: _posted_event(), STORED_EVENT: _stored_event(), COMMON_FIELDS: _common_fields()}
    made[EVENT_BATCH] = {
        "type": "array",
        "items": reference(POSTED_EVENT),
        "description": f"All of them are taken, or none; {posted.MAX_BATCH_EVENTS} at most (else 413).",
    }
    return made


def _event_types() -> dict[str, Schema]:
    made: dict[str, Schema] = {}
    for type_name, kind in TYPES.items():
        (own,), found = msgspec.json.schema_components([kind], ref_template=PREFIX + "{name}")
        schema = _tidy(found.pop(own["$ref"].removeprefix(PREFIX)))
        if issubclass(kind, Stored):
            # Said once for all of them.
            own_properties = {k: v for k, v in schema["properties"].items() if k not in COMMON}
            schema = {**schema, "allOf": [reference(COMMON_FIELDS)], "properties": own_properties}
        made[name_of_event(type_name)] = {**schema, "title": type_name, "examples": [kind.example]}
        made |= {other: _tidy(schema) for other, schema in found.items()}
    return made


def _tidy(schema: Schema) -> Schema:
    """Return a schema with its docstring unindented and without Google's sections, which are for Python's readers."""
    if "description" not in schema:
        return schema
    text = inspect.cleandoc(schema["description"]).partition("\n\nAttributes:")[0]
    return {**schema, "description": text}


def _common_fields() -> Schema:
    _, found = msgspec.json.schema_components([SessionStarted])
    properties: dict[str, Schema] = found[SessionStarted.__name__]["properties"]
    return {
        "type": "object",
        "title": COMMON_FIELDS,
        "description": "What every stored event may have.",
        "properties": {name: properties[name] for name in COMMON},
    }


def _type_field() -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{posted.TYPE_PATTERN}$", "description": "What happened."}


def _posted_event() -> Schema:
    reserved = sorted(CONTROL_TYPES | PROCESS_TYPES)
    return {
        "type": "object",
        "title": POSTED_EVENT,
        "description": "An event as it is posted. All fields that are not named here pass through untouched; of an "
        f"`id`, which the hub gives, and the types that it alone makes ({', '.join(reserved)}), there may be none.",
        "properties": {"type": {**_type_field(), "not": {"enum": reserved}}},
        "required": ["type"],
        "allOf": [reference(COMMON_FIELDS)],
        "not": {"required": ["id"]},
        "additionalProperties": True,
    }


def _stored_event() -> Schema:
    return {
        "type": "object",
        "title": STORED_EVENT,
        "description": "An event as it is read: as it was posted, with an `id` and a `timestamp`.",
        "allOf": [reference(COMMON_FIELDS)],
        "properties": {"type": _type_field()},
        "required": ["id", "type", "timestamp"],
        "additionalProperties": True,
    }
