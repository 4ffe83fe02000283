"""Which mode `auto` means, and that it says why."""

from __future__ import annotations

import pytest

from hub.agent_mode import choose_mode
from hub.settings import Settings

URL = "ws://localhost:7880"


@pytest.mark.parametrize(
    ("settings", "mode", "why"),
    [
        ({}, "rehearsal", "LIVEKIT_URL and OPENAI_API_KEY (or OPENAI_BASE_URL) are not set."),
        ({"livekit_url": URL}, "rehearsal", "OPENAI_API_KEY (or OPENAI_BASE_URL) is not set."),
        ({"openai_api_key": "k"}, "rehearsal", "LIVEKIT_URL is not set."),
        ({"livekit_url": URL, "openai_api_key": "k"}, "livekit", f"LIVEKIT_URL is {URL}."),
        ({"livekit_url": URL, "openai_base_url": "http://x/v1"}, "livekit", f"LIVEKIT_URL is {URL}."),
    ],
)
def test_it_is_livekit_where_livekit_and_models_are_set(
    settings: dict[str, str], mode: str, why: str
) -> None:
    assert choose_mode(Settings(**settings)) == (mode, why)
