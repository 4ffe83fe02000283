"""Open scopes stop the server from listening where other machines reach it."""

from __future__ import annotations

from typing import Any

import pytest

from streaming_hub.access.exposure import refuse_open_off_loopback
from streaming_hub.errors import SettingsError
from streaming_hub.settings import Settings

KEYS = {"publish_keys": ("p",), "subscribe_keys": ("s",), "operator_keys": ("o",)}
LIVEKIT_SECRET = "the-secret-of-the-livekit-server-123"
JWT_SECRET = "a-secret-of-at-least-thirty-two-characters"


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, ["STREAM_PUBLISH_KEYS", "STREAM_SUBSCRIBE_KEYS", "STREAM_OPERATOR_KEYS"]),
        ({"publish_keys": ("k",), "subscribe_keys": ("k",)}, ["STREAM_OPERATOR_KEYS"]),
        ({"livekit_api_secret": LIVEKIT_SECRET, "operator_keys": ("k",)}, ["STREAM_PUBLISH_KEYS"]),
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "hub.example.com"])
def test_off_loopback_the_server_names_what_is_missing(
    settings: dict[str, Any], missing: list[str], host: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        refuse_open_off_loopback(Settings(**settings), host)
    for name in missing:
        assert name in str(refused.value)
    refuse_open_off_loopback(Settings(**settings, allow_open=True), host)


@pytest.mark.parametrize("settings", [KEYS, {"jwt_secret": JWT_SECRET}])
def test_off_loopback_it_starts_with_keys(settings: dict[str, Any]) -> None:
    refuse_open_off_loopback(Settings(**settings), "0.0.0.0")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_on_loopback_it_starts_open(host: str) -> None:
    refuse_open_off_loopback(Settings(), host)
