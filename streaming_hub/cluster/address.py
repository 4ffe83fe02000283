"""The URL of a Redis server: checked, and shown without its password. Pure."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from streaming_hub.errors import SettingsError

SCHEMES: Final = ("redis", "rediss", "unix")
EXPECTED: Final = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://... or unix:///PATH[?db=N]"
_PORT: Final = 6379


class Address:
    """A Redis server's address and credentials.

    Args:
        url: see `EXPECTED`.

    Attributes:
        shown: the URL without user and password, for logs.
        options: keyword arguments for redis-py's connection classes.
        scheme: one of `SCHEMES`.

    Raises:
        SettingsError: the URL cannot be used. The message does not repeat it, as it may contain a password.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
            query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise _unreadable("it cannot be parsed") from None
        self.scheme = parts.scheme
        if self.scheme not in SCHEMES:
            raise _unreadable("its scheme is unknown")
        unknown = sorted(query.keys() - ({"db"} if self.scheme == "unix" else set()))
        if unknown or parts.fragment:
            raise _unreadable(f"it has {', '.join(unknown) or 'a fragment'}, which is not supported")
        if self.scheme == "unix":
            place = {"path": unquote(parts.path)}
            database = query.get("db", ["0"])[0]
            self.shown = f"unix://{place['path']}"
        else:
            place = {"host": parts.hostname or ""}
            database = parts.path.strip("/") or "0"
            host = f"[{place['host']}]" if ":" in place["host"] else place["host"]
            self.shown = f"{self.scheme}://{host}:{port or _PORT}/{database}"
        if not all(place.values()):
            raise _unreadable("it names no path" if self.scheme == "unix" else "it has no host")
        if not (database.isascii() and database.isdigit()):
            raise _unreadable("its database is not a number")
        self.options: dict[str, Any] = {**place, "db": int(database)}
        if self.scheme != "unix":
            self.options["port"] = port or _PORT
        if parts.username:
            self.options["username"] = unquote(parts.username)
        if parts.password:
            self.options["password"] = unquote(parts.password)


def _unreadable(why: str) -> SettingsError:
    return SettingsError(
        f"STREAM_HISTORY: the URL of the Redis server is not usable: {why}. Expected {EXPECTED}."
    )
