"""`verify_webhook`: checks that a request comes from the hub (Standard Webhooks 1.0.0, by `standardwebhooks`)."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class InvalidWebhook(Exception):
    """The message must not be trusted."""


def verify_webhook(
    body: bytes | str, headers: Mapping[str, str], secret: str | Iterable[str]
) -> dict[str, Any]:
    """Verify a webhook's signature and age (300 s), and return its message.

    Args:
        body: Exactly as it was received.
        headers: The request's, names in any case.
        secret: `whsec_` and base64. Pass several while you replace one.

    Raises:
        InvalidWebhook: A header is missing, the message is too old or from the future, no signature matches, or the
            body is not a JSON object.
        ValueError: A secret is malformed.
    """
    reasons = []
    for webhook in [_webhook(one) for one in ([secret] if isinstance(secret, str) else secret)]:
        try:
            found = webhook.verify(body, dict(headers))
        except (WebhookVerificationError, ValueError) as error:
            reasons.append(str(error))
        else:
            if isinstance(found, dict):
                return found
            reasons.append("the body is not a JSON object")
    raise InvalidWebhook("; ".join(dict.fromkeys(reasons)) or "no secret was given")


def _webhook(secret: str) -> Webhook:
    with suppress(ValueError):  # Not base64.
        if base64.b64decode(secret.removeprefix("whsec_"), validate=True):
            return Webhook(secret)
    raise ValueError("secret: expected `whsec_` and base64")
