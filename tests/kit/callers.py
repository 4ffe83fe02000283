"""Hubs with keys and their callers, for the tests of access rules."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import jwt

from flask_server import create_app
from streaming_hub.settings import Settings
from streaming_hub.web.current import services_of
from tests.kit.sse import read

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

PUBLISH_KEY, SUBSCRIBE_KEY, OPERATOR_KEY = "publish-key-secret", "subscribe-key-secret", "operator-key-secret"
KEYS: dict[str, Any] = {
    "publish_keys": (PUBLISH_KEY, "second-publish-secret"),
    "subscribe_keys": (SUBSCRIBE_KEY,),
    "operator_keys": (OPERATOR_KEY,),
}
JWT_SECRET = "the_secret_of_the_operators_back_end"
LIVEKIT_KEY, LIVEKIT_SECRET = "lk-key", "livekit-secret-of-at-least-32-bytes"
FAR = "203.0.113.9"
"""A client that is not on this machine."""

TALK = [
    {"type": "transcript", "room": "a", "session_id": "s-a", "text": "words in a"},
    {"type": "transcript", "room": "b", "session_id": "s-b", "text": "words in b"},
    {"type": "tool_call_started", "room": "a", "session_id": "s-a", "name": "a tool"},
    {"type": "note", "room": "a", "session_id": "s-a", "text": "hidden", "audience": "operator"},
    {"type": "note", "text": "in no room"},
]


_made: list[Flask] = []
_by_settings: dict[str, Flask] = {}


def hub(**settings: Any) -> Flask:
    """A hub in memory, whose agent ends at once; it lasts as long as the test."""
    _made.append(create_app(Settings(history="memory://", **settings), agent_command=["true"]))
    return _made[-1]


def same_hub(**settings: Any) -> Flask:
    """The hub that this test has already made with these settings, or a new one."""
    key = repr(settings)
    if key not in _by_settings:
        _by_settings[key] = hub(**settings)
    return _by_settings[key]


def stop_hubs() -> None:
    """Stop every hub that `hub` made: each has threads that would run on beside the next tests."""
    _by_settings.clear()
    while _made:
        services_of(_made.pop()).stop()


def client(**settings: Any) -> FlaskClient:
    """A client of a hub of its own."""
    return hub(**settings).test_client()


def bearer(credential: str) -> dict[str, str]:
    """The header that carries a credential."""
    return {"Authorization": f"Bearer {credential}"}


def token(scope: str, seconds: float = 3600, **claims: Any) -> dict[str, str]:
    """The header with a JWT of the operator's own back end."""
    known = {"scope": scope, "exp": time.time() + seconds, **claims}
    return bearer(jwt.encode(known, JWT_SECRET, "HS256"))


def livekit_token(room: str, seconds: float = 3600) -> dict[str, str]:
    """The header with a participant's LiveKit token."""
    claims = {"iss": LIVEKIT_KEY, "sub": "alice", "exp": time.time() + seconds, "video": {"room": room}}
    return bearer(jwt.encode(claims, LIVEKIT_SECRET, "HS256"))


def post_talk(app: Flask) -> None:
    """Store the events of TALK, bypassing all access rules."""
    from streaming_hub.events import posted

    services_of(app).hub.publish([posted.parse_one(json.dumps(one).encode()) for one in TALK])


def ask(
    app: Flask, method: str, path: str, *, peer: str = "127.0.0.1", headers: Any = None, **more: Any
) -> TestResponse:
    """Send a request from an address; a stream is left open."""
    return app.test_client().open(
        path, method=method, environ_base={"REMOTE_ADDR": peer}, headers=headers, **more
    )


def stored(answer: TestResponse, kinds: int) -> list[dict[str, Any]]:
    """The first stored events of a stream; a heartbeat or the stream's end is an error."""
    frames = read(answer)
    found: list[dict[str, Any]] = []
    while len(found) < kinds:
        frame = next(frames)
        assert frame["type"] not in ("heartbeat", "goodbye"), frame
        if "id" in frame:
            found.append(frame)
    answer.close()
    return found
