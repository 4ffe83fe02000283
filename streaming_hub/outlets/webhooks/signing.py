"""Signatures of webhooks (Standard Webhooks 1.0.0). Pure, but for making secrets."""

from __future__ import annotations

import base64
import binascii
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from standardwebhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX: Final = "whsec_"
SHORTEST: Final = 24
LONGEST: Final = 64


def make_secret() -> str:
    """Return a new secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> None:
    """Check a secret that somebody chose. The text of the error never contains it.

    Raises:
        ValueError: it is not `whsec_` and base64 of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"a secret is {PREFIX} and base64 of {SHORTEST} to {LONGEST} bytes")


def headers(message_id: str, body: bytes, keys: Sequence[str], now: float) -> dict[str, str]:
    """Return the headers of a request.

    Args:
        message_id: the same at every attempt.
        body: JSON, in UTF-8.
        keys: the secrets that sign, the newest first.
        now: seconds since 1970.
    """
    at = datetime.fromtimestamp(int(now), UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, at, body.decode()) for key in keys),
    }
