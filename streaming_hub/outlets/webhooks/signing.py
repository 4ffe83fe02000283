"""Signatures of webhooks (Standard Webhooks 1.0.0). Pure except for making secrets."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from standardwebhooks import Webhook

from streaming_hub.settings.values import WEBHOOK_SECRET

if TYPE_CHECKING:
    from collections.abc import Sequence


def make_secret() -> str:
    """Return a new secret of 32 random bytes."""
    return WEBHOOK_SECRET + base64.b64encode(secrets.token_bytes(32)).decode()


def headers(message_id: str, body: bytes, keys: Sequence[str], now: float) -> dict[str, str]:
    """Return the headers of a signed request.

    Args:
        message_id: the same for every attempt.
        body: JSON, in UTF-8.
        keys: the secrets that sign, newest first.
        now: seconds since 1970.
    """
    at = datetime.fromtimestamp(int(now), UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(Webhook(key).sign(message_id, at, body.decode()) for key in keys),
    }
