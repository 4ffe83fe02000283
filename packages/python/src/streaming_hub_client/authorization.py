"""Encodes a key for a request's header, including keys that are not ASCII. Pure."""

from __future__ import annotations


def bearer(key: str) -> str:
    """Return the `Authorization` header for a key.

    The result is the key's UTF-8 decoded as Latin-1, because `http.client` encodes headers as Latin-1. White space
    around the key is removed, such as the line end of a file that it was read from.

    Raises:
        ValueError: The key contains a control character, which no header may. The message does not show the key.
    """
    key = key.strip()
    if any(character < " " or character == "\x7f" for character in key):
        raise ValueError("the key holds a control character, such as a line break")
    return f"Bearer {key}".encode("utf-8", "surrogateescape").decode("latin-1")
