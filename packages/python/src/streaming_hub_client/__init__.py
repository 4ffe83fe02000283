"""Client of a LiveKit streaming hub. Knows the hub only by HTTP, and imports nothing of it.

`attach` is loaded on first use, because it needs the extra `livekit`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streaming_hub_client.follow import afollow, follow
from streaming_hub_client.publish import publish
from streaming_hub_client.stream import Gap, Refused
from streaming_hub_client.webhook import InvalidWebhook, verify_webhook

if TYPE_CHECKING:
    from streaming_hub_client.attachment import attach as attach

# Without `attach`, with which `import *` would need the extra.
__all__ = ["Gap", "InvalidWebhook", "Refused", "afollow", "follow", "publish", "verify_webhook"]


def __getattr__(name: str) -> Any:
    if name != "attach":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = import_module("streaming_hub_client.attachment").attach
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __name__:
            raise
        raise ModuleNotFoundError(
            f"attach needs {error.name}: install livekit-streaming-hub-client[livekit]", name=error.name
        ) from error
    globals()[name] = found
    return found
