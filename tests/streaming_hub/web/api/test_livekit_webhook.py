"""livekit-server's webhooks over HTTP: events from genuine ones, once each; nothing from others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from flask_server import create_app
from streaming_hub.settings import Settings
from streaming_hub.web.current import services_of
from tests.streaming_hub.livekit.signed import (
    KEY,
    SECRET,
    body,
    participant,
    sign,
)

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

PATH = "/api/livekit/webhook"


def client(**settings: Any) -> FlaskClient:
    livekit = {"livekit_api_key": KEY, "livekit_api_secret": SECRET}
    return create_app(Settings(history="memory://", **(livekit | settings))).test_client()


def webhook(kind: str, **fields: Any) -> bytes:
    return body(kind, **({"createdAt": str(int(time.time()))} | fields))


def send(app: FlaskClient, content: bytes, *, token: str | None = None, **headers: str) -> TestResponse:
    signed = sign(content, now=time.time()) if token is None else token
    kind = headers.pop("content_type", "application/webhook+json")
    given = {"Authorization": signed, **headers}
    return app.post(PATH, data=content, headers=given, content_type=kind)


def stored(app: FlaskClient, **headers: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = app.get("/api/events", headers=headers).json["events"]
    return events


def test_room_without_an_agent_appears() -> None:
    app = client()
    assert send(app, webhook("room_started")).json["status"] == "ok"
    alice = participant("alice", name="Alice")
    assert send(app, webhook("participant_joined", participant=alice)).status_code == 200
    assert [event["type"] for event in stored(app)] == ["room_started", "participant_joined"]
    room = app.get("/api/rooms/hall").json
    assert room["participants"] == [{"identity": "alice", "role": "user"}]
    send(app, webhook("participant_left", participant=alice))
    assert app.get("/api/rooms/hall").json["participants"] == []


def test_replay_is_a_duplicate() -> None:
    app = client()
    content = webhook("room_started")
    first = send(app, content)
    again = send(app, content)
    assert again.json == {"status": "ok", "id": first.json["id"], "duplicate": True}
    assert len(stored(app)) == 1


def test_old_replay_is_refused() -> None:
    app = client()
    assert send(app, webhook("room_started", createdAt=str(int(time.time()) - 700))).status_code == 401
    assert stored(app) == []


@pytest.mark.parametrize("token", ["", "forged", sign(b"another body", now=time.time())])
def test_forgery_is_refused_and_leaves_nothing(token: str) -> None:
    app = client()
    answer = send(app, webhook("room_started"), token=token)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert stored(app) == []


def test_secrets_are_neither_stored_nor_shown() -> None:
    app = client()
    send(app, webhook("participant_joined", participant=participant("alice")))
    assert "turnPassword" not in app.get("/api/events").text
    assert "private" not in app.get("/api/events").text


def test_other_webhooks_are_answered_and_passed_over() -> None:
    app = client()
    answer = send(app, webhook("track_published", participant=participant("alice")))
    assert (answer.status_code, answer.json) == (200, {"status": "ignored", "event": "track_published"})
    assert stored(app) == []


@pytest.mark.parametrize("host", ["host.docker.internal:5000", "hub.example"])
def test_signature_is_all_it_needs(host: str) -> None:
    keyed = client(publish_keys=("p",), subscribe_keys=("s",), operator_keys=("o",))
    assert send(keyed, webhook("room_started"), Host=host).status_code == 200
    assert [event["type"] for event in stored(keyed, **{"X-API-Key": "o"})] == ["room_started"]
    assert send(client(), webhook("room_started"), Host=host).status_code == 200


@pytest.mark.parametrize(
    ("settings", "content", "kind", "status"),
    [
        ({"livekit_api_secret": None}, b"{}", "application/webhook+json", 503),
        ({}, b"{}", "text/plain", 415),
        ({}, b"not json", "application/webhook+json", 400),
        ({}, b'{"event": 5}', "application/webhook+json", 422),
        ({}, b" " * (1024 * 1024 + 1), "application/webhook+json", 413),
    ],
)
def test_what_cannot_be_taken_is_refused(
    settings: dict[str, Any], content: bytes, kind: str, status: int
) -> None:
    assert send(client(**settings), content, content_type=kind).status_code == status


def test_draining_hub_lets_livekit_try_again() -> None:
    app = client()
    services_of(app.application).draining = True
    answer = send(app, webhook("room_started"))
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
