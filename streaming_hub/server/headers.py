"""A request's header fields (RFC 9112, section 5), read strictly and cheaply; and a response's, written.

gevent's server parses them with Python's e-mail parser, which takes longer than everything else the hub does with an
event, and accepts what proxies read differently: that is why this is written by hand. A test compares it with h11,
which takes three times as long. Pure, except for the `readline` that it is given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from streaming_hub.server.environ import field_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_LINE: Final = 8192
"""Bytes of one field line; a cursor of 5,000 characters fits."""
MAX_HEAD: Final = 32 * 1024
"""Bytes of all field lines."""
MAX_FIELDS: Final = 100

# No control character but the tab (RFC 9110, 5.5): readers differ in which of them end a value or are cut off.
# Spaces around the value are stripped later: a pattern that does it takes a tenth of a second for thousands of them.
_FIELD = re.compile(r"^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)\r?\n", re.MULTILINE)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_ONCE: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "authorization"})


class Headers:
    """Header fields in the shape that gevent's handler works with.

    Args:
        readline: reads one line of at most this many bytes.

    Raises:
        ValueError: a line is not a field, a field that may occur once occurs twice, or there are too many bytes.
    """

    status = ""

    def __init__(self, readline: Callable[[int], bytes]) -> None:
        self._fields: list[tuple[str, str]] = []
        self._values: dict[str, str] = {}
        lines: list[bytes] = []
        left = MAX_HEAD
        while (line := readline(MAX_LINE + 1)) not in (b"\r\n", b"\n"):
            left -= len(line)
            if not line.endswith(b"\n") or left < 0 or len(lines) >= MAX_FIELDS:
                raise ValueError(
                    f"the header fields are incomplete, or exceed {MAX_LINE} bytes per line or {MAX_HEAD} in total"
                )
            lines.append(line)
        self._take(_FIELD.findall(b"".join(lines).decode("latin-1")), len(lines))
        self._check_framing()

    def _check_framing(self) -> None:
        """Refuse what a proxy may read as another length: it smuggles requests (RFC 9112, sections 6.1 and 6.3)."""
        coding, length = self._values.get("transfer-encoding"), self._values.get("content-length")
        if coding is not None and (length is not None or coding.lower() != "chunked"):
            raise ValueError(
                f"Transfer-Encoding {coding!r}: only `chunked` is accepted, and only without Content-Length"
            )
        if length is not None and not _LENGTH.fullmatch(length):
            raise ValueError(f"Content-Length {length!r}")

    def _take(self, fields: list[tuple[str, str]], lines: int) -> None:
        if len(fields) != lines:
            raise ValueError("a header field is malformed")
        values = self._values
        for written, padded in fields:
            name, value = written.lower(), padded.strip(" \t")
            self._fields.append((name, value))
            if name in values:
                if name in _ONCE:
                    raise ValueError(f"{name} appears twice")
                value = f"{values[name]}{'; ' if name == 'cookie' else ','}{value}"
            values[name] = value

    @property
    def typeheader(self) -> str | None:
        """The content type."""
        return self._values.get("content-type")

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return a field's value; names in any case."""
        return self._values.get(name.lower(), default)

    getheader = get

    def has_any(self, names: Iterable[str]) -> bool:
        """Return whether one of these is present; names in lower case."""
        return not self._values.keys().isdisjoint(names)

    def __delitem__(self, name: str) -> None:
        del self._values[name.lower()]

    def items(self) -> list[tuple[str, str]]:
        """Return all fields in order."""
        return self._fields

    def environ_items(self) -> Iterator[tuple[str, str]]:
        """Yield fields for WSGI's environ (PEP 3333); a name with `_` could pass for one with `-` and is omitted."""
        for name, value in self._values.items():
            if "_" not in name and name not in ("content-type", "content-length"):
                yield field_key(name), value


def response_head(status: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a response's status line and fields, up to where its body begins."""
    lines = [b"%b: %b\r\n" % field for field in fields]
    return b"".join((b"HTTP/1.1 ", status, b"\r\n", *lines, b"\r\n"))
