"""Which mode `auto` means, and that it says why."""

from __future__ import annotations

import pytest

from streaming_hub.agents.mode import choose_mode
from streaming_hub.settings import Settings

URL = "ws://localhost:7880"
KEYS = {"livekit_api_key": "k", "livekit_api_secret": "s"}
MODEL = "OPENAI_API_KEY (or OPENAI_BASE_URL)"


@pytest.mark.parametrize(
    ("settings", "mode", "why"),
    [
        ({}, "rehearsal", f"LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET and {MODEL} are not set."),
        (
            {"livekit_url": URL},
            "rehearsal",
            f"LIVEKIT_API_KEY, LIVEKIT_API_SECRET and {MODEL} are not set.",
        ),
        ({"livekit_url": URL, **KEYS}, "rehearsal", f"{MODEL} is not set."),
        ({"openai_api_key": "k", **KEYS}, "rehearsal", "LIVEKIT_URL is not set."),
        ({"livekit_url": URL, "openai_api_key": "k", **KEYS}, "livekit", f"LIVEKIT_URL is {URL}."),
        ({"livekit_url": URL, "openai_base_url": "http://x/v1", **KEYS}, "livekit", f"LIVEKIT_URL is {URL}."),
        (
            {"livekit_url": URL, "openai_api_key": "k"},
            "livekit",
            f"LIVEKIT_URL is {URL}, but the agent cannot start: LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not set.",
        ),
    ],
)
def test_it_is_livekit_where_livekit_and_models_are_set(
    settings: dict[str, str], mode: str, why: str
) -> None:
    assert choose_mode(Settings(**settings)) == (mode, why)
