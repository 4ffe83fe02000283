"""Parses the text of a setting into its value. Pure.

Each reader takes the text without surrounding spaces, and raises ValueError if it is malformed.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")

WEBHOOK_SECRET: Final = "whsec_"  # noqa: S105 - a prefix
"""Prefix of a webhook's secret."""


_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""A number in ASCII digits. Python's own parsers also accept `1_5` as 15, and digits of any script."""


_PLACE: Final = re.compile(r"""(?:[^][:\s,;<>"']+|\[[0-9A-Fa-f:.%]+\])(?::[0-9]+)?""")
"""Pattern of a URL's host and port."""


_ORIGIN: Final = re.compile(r"(https?)://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def integer(low: int, high: int) -> Callable[[str], float]:
    """Read an integer within bounds."""
    return _within(int, low, high)


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Read a number of seconds within bounds."""
    return _within(float, low, high)


def share(text: str) -> float:
    """Read a number above 0, at most 1."""
    number = _number(float, text)
    if not 0 < number <= 1:
        raise ValueError(text)
    return number


def choice(*words: str) -> Callable[[str], str]:
    """Read one of several words, in upper or lower case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(text)
        return text.lower()

    return read


def matching(pattern: str) -> Callable[[str], str]:
    """Read a text that fully matches a regular expression."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return read


def url(*schemes: str) -> Callable[[str], str]:
    """Read a URL with one of several schemes."""

    def read(text: str) -> str:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        # Reading the port raises if it is invalid.
        if text.partition("://")[0] not in schemes or not _PLACE.fullmatch(host) or parts.port == -1:
            raise ValueError(text)
        return matching(r"\S+")(text)

    return read


def archive(text: str) -> str:
    """Read `off`, or an SQLAlchemy URL of a database that the archive supports."""
    if text.lower() == "off":
        return "off"
    matching(r"sqlite:///(?!~|:memory:)[^\s?][^?]*|postgresql\+psycopg://\S+")(text)
    # The password may contain any character but "@", so urlsplit could split it in the wrong place.
    if text.partition("?")[0].count("@") > 1:
        raise ValueError(text)
    place = text.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]
    _, colon, port = place.rpartition("]")[2].rpartition(":")
    if colon and not (port.isdecimal() and int(port) <= 65535):
        raise ValueError(text)
    return text


def listed(read_one: Callable[[str], str] = str) -> Callable[[str], tuple[str, ...]]:
    """Read a comma-separated list with at least one entry.

    A text of only commas is refused: it would count as unset, and for keys, unset means open.
    """

    def read(text: str) -> tuple[str, ...]:
        found = tuple(read_one(part.strip()) for part in text.split(",") if part.strip())
        if not found:
            raise ValueError(text)
        return found

    return read


def watched(text: str) -> tuple[str, ...]:
    """Read the rooms to watch."""
    if text.lower() in ("off", "all"):
        return () if text.lower() == "off" else ("*",)
    # Values of other settings, unlikely to be the name of a room.
    return listed(matching(r"(?!(?i:on|off|all|true|false|yes|no|none)$)[^\x00-\x1f\x7f,]{1,256}"))(text)


def numbers(low: float, high: float) -> Callable[[str], tuple[float, ...]]:
    """Read a comma-separated list of at least one number, each within bounds."""
    one = seconds(low, high)

    def read(text: str) -> tuple[float, ...]:
        found = tuple(one(part.strip()) for part in text.split(",") if part.strip())
        if not found:
            raise ValueError(text)
        return found

    return read


def webhook_secret(text: str) -> str:
    """Read a Standard Webhooks secret: `whsec_` and base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(text.removeprefix(WEBHOOK_SECRET), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(WEBHOOK_SECRET) or not 24 <= len(key) <= 64:
        raise ValueError("not a secret")
    return text


def boolean(text: str) -> bool:
    """Read a boolean."""
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(text)


def origin(text: str) -> str:
    """Read a web origin exactly as browsers send it, or `null`; any other spelling would never match."""
    if text == "null":
        return text
    found = _ORIGIN.fullmatch(text)
    if found is None or found[2] == _DEFAULT_PORTS[found[1]] or int(found[2] or 0) > 65535:
        raise ValueError(text)
    return text.lower()


def host(text: str) -> str:
    """Read a host name or an IP address, without scheme, brackets and port."""
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        # As for a resolver, each label of a name has 1 to 63 characters.
        if not re.fullmatch(r"[^\s/:*@?#\[\]]+", text) or not text.encode("idna"):
            raise
    return text


def written(value: object) -> str:
    """Return a value in the form its variable would have; an empty string if it is not set."""
    if value in (None, ()):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(written, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number(kind: Callable[[str], float], text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return kind(text)


def _within(kind: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        number = _number(kind, text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return read
