"""Times and cursors in a query. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Any, Final

import msgspec

from streaming_hub.errors import BadRequest

MOST: Final = 1e11
_NUMBER: Final = re.compile(r"\d{1,11}(?:\.\d{1,9})?", re.ASCII)
_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+\- ]\d\d:\d\d)", re.ASCII
)
_SHOWN: Final = 40
MAX_CURSOR: Final = 2_000


def moment(name: str, text: str) -> float:
    """Read a time: seconds since 1970, or RFC 3339.

    Args:
        name: the parameter's.
        text: as it was sent; a `+` that was not encoded has become a space.

    Returns:
        Seconds since 1970.

    Raises:
        BadRequest: it is neither.
    """
    if _NUMBER.fullmatch(text) and float(text) < MOST:
        return float(text)
    match = _RFC_3339.fullmatch(text)
    if match is not None:
        day, clock, fraction, zone = match.groups()
        zone = "+00:00" if zone in "Zz" else zone.replace(" ", "+")
        # Six digits are all that Python reads before 3.14, and a microsecond is all that is stored.
        try:
            at = datetime.fromisoformat(f"{day}T{clock}{(fraction or '')[:7]}{zone}").timestamp()
        except (ValueError, OverflowError):
            at = -1.0
        if 0 <= at < MOST:
            return at
    raise BadRequest(
        f"{name}={text[:_SHOWN]!r}: expected seconds since 1970, or a time like 2026-11-28T14:00:00Z.",
        field=name,
    )


def in_order(since: float | None, until: float | None) -> None:
    """Refuse a range that ends before it begins.

    Args:
        since: `from` as it was given, seconds since 1970; None where it was not.
        until: `to`, likewise.

    Raises:
        BadRequest: names both.
    """
    if since is not None and until is not None and since > until:
        raise BadRequest(f"from={since:.15g} is later than to={until:.15g}: swap them.", field="from")


def make_cursor(values: list[Any]) -> str:
    """Return an opaque text that `read_cursor` turns back into the values."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def read_cursor(text: str, kinds: Any) -> Any:
    """Read a cursor.

    Args:
        text: as it was sent.
        kinds: the type of what is in it, for msgspec.

    Raises:
        BadRequest: it was not made here.
    """
    problem: Exception | None = None
    if len(text) <= MAX_CURSOR:
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return msgspec.json.decode(data, type=kinds)
        except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
            problem = error
    raise BadRequest(
        f"cursor={text[:_SHOWN]!r}: not a cursor of this list. Send `next` of the previous page, with the same "
        "sort, or none to start over.",
        field="cursor",
    ) from problem
