"""`verify_webhook`: whether a request is the hub's (Standard Webhooks 1.0.0), by the package `standardwebhooks`."""

from __future__ import annotations

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
        secret: `whsec_` and base64; several while one replaces another.

    Raises:
        InvalidWebhook: A header is missing, it is too old or from the future, no signature matches, or it is no JSON.
    """
    reasons = []
    for one in [secret] if isinstance(secret, str) else secret:
        try:
            found = Webhook(one).verify(body, dict(headers))
        except (WebhookVerificationError, ValueError) as error:
            reasons.append(str(error))
        else:
            if isinstance(found, dict):
                return found
            reasons.append("the body is no JSON object")
    raise InvalidWebhook("; ".join(dict.fromkeys(reasons)) or "no secret was given")
