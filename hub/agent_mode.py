"""In which mode the agent starts where nobody says so. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hub.settings import Settings


def choose_mode(settings: Settings) -> tuple[str, str]:
    """Return the mode that `auto` means, and one sentence that says why."""
    missing = [] if settings.livekit_url else ["LIVEKIT_URL"]
    if not (settings.openai_api_key or settings.openai_base_url):
        missing.append("OPENAI_API_KEY (or OPENAI_BASE_URL)")
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return "rehearsal", f"{' and '.join(missing)} {verb} not set."
    return "livekit", f"LIVEKIT_URL is {settings.livekit_url}."
