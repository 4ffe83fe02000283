"""Rooms and sessions with slashes anywhere in their names are read and erased by them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from flask.testing import FlaskClient


@pytest.mark.parametrize("name", ["/hall", "a/b", "a//b", "hall/", "a/events", "ä b?", "..", "%2F"])
def test_a_name_is_what_the_events_say(client: FlaskClient, name: str) -> None:
    event = {"type": "transcript", "text": "Hello!", "room": name, "session_id": name}
    assert (
        client.post("/api/agent/data", json=[event, event | {"room": "other", "session_id": "s"}]).status_code
        == 200
    )
    in_path = quote(name, safe="")
    assert client.get(f"/api/rooms/{in_path}").json["room"] == name
    assert client.delete(f"/api/sessions/{in_path}").json == {"status": "ok", "erased": 1}
    assert client.post("/api/agent/data", json=event).status_code == 200
    assert client.delete(f"/api/rooms/{in_path}/events").json == {"status": "ok", "erased": 1}
    assert [room["room"] for room in client.get("/api/rooms").json["rooms"]] == ["other"]


@pytest.mark.parametrize("path", ["/api/rooms/", "/api/rooms/a%0Ab", "/api/rooms/a%00b"])
def test_what_can_be_no_name_is_not_found(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
