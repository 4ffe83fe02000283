"""Webhooks as livekit-server 1.13.5 sends them, signed as it signs them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import jwt

KEY, SECRET = "devkey", "a_secret_of_at_least_32_bytes_____"
NOW = 1_795_430_000.0


def body(event: str, **fields: Any) -> bytes:
    """A webhook's body."""
    room = {
        "sid": "RM_1",
        "name": "hall",
        "emptyTimeout": 300,
        "creationTime": str(int(NOW)),
        "turnPassword": "the_secret_of_the_relay",
    }
    known = {"event": event, "room": room, "id": f"EV_{event}", "createdAt": str(int(NOW))}
    return json.dumps(known | fields).encode()


def participant(identity: str, **fields: Any) -> dict[str, Any]:
    """A participant in a webhook; `kind` is absent for people."""
    return {"sid": "PA_1", "identity": identity, "state": "ACTIVE", "metadata": "a private note"} | fields


def sign(content: bytes, *, secret: str = SECRET, now: float = NOW, **claims: Any) -> str:
    """The JWT in its Authorization header."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    known = {"iss": KEY, "nbf": int(now), "exp": int(now) + 300, "sha256": digest}
    return jwt.encode({k: v for k, v in (known | claims).items() if v is not None}, secret, "HS256")
