"""The keys from the settings: hashed once, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

from streaming_hub.access.grant import (
    ALL_SCOPES,
    OPERATE,
    PUBLISH,
    SUBSCRIBE,
)
from streaming_hub.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Key(msgspec.Struct, frozen=True):
    """One key, without the key itself.

    Attributes:
        digest: its SHA-256. All digests have the same length, so comparing them does not reveal the key's.
        name: its name in the audit; the names are joined by `+` for a key that is in several settings.
        scopes: what it allows.
    """

    digest: bytes
    name: str
    scopes: frozenset[str]


def key_ring(
    keys_of_scope: Mapping[str, Sequence[str]], agent_key: str | None = None, watcher_key: str | None = None
) -> tuple[Key, ...]:
    """Digest the keys of all settings.

    Args:
        keys_of_scope: the keys of `publish`, `subscribe` and `operate`. Operator keys may do everything.
        agent_key: the key that the hub generated for the agent process.
        watcher_key: the same for the watcher, which also reads the stream.

    Raises:
        SettingsError: an empty key, which every caller without one would hold.
    """
    scopes = {PUBLISH: frozenset({PUBLISH}), SUBSCRIBE: frozenset({SUBSCRIBE}), OPERATE: ALL_SCOPES}
    labels = {PUBLISH: "publish", SUBSCRIBE: "subscribe", OPERATE: "operator"}
    ring: dict[bytes, Key] = {}
    for scope, keys in keys_of_scope.items():
        for number, text in enumerate(keys, start=1):
            if not text:
                raise SettingsError(f"STREAM_{labels[scope].upper()}_KEYS contains an empty key: remove it.")
            _add(ring, text, f"{labels[scope]}-key-{number}", scopes[scope])
    if agent_key:
        _add(ring, agent_key, "agent-key", scopes[PUBLISH])
    if watcher_key:
        _add(ring, watcher_key, "watcher-key", frozenset({PUBLISH, SUBSCRIBE}))
    return tuple(ring.values())


def find(ring: tuple[Key, ...], credential: str) -> Key | None:
    """Return the key that matches a credential, or None, in a time that does not depend on the result."""
    found = None
    for candidate in _digests(credential):
        for key in ring:
            if hmac.compare_digest(key.digest, candidate):
                found = key
    return found


def _add(ring: dict[bytes, Key], text: str, name: str, scopes: frozenset[str]) -> None:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    known = ring.get(digest)
    if known is not None:
        name, scopes = f"{known.name}+{name}", known.scopes | scopes
    ring[digest] = Key(digest, name, scopes)


def _digests(credential: str) -> list[bytes]:
    """Digest a header's value as each of the byte strings that its sender may have meant.

    WSGI decodes headers as Latin-1, so the value from a client that sends UTF-8 (curl) is mojibake, and that from a
    client that sends Latin-1 (requests) is the text itself.
    """
    readings = [credential.encode("utf-8", "surrogatepass")]
    if not credential.isascii() and max(credential) <= "\xff":
        readings.append(credential.encode("latin-1"))
    return [hashlib.sha256(reading).digest() for reading in readings]
