"""LiveKit's standard token endpoint: what goes in, what the token allows, and who gets one.

Covers streaming_hub.livekit.tokens, too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from google.protobuf import json_format
from livekit import api

from flask_server import create_app
from streaming_hub.settings import Settings

if TYPE_CHECKING:
    from flask.testing import FlaskClient

KEY, SECRET = "devkey", "a_secret_of_at_least_32_bytes_____"
JWT_SECRET = "the_secret_of_the_operators_back_end"


def client(**settings: Any) -> FlaskClient:
    livekit = {"livekit_url": "wss://lk.example", "livekit_api_key": KEY, "livekit_api_secret": SECRET}
    return create_app(Settings(history="memory://", **(livekit | settings))).test_client()


def claims(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    assert set(answer.json) == {"server_url", "participant_token"}
    token: dict[str, Any] = jwt.decode(answer.json["participant_token"], SECRET, ["HS256"], issuer=KEY)
    return token


def bearer(**changes: Any) -> dict[str, str]:
    known = {"scope": "join", "exp": time.time() + 3600, **changes}
    return {"Authorization": f"Bearer {jwt.encode(known, JWT_SECRET, 'HS256')}"}


def test_token_without_a_word_joins_a_room_of_its_own() -> None:
    app = client()
    first, second = claims(app.post("/api/token")), claims(app.post("/api/token", json={}))
    assert first["video"] == {
        "roomJoin": True,
        "room": first["video"]["room"],
        "canPublish": True,
        "canSubscribe": True,
        "canPublishData": True,
        "canUpdateOwnMetadata": True,
    }
    assert first["sub"] != second["sub"]
    assert first["video"]["room"] != second["video"]["room"]
    assert "roomConfig" not in first
    assert 0 < first["exp"] - time.time() <= 900


SNAKE = {
    "room_name": "hall",
    "participant_identity": "alice",
    "participant_name": "Alice",
    "participant_metadata": "m",
    "participant_attributes": {"seat": "3"},
    "room_config": {"agents": [{"agent_name": "helper", "metadata": "{}"}]},
}
CAMEL = {
    "roomName": "hall",
    "participantIdentity": "alice",
    "participantName": "Alice",
    "participantMetadata": "m",
    "participantAttributes": {"seat": "3"},
    "roomConfig": {"agents": [{"agentName": "helper", "metadata": "{}"}]},
}


@pytest.mark.parametrize("body", [SNAKE, CAMEL])
def test_token_says_what_was_asked(body: dict[str, Any]) -> None:
    app = client()
    answer = app.post("/api/token", json=body | {"something_new": [1]})
    assert answer.json["server_url"] == "wss://lk.example"
    token = claims(answer)
    assert token["video"]["room"] == "hall"
    assert (token["sub"], token["name"], token["metadata"]) == ("alice", "Alice", "m")
    assert token["attributes"] == {"seat": "3"}
    assert token["roomConfig"]["agents"] == [{"agentName": "helper", "metadata": "{}"}]


def test_configured_agent_is_asked_for_unless_another_is() -> None:
    app = client(agent={"AGENT_NAME": "ours"})
    assert claims(app.post("/api/token"))["roomConfig"] == {"agents": [{"agentName": "ours"}]}
    asked = claims(app.post("/api/token", json=SNAKE))
    assert asked["roomConfig"]["agents"] == [{"agentName": "helper", "metadata": "{}"}]


def test_a_token_is_what_livekit_s_own_library_makes() -> None:
    config = {
        "name": "preset",
        "empty_timeout": 30,
        "departureTimeout": "20",
        "max_participants": None,
        "sync_streams": True,
        "agents": [{"agentName": "helper", "attributes": {"a_b": "c"}}, {"metadata": "m"}],
        "tags": {"some_tag": "x"},
        "unknown": {"later": 1},
    }
    ours = claims(client().post("/api/token", json=SNAKE | {"room_config": config}))
    theirs_config = json_format.ParseDict(config, api.RoomConfiguration(), ignore_unknown_fields=True)
    grants = api.VideoGrants(
        room_join=True,
        room="hall",
        can_publish=True,
        can_subscribe=True,
        can_publish_data=True,
        can_update_own_metadata=True,
    )
    token = api.AccessToken(KEY, SECRET).with_identity("alice").with_name("Alice").with_metadata("m")
    token = token.with_attributes({"seat": "3"}).with_grants(grants).with_room_config(theirs_config)
    theirs = jwt.decode(token.to_jwt(), SECRET, ["HS256"])
    for changing in ("nbf", "exp"):
        assert isinstance(ours.pop(changing), type(theirs.pop(changing)))
    assert ours == theirs


def test_null_and_empty_count_as_absent() -> None:
    token = claims(client().post("/api/token", json=dict.fromkeys(SNAKE) | {"participant_identity": ""}))
    assert token["sub"].startswith("user-")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"room_name": 7}, "room_name"),
        ({"room_name": "a\nb"}, "room_name"),
        ({"room_name": "a\n"}, "room_name"),
        ({"room_name": "x" * 257}, "room_name"),
        ({"participant_identity": ["alice"]}, "participant_identity"),
        ({"participant_attributes": {"a": 1}}, "participant_attributes"),
        ({"room_config": "yes"}, "room_config"),
        ({"room_config": {"agents": 5}}, "room_config"),
        ({"room_config": {"egress": {"room": {"room_name": "hall"}}}}, "room_config.egress"),
    ],
)
def test_wrong_fields_are_named(body: dict[str, Any], field: str) -> None:
    answer = client().post("/api/token", json=body)
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert field in answer.json["detail"]
    assert answer.json["field"].startswith(field)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("{", "application/json", 400),
        ("[]", "application/json", 422),
        ("{}", "text/plain", 415),
        ('{"participant_metadata": "' + "x" * 70_000 + '"}', "application/json", 413),
    ],
)
def test_what_is_no_request_is_refused(body: str, kind: str, status: int) -> None:
    answer = client().post("/api/token", data=body, content_type=kind)
    assert answer.status_code == status
    if status == 413:
        assert "65536 bytes" in answer.json["detail"]


def test_missing_settings_are_named() -> None:
    answer = client(livekit_api_secret=None).post("/api/token")
    assert answer.status_code == 503
    assert "LIVEKIT_API_SECRET" in answer.json["detail"]
    assert "LIVEKIT_URL" not in answer.json["detail"]


@pytest.mark.parametrize("keys", ["publish_keys", "subscribe_keys", "operator_keys"])
def test_any_key_closes_the_endpoint_to_strangers(keys: str) -> None:
    app = client(**{keys: ("k3y",)})
    assert app.post("/api/token").status_code == 401
    held = app.post("/api/token", headers={"X-API-Key": "k3y"})
    assert held.status_code == (201 if keys == "operator_keys" else 403)


def test_stranger_is_refused_before_anything_is_reported() -> None:
    assert client(operator_keys=("k",), livekit_url=None).post("/api/token").status_code == 401


def test_hub_token_with_join_stays_within_its_rooms_and_its_time() -> None:
    app = client(jwt_secret=JWT_SECRET)
    room = {"room_name": "hall"}
    assert app.post("/api/token", headers=bearer(scope="subscribe")).status_code == 403
    assert claims(app.post("/api/token", json=room, headers=bearer()))["video"]["room"] == "hall"
    assert claims(app.post("/api/token", headers=bearer(rooms=["den"])))["video"]["room"] == "den"
    assert app.post("/api/token", json=room, headers=bearer(rooms=["den"])).status_code == 403
    assert app.post("/api/token", headers=bearer(rooms=["den", "hall"])).status_code == 403
    ending = claims(app.post("/api/token", headers=bearer(exp=time.time() + 100)))
    assert ending["exp"] <= time.time() + 101


def test_livekit_token_fetches_no_other_token() -> None:
    app = client(operator_keys=("k",))
    token = app.post("/api/token", headers={"X-API-Key": "k"}).json["participant_token"]
    assert app.post("/api/token", headers={"Authorization": f"Bearer {token}"}).status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 201), ("http://localhost:8080", 201), ("null", 403), ("https://evil.example", 403)],
)
def test_other_sites_get_no_token(origin: str | None, status: int) -> None:
    answer = client().post("/api/token", headers={"Origin": origin} if origin else {})
    assert answer.status_code == status
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if status == 201 else None)
