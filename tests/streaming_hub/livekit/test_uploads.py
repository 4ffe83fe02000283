"""The token that agents upload with: a real one, and every kind of wrong one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streaming_hub.errors import Unauthorized
from streaming_hub.livekit.uploads import verify
from tests.uploads import replay


def check(token: str | None, now: float | None = None) -> None:
    verify(token, api_key=replay.KEY, api_secret=replay.SECRET, now=time.time() if now is None else now)


def test_the_tokens_of_a_real_agent_are_taken() -> None:
    for one in replay.uploads():
        check(one.headers["authorization"], one.at)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "another"},
        {"iss": None},
        {"observability": None},
        {"observability": {"write": False}},
        {"observability": {}},
        {"exp": 1000},
        {"exp": None},
        {"nbf": time.time() + 3600},
        {"secret": "another_secret_of_at_least_32_bytes"},
    ],
)
def test_others_are_not(claims: dict[str, Any]) -> None:
    check(f"Bearer {replay.token()}")
    with pytest.raises(Unauthorized):
        check(f"Bearer {replay.token(**claims)}")


@pytest.mark.parametrize("token", [None, "", "Bearer ", "Bearer x.y.z", "é", "x" * 9000])
def test_what_is_not_a_token_is_refused(token: str | None) -> None:
    with pytest.raises(Unauthorized):
        check(token)
