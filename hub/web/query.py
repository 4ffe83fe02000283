"""What the query string of a reading endpoint asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.errors import BadRequest
from hub.interest import Interest

if TYPE_CHECKING:
    from collections.abc import Collection

    from werkzeug.datastructures import MultiDict

MOST_DIGITS = 9
"""Longer counts are taken for mistakes."""
MOST_VALUES = 100
"""Values that one filter may have."""
FILTERS = ("room", "type", "participant", "session_id")


def only(args: MultiDict[str, str], known: Collection[str]) -> None:
    """Refuse a parameter that nothing reads: a misspelt filter would answer with everything.

    Raises:
        BadRequest: there is one; names it and those that are known.
    """
    for name in args:
        if name not in known:
            raise BadRequest(
                f"{name[:40]!r} is not a parameter here; known are {', '.join(known)}.", field=name[:40]
            )


def filters(args: MultiDict[str, str]) -> Interest:
    """Read the filters; each key may be repeated.

    Raises:
        BadRequest: a key has more than `MOST_VALUES` values.
    """
    for name in FILTERS:
        given = len(args.getlist(name))
        if given > MOST_VALUES:
            raise BadRequest(
                f"{name} is given {given} times; at most {MOST_VALUES} are taken: open several streams.",
                field=name,
            )
    room, kind, participant, session = (frozenset(args.getlist(name)) or None for name in FILTERS)
    return Interest(rooms=room, types=kind, participants=participant, sessions=session)


def count(args: MultiDict[str, str], name: str, default: int, most: int, *, least: int = 0) -> int:
    """Read a count; more than `most` counts as `most`.

    Raises:
        BadRequest: not a count.
    """
    text = args.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text) >= least):
        raise BadRequest(f"{name}={text[:40]!r}: expected a count from {least} to {most}.", field=name)
    return min(int(text), most)


def flag(args: MultiDict[str, str], name: str) -> bool:
    """Read a flag: 1 or true.

    Raises:
        BadRequest: something else.
    """
    text = args.get(name, "")
    if text.lower() not in ("", "0", "1", "true", "false"):
        raise BadRequest(f"{name}={text[:40]!r}: expected 1 or 0.", field=name)
    return text.lower() in ("1", "true")
