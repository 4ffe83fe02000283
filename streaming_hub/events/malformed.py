"""Explains why a body is not JSON, and what to send instead. Pure.

A parser reports where it gave up; the usual mistakes are elsewhere: another encoding, a byte order mark, several lines.
Only refused bodies come here, and each check is linear in their size.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

# Possessive, and without its end where the text has none: else an unterminated string is tried again at every quote.
JSON_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""Matches a string of JSON in UTF-8."""

_NOT_A_NUMBER: Final = re.compile(rb"\b(?:NaN|Infinity)\b")
_LONE_SURROGATE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def why_not_json(body: bytes, error: Exception) -> str:  # noqa: PLR0911 - one for each mistake
    """Return what is wrong with a body that is not JSON, as the end of a sentence.

    Args:
        body: what was refused.
        error: the parser's own; its text is returned if none of the usual mistakes is found.
    """
    if body.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark; send UTF-8 without one"
    if b"\0" in body[:4] or body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it looks like UTF-16 or UTF-32; send UTF-8"
    try:
        body.decode()
    except UnicodeDecodeError as found:
        return f"byte {found.start} (0x{body[found.start]:02x}) is not UTF-8; send UTF-8"
    if _LONE_SURROGATE.search(body.replace(b"\\\\", b"")):
        return r"a string holds one half of a surrogate pair (\ud800 to \udfff); send both, or \ufffd"
    if _NOT_A_NUMBER.search(JSON_STRING.sub(b"", body)):
        return "NaN and Infinity are not JSON; send null, or leave the field out"
    if "trailing characters" in str(error) and _is_ndjson(body):
        return "there is one value a line; send that as Content-Type: application/x-ndjson, or as an array"
    return str(error)


def _is_ndjson(body: bytes) -> bool:
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    return len(lines) > 1 and all(line.startswith(b"{") and line.endswith(b"}") for line in lines)
