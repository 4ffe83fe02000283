"""How the text of a setting becomes its value. Pure.

Each reader takes the text, without spaces around it, and raises ValueError where it is not what it expects.
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
"""How the secrets of webhooks begin."""


_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""A number as other programs write it: Python's own readers also take `1_5` for 15, and digits of any script."""


_PLACE: Final = re.compile(r"""(?:[^][:\s,;<>"']+|\[[0-9A-Fa-f:.%]+\])(?::[0-9]+)?""")
"""Host and port of a URL."""


_ORIGIN: Final = re.compile(r"(https?)://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def integer(low: int, high: int) -> Callable[[str], float]:
    """Read a whole number within two bounds."""
    return _within(int, low, high)


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Read seconds within two bounds."""
    return _within(float, low, high)


def share(text: str) -> float:
    """Read a number above 0, at most 1."""
    number = _number(float, text)
    if not 0 < number <= 1:
        raise ValueError(text)
    return number


def choice(*words: str) -> Callable[[str], str]:
    """Read one of some words, in upper or lower case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(text)
        return text.lower()

    return read


def matching(pattern: str) -> Callable[[str], str]:
    """Read what matches a regular expression from end to end."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return read


def url(*schemes: str) -> Callable[[str], str]:
    """Read a URL with one of some schemes."""

    def read(text: str) -> str:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        # The port is read for its error.
        if text.partition("://")[0] not in schemes or not _PLACE.fullmatch(host) or parts.port == -1:
            raise ValueError(text)
        return matching(r"\S+")(text)

    return read


def archive(text: str) -> str:
    """Read `off`, or a URL of SQLAlchemy for one of the databases that the archive can be in."""
    if text.lower() == "off":
        return "off"
    matching(r"sqlite:///(?!~|:memory:)[^\s?][^?]*|postgresql\+psycopg://\S+")(text)
    # Its password may hold any character but "@", so urlsplit would take it for something else.
    if text.partition("?")[0].count("@") > 1:
        raise ValueError(text)
    place = text.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]
    _, colon, port = place.rpartition("]")[2].rpartition(":")
    if colon and not (port.isdecimal() and int(port) <= 65535):
        raise ValueError(text)
    return text


def listed(read_one: Callable[[str], str] = str) -> Callable[[str], tuple[str, ...]]:
    """Read a list separated by commas, of at least one.

    Commas alone are refused: they would count as unset, which for keys means open.
    """

    def read(text: str) -> tuple[str, ...]:
        found = tuple(read_one(part.strip()) for part in text.split(",") if part.strip())
        if not found:
            raise ValueError(text)
        return found

    return read


def watched(text: str) -> tuple[str, ...]:
    """Read which rooms are watched."""
    if text.lower() in ("off", "all"):
        return () if text.lower() == "off" else ("*",)
    # Words of other settings, which hardly name a room.
    return listed(matching(r"(?!(?i:on|off|all|true|false|yes|no|none)$)[^\x00-\x1f\x7f,]{1,256}"))(text)


def numbers(low: float, high: float) -> Callable[[str], tuple[float, ...]]:
    """Read numbers within two bounds, at least one, separated by commas."""
    one = seconds(low, high)

    def read(text: str) -> tuple[float, ...]:
        found = tuple(one(part.strip()) for part in text.split(",") if part.strip())
        if not found:
            raise ValueError(text)
        return found

    return read


def webhook_secret(text: str) -> str:
    """Read a secret of Standard Webhooks: `whsec_` and base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(text.removeprefix(WEBHOOK_SECRET), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(WEBHOOK_SECRET) or not 24 <= len(key) <= 64:
        raise ValueError("not a secret")
    return text


def boolean(text: str) -> bool:
    """Read a yes or no."""
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError(text)


def origin(text: str) -> str:
    """Read a web origin as browsers send it, or `null`: written otherwise, it would never match."""
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
        # As a resolver reads a name: it has labels of 1 to 63 characters.
        if not re.fullmatch(r"[^\s/:*@?#\[\]]+", text) or not text.encode("idna"):
            raise
    return text


def written(value: object) -> str:
    """Return a value as its variable would be written; an empty string for one that is not set."""
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
