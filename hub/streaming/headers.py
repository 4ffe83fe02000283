"""A request's header fields (RFC 9112, section 5), read strictly and cheaply.

gevent's server parses them with Python's e-mail parser, which takes longer than everything that the hub does with an
event, and forgives what proxies read differently: that is why this is written by hand. Pure but for the `readline`
that it is given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_LINE: Final = 8192
"""Bytes of one field line; a cursor of 5,000 characters fits."""
MAX_HEAD: Final = 32 * 1024
"""Bytes of all field lines."""
MAX_FIELDS: Final = 100

_FIELD = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*\r?\n")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_ONCE: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "authorization"})


class Headers:
    """Header fields in the shape that gevent's handler works with.

    Args:
        readline: reads one line of at most so many bytes.

    Raises:
        ValueError: a line is not a field, a field that may stand once stands twice, or there is too much.
    """

    status = ""

    def __init__(self, readline: Callable[[int], bytes]) -> None:
        self._fields: list[tuple[str, str]] = []
        self._values: dict[str, str] = {}
        left = MAX_HEAD
        while (line := readline(MAX_LINE + 1)) not in (b"\r\n", b"\n"):
            left -= len(line)
            if not line.endswith(b"\n") or left < 0 or len(self._fields) >= MAX_FIELDS:
                raise ValueError(
                    f"the header fields end too early or are over {MAX_LINE} bytes a line, {MAX_HEAD} in all"
                )
            self._add(line.decode("latin-1"))
        self._check_framing()

    def _check_framing(self) -> None:
        """Refuse what a proxy may read as another length, to smuggle requests (RFC 9112, sections 6.1 and 6.3)."""
        coding, length = self._values.get("transfer-encoding"), self._values.get("content-length")
        if coding is not None and (length is not None or coding.lower() != "chunked"):
            raise ValueError(
                f"Transfer-Encoding {coding!r}: only `chunked` is taken, and no Content-Length beside it"
            )
        if length is not None and not _LENGTH.fullmatch(length):
            raise ValueError(f"Content-Length {length!r}")

    def _add(self, line: str) -> None:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise ValueError("a header field is malformed")
        name, value = match[1].lower(), match[2]
        if name in self._values:
            if name in _ONCE:
                raise ValueError(f"{name} stands twice")
            value = f"{self._values[name]}{'; ' if name == 'cookie' else ','}{value}"
        self._values[name] = value
        self._fields.append((name, match[2]))

    @property
    def typeheader(self) -> str | None:
        """The content type."""
        return self._values.get("content-type")

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return a field's value; names in any case."""
        return self._values.get(name.lower(), default)

    getheader = get

    def __delitem__(self, name: str) -> None:
        del self._values[name.lower()]

    def items(self) -> list[tuple[str, str]]:
        """Return all fields in order."""
        return self._fields

    def environ_items(self) -> Iterator[tuple[str, str]]:
        """Yield what WSGI's environ takes (PEP 3333); a name with `_` could pass for one with `-` and is left out."""
        for name, value in self._values.items():
            if "_" not in name and name not in ("content-type", "content-length"):
                yield "HTTP_" + name.upper().replace("-", "_"), value
