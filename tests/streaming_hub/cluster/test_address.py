"""URLs of Redis servers: what is read from them, and that no password is ever shown."""

from __future__ import annotations

from typing import Any

import pytest

from streaming_hub.cluster.address import Address
from streaming_hub.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "options", "shown"),
    [
        ("redis://h", {"host": "h", "port": 6379, "db": 0}, "redis://h:6379/0"),
        (
            "redis://me:p%40ss@h:1/7",
            {"host": "h", "port": 1, "db": 7, "username": "me", "password": "p@ss"},
            "redis://h:1/7",
        ),
        ("redis://:s@[::1]:2", {"host": "::1", "port": 2, "db": 0, "password": "s"}, "redis://[::1]:2/0"),
        ("rediss://h:3/0", {"host": "h", "port": 3, "db": 0}, "rediss://h:3/0"),
        ("unix:///run/r.sock?db=4", {"path": "/run/r.sock", "db": 4}, "unix:///run/r.sock"),
    ],
)
def test_what_a_url_says(url: str, options: dict[str, Any], shown: str) -> None:
    address = Address(url)
    assert address.options == options
    assert address.shown == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@",
        "redis://:secret@h:port",
        "redis://:secret@h/x",
        "redis://:secret@h?socket_timeout=9",
        "redis://:secret@h#x",
        "http://:secret@h",
        "unix://?db=1",
        "unix:///s?db=-1",
        "unix:///s?db=1&db2=2",
    ],
)
def test_what_has_no_meaning_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(SettingsError, match="STREAM_HISTORY") as caught:
        Address(url)
    assert "secret" not in str(caught.value)
