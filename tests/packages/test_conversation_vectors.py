"""`tests/vectors/conversation`: events in, rooms out. The hub's reducer passes them; so does the npm package's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streaming_hub.rooms.state import Rooms
from tests.packages.node import VECTORS

FILES = sorted((VECTORS / "conversation").glob("*.json"))


def reduced(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each room's state after events with ids, as operators see it."""
    rooms = Rooms()
    for event in events:
        rooms.apply(int(event["id"].rpartition("-")[2]), event)
    return {name: rooms.describe(name, viewer=False) for name in rooms.names()}


def test_there_are_vectors() -> None:
    assert len(FILES) >= 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_hubs_reducer_passes(file: Any) -> None:
    vector = json.loads(file.read_text(encoding="utf-8"))
    assert vector["why"]
    assert reduced(vector["events"]) == vector["rooms"]
