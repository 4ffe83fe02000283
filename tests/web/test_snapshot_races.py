"""What is published by another thread just as a stream is opened is neither missed nor sent twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hub import event
from hub.interest import EVERYTHING
from hub.web import services_of

if TYPE_CHECKING:
    from flask import Flask


def frames(app: Flask, path: str, count: int) -> list[dict[str, Any]]:
    """Open a stream and return its first events."""
    response = app.test_client().get(path, buffered=False)
    body = iter(response.response)
    found: list[dict[str, Any]] = []
    while len(found) < count:
        piece: Any = next(body)
        found += [json.loads(line[6:]) for line in piece.decode().split("\n") if line.startswith("data: ")]
    response.close()
    return found


@pytest.mark.parametrize("query", ["snapshot=1", "snapshot=1&replay=1&room=talk"])
def test_an_event_between_snapshot_and_stream_is_sent(
    app: Flask, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    parts = services_of(app)
    between = event.make({"type": "transcript", "room": "talk", "text": "between", "is_final": True})
    visible = parts.rooms.visible

    def while_another_publishes(*arguments: Any) -> Any:
        seen = visible(*arguments)
        parts.hub.publish([between])
        return seen

    monkeypatch.setattr(parts.rooms, "visible", while_another_publishes)
    found = frames(app, f"/api/stream?{query}", 3)
    assert [one["type"] for one in found] == ["connected", "snapshot", "transcript"]
    assert found[0]["cursor"] == found[1]["as_of"]
    assert found[2]["text"] == "between"


def test_who_comes_while_a_replay_is_looked_up_counts_as_a_client(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = services_of(app)
    parts.max_clients = 1
    read = parts.read

    def while_another_comes(function: Any) -> Any:
        other = parts.hub.new_subscriber(EVERYTHING, 0, chunked=False, expires_at=None)
        parts.hub.subscribe(other)
        return read(function)

    monkeypatch.setattr(parts, "read", while_another_comes)
    answer = app.test_client().get("/api/stream?replay=1", headers={"Accept": "*/*"})
    assert answer.status_code == 503
    assert len(parts.hub) == 1
