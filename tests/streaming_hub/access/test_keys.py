"""Keys: what each allows, what it is called, and how it is compared."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.access import keys
from streaming_hub.access.grant import ALL_SCOPES
from streaming_hub.errors import SettingsError

RING = keys.key_ring(
    {"publish": ["pub-a", "pub-b"], "subscribe": ["sub-a"], "operate": ["op-a"]}, "from-the-hub"
)


@pytest.mark.parametrize(
    ("credential", "name", "scopes"),
    [
        ("pub-a", "publish-key-1", {"publish"}),
        ("pub-b", "publish-key-2", {"publish"}),
        ("sub-a", "subscribe-key-1", {"subscribe"}),
        ("op-a", "operator-key-1", set(ALL_SCOPES)),
        ("from-the-hub", "agent-key", {"publish"}),
    ],
)
def test_each_key_has_its_name_and_scopes(credential: str, name: str, scopes: object) -> None:
    key = keys.find(RING, credential)
    assert key is not None
    assert (key.name, key.scopes) == (name, scopes)


@pytest.mark.parametrize(
    "credential", ["", "pub", "pub-a ", "PUB-A", "pub-a,pub-b", "publish-key-1", "ünknown", "\ud800"]
)
def test_anything_else_is_not_a_key(credential: str) -> None:
    assert keys.find(RING, credential) is None


def test_a_key_in_two_settings_has_both_scopes() -> None:
    key = keys.find(keys.key_ring({"publish": ["same"], "subscribe": ["x", "same"], "operate": []}), "same")
    assert key is not None
    assert (key.name, key.scopes) == ("publish-key-1+subscribe-key-2", frozenset({"publish", "subscribe"}))


def test_a_key_holds_no_key() -> None:
    assert not any("pub-a" in repr(key) for key in RING)


def test_every_key_is_compared_in_constant_time_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", spy)
    for credential in ("pub-a", "from-the-hub", "unknown", "x" * 5000):
        compared.clear()
        keys.find(RING, credential)
        digest = hashlib.sha256(credential.encode()).digest()
        assert compared == [(key.digest, digest) for key in RING]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_key_with_umlauts_is_known_in_either_encoding_of_the_header(encoding: str) -> None:
    ring = keys.key_ring({"publish": ["schlüssel"]})
    assert keys.find(ring, "schlüssel".encode(encoding).decode("latin-1")) is not None
    assert keys.find(ring, "schlussel") is None


@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_any_text_can_be_a_key_and_is_found(text: str) -> None:
    assert keys.find(keys.key_ring({"publish": [text]}), text) is not None


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_breaks_the_comparison(text: str) -> None:
    assert keys.find(RING, "?" + text) is None


@pytest.mark.parametrize(
    ("scope", "setting"),
    [
        ("publish", "STREAM_PUBLISH_KEYS"),
        ("subscribe", "STREAM_SUBSCRIBE_KEYS"),
        ("operate", "STREAM_OPERATOR_KEYS"),
    ],
)
def test_an_empty_key_is_refused_by_its_setting(scope: str, setting: str) -> None:
    with pytest.raises(SettingsError, match=setting):
        keys.key_ring({scope: ["good", ""]})


@pytest.mark.parametrize("agent_key", ["", None])
def test_an_absent_agent_key_is_not_a_key(agent_key: Any) -> None:
    assert keys.key_ring({"publish": []}, agent_key) == ()
