"""Client of a LiveKit streaming hub. Knows the hub only by HTTP, and imports nothing of it.

Names that need an extra are loaded on first use: `attach` needs `livekit`, `verify_webhook` needs `webhooks`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streaming_hub_client.follow import afollow, follow
from streaming_hub_client.publish import publish
from streaming_hub_client.stream import Gap, Refused

if TYPE_CHECKING:
    from streaming_hub_client.attachment import attach as attach
    from streaming_hub_client.webhook import InvalidWebhook as InvalidWebhook
    from streaming_hub_client.webhook import verify_webhook as verify_webhook

# The lazy names below are left out: with them, `import *` would need every extra.
__all__ = ["Gap", "Refused", "afollow", "follow", "publish"]

_LATER = {
    "attach": ("streaming_hub_client.attachment", "livekit"),
    "verify_webhook": ("streaming_hub_client.webhook", "webhooks"),
    "InvalidWebhook": ("streaming_hub_client.webhook", "webhooks"),
}
"""Lazy name -> (module, extra that it needs)."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, extra = _LATER[name]
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __name__:
            raise
        raise ModuleNotFoundError(
            f"{name} needs {error.name}: install livekit-streaming-hub-client[{extra}]", name=error.name
        ) from error
    globals()[name] = found
    return found
