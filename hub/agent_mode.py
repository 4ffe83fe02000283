"""In which mode the agent starts where nobody says so. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.settings import Settings


def choose_mode(settings: Settings) -> tuple[str, str]:
    """Return the mode that `auto` means, and one sentence that says why; it names all that LiveKit's mode lacks."""
    model = settings.openai_api_key or settings.openai_base_url
    needed = {
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_API_KEY": settings.livekit_api_key,
        "LIVEKIT_API_SECRET": settings.livekit_api_secret,
        "OPENAI_API_KEY (or OPENAI_BASE_URL)": model,
    }
    missing = [name for name, value in needed.items() if not value]
    unset = f"{listing(missing)} {'is' if len(missing) == 1 else 'are'} not set"
    if not (settings.livekit_url and model):
        return "rehearsal", f"{unset}."
    if missing:
        return (
            "livekit",
            f"LIVEKIT_URL is {settings.livekit_url}, but {unset}, without which it cannot start.",
        )
    return "livekit", f"LIVEKIT_URL is {settings.livekit_url}."


def listing(names: Sequence[str]) -> str:
    """Write names the way a sentence lists them."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
