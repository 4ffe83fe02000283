"""`verify_webhook` against signatures that `standardwebhooks` makes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook
from streaming_hub_client import InvalidWebhook, verify_webhook

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
BODY = '{"type": "x", "data": {}}'


def headers(age: float = 0) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=age)
    signature = Webhook(SECRET).sign("m1", at, BODY)
    return {"Webhook-Id": "m1", "Webhook-Timestamp": str(int(at.timestamp())), "Webhook-Signature": signature}


def test_a_good_one_is_returned_with_any_of_the_secrets() -> None:
    assert verify_webhook(BODY, headers(), SECRET) == {"type": "x", "data": {}}
    assert verify_webhook(BODY.encode(), headers(), [OTHER, SECRET])["type"] == "x"


@pytest.mark.parametrize(
    ("body", "age", "secret"),
    [
        (BODY + " ", 0, SECRET),
        (BODY, 0, OTHER),
        (BODY, 400, SECRET),
        (BODY, -400, SECRET),
        (BODY, None, SECRET),
        (BODY, 0, []),
    ],
)
def test_what_must_not_be_trusted(body: str, age: float | None, secret: str | list[str]) -> None:
    sent = {} if age is None else headers(age)
    with pytest.raises(InvalidWebhook):
        verify_webhook(body, sent, secret)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***", [SECRET, "k"]])
def test_a_malformed_secret_is_no_fault_of_the_message(secret: str | list[str]) -> None:
    with pytest.raises(ValueError, match="secret: expected"):
        verify_webhook(BODY, headers(), secret)
