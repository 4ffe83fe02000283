"""Webhooks: forged and old ones are refused, secrets stay out, the rest becomes events."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from livekit import api

from streaming_hub.errors import HubError, InvalidEvent, Unauthorized
from streaming_hub.events import posted
from streaming_hub.livekit import webhooks
from tests.streaming_hub.livekit.signed import (
    KEY,
    NOW,
    SECRET,
    body,
    participant,
    sign,
)

JOINED = body("participant_joined", participant=participant("alice", name="Alice"))


def verify(content: bytes, token: str | None, now: float = NOW) -> None:
    webhooks.verify(content, token, api_key=KEY, api_secret=SECRET, now=now)


def fields(content: bytes) -> dict[str, Any] | None:
    made = webhooks.translate(webhooks.read(content, NOW))
    return None if made is None else posted.fields_of(made)


def test_genuine_webhook_passes() -> None:
    verify(JOINED, sign(JOINED))
    verify(JOINED, f"Bearer {sign(JOINED)}")


def test_what_livekits_own_library_accepts_passes() -> None:
    content = body("room_started").decode()
    token = sign(content.encode(), now=time.time())
    receiver = api.WebhookReceiver(api.TokenVerifier(KEY, SECRET))
    assert receiver.receive(content, token).room.name == "hall"
    verify(content.encode(), token, time.time())


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "nonsense",
        "a.b.c",
        "é.é.é",
        "x" * 9000,
        sign(JOINED, secret="another_secret_of_at_least_32_bytes"),
        sign(JOINED + b" "),
        sign(JOINED, iss="otherkey"),
        sign(JOINED, iss=None),
        sign(JOINED, sha256=None),
        sign(JOINED, sha256="not base64!"),
        sign(JOINED, sha256=""),
        sign(JOINED, exp=None),
        sign(JOINED, now=NOW - 1000),
        sign(JOINED, now=NOW + 1000),
    ],
)
def test_forged_token_is_refused(token: str | None) -> None:
    with pytest.raises(Unauthorized):
        verify(JOINED, token)


def test_a_participants_token_is_not_a_webhooks() -> None:
    grants = api.VideoGrants(room_join=True, room="hall")
    token = api.AccessToken(KEY, SECRET).with_identity("mallory").with_grants(grants).to_jwt()
    with pytest.raises(Unauthorized):
        verify(JOINED, token, time.time())


def test_token_lasts_as_long_as_it_says_and_a_minute_for_clocks() -> None:
    token = sign(JOINED)
    verify(JOINED, token, NOW + 359)
    verify(JOINED, token, NOW - 60)
    for now in (NOW + 361, NOW - 61):
        with pytest.raises(Unauthorized):
            verify(JOINED, token, now)


@pytest.mark.parametrize("age", [601, -601])
def test_old_webhook_is_refused(age: int) -> None:
    webhooks.read(body("room_started", createdAt=str(int(NOW - age * 0.99))), NOW)
    with pytest.raises(Unauthorized, match="createdAt"):
        webhooks.read(body("room_started", createdAt=str(int(NOW - age))), NOW)


def test_participant_joined() -> None:
    assert fields(JOINED) == {
        "type": "participant_joined",
        "room": "hall",
        "event_id": "EV_participant_joined",
        "created_at": int(NOW),
        "room_sid": "RM_1",
        "participant": "alice",
        "name": "Alice",
        "participant_sid": "PA_1",
        "kind": "standard",
        "role": "user",
    }


@pytest.mark.parametrize(
    ("kind", "role"),
    [("AGENT", "agent"), ("SIP", "user"), ("EGRESS", "system"), ("INGRESS", "system"), ("NEW", "system")],
)
def test_kinds_of_participants_are_roles(kind: str, role: str) -> None:
    known = fields(body("participant_joined", participant=participant("x", kind=kind)))
    assert known is not None
    assert (known["kind"], known["role"]) == (kind.lower(), role)


def test_participant_left_has_the_reason() -> None:
    gone = participant("alice", disconnectReason="CLIENT_INITIATED")
    known = fields(body("participant_left", participant=gone))
    assert known is not None
    assert known["reason"] == "client_initiated"


@pytest.mark.parametrize("kind", ["room_started", "room_finished", "participant_joined", "participant_left"])
def test_no_secret_and_nothing_unknown_is_kept(kind: str) -> None:
    known = fields(body(kind, participant=participant("alice"), egressInfo={"token": "hidden"}))
    text = json.dumps(known)
    assert "relay" not in text
    assert "private" not in text
    assert "hidden" not in text


@pytest.mark.parametrize(
    "kind", ["track_published", "egress_started", "participant_connection_aborted", "new"]
)
def test_other_webhooks_are_none_of_the_hubs_business(kind: str) -> None:
    assert fields(body(kind)) is None


def test_room_without_a_name_is_passed_over() -> None:
    assert fields(body("room_started", room={})) is None


def test_name_that_no_event_may_carry_is_reported() -> None:
    with pytest.raises(InvalidEvent, match="participant"):
        fields(body("participant_joined", participant=participant("a\nb")))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"7", b'{"id": "x"}', b'{"event": 4}', b"\xff", b"[" * 9999]
)
def test_what_is_no_webhook_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(HubError) as refused:
        webhooks.read(content, NOW)
    assert refused.value.status in (400, 422)


@pytest.mark.parametrize("created", ["x", "-5", "", 0, "9" * 30])
def test_odd_times_count_as_not_given(created: object) -> None:
    known = fields(body("room_started", createdAt=created))
    assert known is not None
    assert "created_at" not in known


@pytest.mark.parametrize("event", ["participant_joined", "participant_left"])
def test_a_watcher_comes_and_goes_without_a_word(event: str) -> None:
    assert fields(body(event, participant=participant("hub-watcher-1a2b", kind="AGENT"))) is None
    # Of that name, but no agent: a person who would like not to be seen.
    assert fields(body(event, participant=participant("hub-watcher-1a2b"))) is not None
