"""Generate docs/reference/events.schema.json and the tables in docs/reference/events.md from the event types.

`uv run python -m docs.tools.make_events`. The tables stand between two marks; the text around them is written by
hand. A test fails if they are out of date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from docs.tools.made_part import replaced
from streaming_hub.events.types import (
    COMMON,
    GROUPS,
    TYPES,
    Stored,
    own_fields,
)
from streaming_hub.web.openapi import schemas

FOLDER: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = FOLDER / "reference" / "events.md"
SCHEMA: Final = FOLDER / "reference" / "events.schema.json"


def tables() -> str:
    """Return the tables as Markdown."""
    common = schemas.components([])[schemas.COMMON_FIELDS]["properties"]
    head = "| field | JSON |\n|---|---|"
    rows = "\n".join(f"| `{name}` | {_shown(common[name])} |" for name in COMMON)
    parts = [f"Every stored event may have:\n\n{head}\n{rows}"]
    for title, types in GROUPS.items():
        lines = [
            f"| `{name}` | {kind.view} | {'yes' if issubclass(kind, Stored) else 'no'} | {_fields(kind)} |"
            for name, kind in types.items()
        ]
        parts.append(
            f"{title}:\n\n| type | seen by | stored | fields |\n|---|---|---|---|\n" + "\n".join(lines)
        )
    return "\n\n".join(parts)


def schema() -> dict[str, Any]:
    """Return one JSON Schema of all types, with the type's schema in `$defs`."""
    made = schemas.components([])
    text = json.dumps({name: one for name, one in made.items() if name != schemas.EVENT_BATCH})
    definitions: dict[str, Any] = json.loads(text.replace(schemas.PREFIX, "#/$defs/"))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of the LiveKit agent streaming hub",
        "description": "An event with any other `type` is the application's own.",
        "anyOf": [{"$ref": f"#/$defs/{schemas.name_of_event(name)}"} for name in TYPES],
        "$defs": definitions,
    }


def current() -> dict[Path, tuple[str, str]]:
    """Return each file as it is, and as it should be."""
    is_there = SCHEMA.read_text(encoding="utf-8") if SCHEMA.is_file() else ""
    return {
        DOCUMENT: replaced(DOCUMENT, "make_events", tables()),
        SCHEMA: (is_there, json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"),
    }


def _fields(kind: type[Any]) -> str:
    shown = (
        f"`{field['name']}{'' if field['required'] else '?'}` {_shown(field['schema'])}"
        for field in own_fields(kind)
    )
    return ", ".join(shown)


def _shown(schema: dict[str, Any]) -> str:
    """Say in a word or two what a schema takes."""
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(_shown(one) for one in schema[choice])
    if "enum" in schema:
        return " or ".join(f'"{word}"' for word in schema["enum"])
    if schema.get("type") == "array":
        items = schema.get("items", {})
        return "list of " + (f"{items['type']}s" if "type" in items else "objects")
    return str(schema.get("type", "any value"))


if __name__ == "__main__":
    for path, (_, wanted) in current().items():
        path.write_text(wanted, encoding="utf-8")
