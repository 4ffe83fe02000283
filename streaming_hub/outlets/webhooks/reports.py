"""Reports about an endpoint: the reasons, and the `error` event. Pure."""

from __future__ import annotations

from typing import Any, Final

from streaming_hub.outlets.webhooks.endpoints import SOURCE

GONE: Final = "gone"
NO_SUCCESS: Final = "no_success"
OPERATOR: Final = "operator"
"""Why an endpoint is disabled: it responded 410, it accepted nothing for too long, or an operator disabled it."""
FAILING: Final = "failing"
OVERFLOW: Final = "overflow"
EXPIRED: Final = "expired"
HISTORY_MOVED_ON: Final = "history_moved_on"
HISTORY_LOST: Final = "history_lost"


def error(
    endpoint: str, reason: str, text: str, *, recoverable: bool, missed: int | None = None
) -> dict[str, Any]:
    """Return the event.

    Args:
        endpoint: its id.
        reason: one of those above.
        text: sentences for people.
        recoverable: whether webhooks are still sent to the endpoint.
        missed: how many events it will not get.
    """
    event: dict[str, Any] = {
        "type": "error",
        "source": SOURCE,
        "webhook_id": endpoint,
        "reason": reason,
        "message": f"Webhook {endpoint}: {text}",
        "recoverable": recoverable,
    }
    return event if missed is None else event | {"missed": missed}
