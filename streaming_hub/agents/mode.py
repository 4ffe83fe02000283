"""Picks the agent's mode when the caller does not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming_hub.wording import not_set

if TYPE_CHECKING:
    from streaming_hub.settings import Settings


def choose_mode(settings: Settings) -> tuple[str, str]:
    """Return the mode that `auto` means, and a sentence with the reason, which names every setting that is missing."""
    model = settings.openai_api_key or settings.openai_base_url
    needed = {
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_API_KEY": settings.livekit_api_key,
        "LIVEKIT_API_SECRET": settings.livekit_api_secret,
        "OPENAI_API_KEY (or OPENAI_BASE_URL)": model,
    }
    missing = [name for name, value in needed.items() if not value]
    if not (settings.livekit_url and model):
        return "rehearsal", f"{not_set(missing)}."
    if missing:
        return (
            "livekit",
            f"LIVEKIT_URL is {settings.livekit_url}, but the agent cannot start: {not_set(missing)}.",
        )
    return "livekit", f"LIVEKIT_URL is {settings.livekit_url}."
