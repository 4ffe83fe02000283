"""Keys of any script reach the hub, whose settings take them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from streaming_hub_client import follow, publish
from streaming_hub_client.authorization import bearer
from streaming_hub_client.poster import Poster

from tests.kit.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = ("plain", "sch\u00fcssel", "\u043a\u043b\u044e\u0447", "\u201cquoted\u201d", "\U0001f511 two words")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: Any) -> Iterator[str]:
    keys = ",".join(KEYS)
    names = ("STREAM_PUBLISH_KEYS", "STREAM_SUBSCRIBE_KEYS", "STREAM_OPERATOR_KEYS")
    with Hub(tmp_path_factory.mktemp("hub"), **dict.fromkeys(names, keys)) as server:
        yield server.url


@pytest.mark.parametrize("key", KEYS)
def test_every_part_of_the_client_sends_it(hub: str, key: str) -> None:
    poster = Poster(hub, key)
    poster.post({"type": "test", "room": key})
    assert poster.close(20.0)
    assert publish(hub, {"type": "test", "room": key}, key=key, timeout=20)["status"] == "ok"
    with follow(hub, key=key, room=key, replay=2) as stream:
        assert [event["type"] for event in itertools.islice(stream, 2)] == ["test", "test"]  # type: ignore[index]


def test_bytes_that_are_no_text_stay_as_the_environment_had_them() -> None:
    assert bearer("\udcfc").encode("latin-1") == b"Bearer \xfc"


@pytest.mark.parametrize("key", ["a\nb", "a\r\nX-Other: b", "\x00", "a\x7f", "tab\tbed"])
def test_a_key_that_no_header_carries_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="control character") as caught:
        Poster("http://127.0.0.1:1", key)
    assert key not in str(caught.value)
    with pytest.raises(ValueError, match="control character"):
        publish("http://127.0.0.1:1", {"type": "test"}, key=key)
    with pytest.raises(ValueError, match="control character"):
        next(follow("http://127.0.0.1:1", key=key))
