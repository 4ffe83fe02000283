"""How a key is sent: one that is not ASCII, too. Pure."""

from __future__ import annotations


def bearer(key: str) -> str:
    """Return the `Authorization` header for a key, in UTF-8 as Latin-1, which `http.client` makes bytes of again.

    The line end that a file leaves behind a key is not part of it.

    Raises:
        ValueError: The key holds a control character, which no header may; it is not shown.
    """
    key = key.strip()
    if any(character < " " or character == "\x7f" for character in key):
        raise ValueError("the key holds a control character, such as a line break")
    return f"Bearer {key}".encode("utf-8", "surrogateescape").decode("latin-1")
