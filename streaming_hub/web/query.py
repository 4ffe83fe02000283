"""Query strings of the reading endpoints."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Request

from streaming_hub.errors import BadRequest
from streaming_hub.events.interest import Interest
from streaming_hub.events.posted import TYPE_PATTERN

if TYPE_CHECKING:
    from collections.abc import Collection

    from werkzeug.datastructures import MultiDict

MOST_DIGITS: Final = 9
"""Longer numbers are refused."""
MOST_VALUES: Final = 100
"""Values that one filter may have."""
MAX_REPLAY: Final = 100_000
MAX_CURSOR: Final = 5_000
"""Characters of a cursor that a stream resumes at."""
FILTERS: Final = ("room", "type", "participant", "session_id")
OF_STREAM: Final = frozenset({*FILTERS, "ticket", "last_event_id", "snapshot", "replay"})
"""All parameters of a stream."""
_MOST_REPORTED: Final = 10
"""How many unknown parameters, and values that look like mistakes, are reported."""
_SHOWN: Final = 40
"""Characters of what was sent that a message repeats."""
_TYPE: Final = re.compile(TYPE_PATTERN)
_MOST_KEPT: Final = 200
"""Characters of a query that is remembered."""


class StreamQuery:
    """The query of a stream; each part is parsed, and refused, on access.

    Attributes:
        ticket: the credential in it, or None.
        resume: `last_event_id`, or None.
    """

    def __init__(self, args: MultiDict[str, str], text: str) -> None:
        self._args = args
        self._text = text
        self.ticket = args.get("ticket")
        self.resume = args.get("last_event_id")

    @cached_property
    def ignored(self) -> list[str]:
        """Names of unknown parameters, the first ten: misspelt filters, or a client's own."""
        return [name[:_SHOWN] for name in self._args if name not in OF_STREAM][:_MOST_REPORTED]

    @cached_property
    def warnings(self) -> list[str]:
        """A sentence for each filter value that looks like a mistake, the first ten."""
        return warnings(self._args, self._text)

    @cached_property
    def interest(self) -> Interest:
        """The filters; raises as `filters`."""
        return filters(self._args)

    @cached_property
    def snapshot(self) -> bool:
        """Whether the rooms' state comes first; raises as `flag`."""
        return flag(self._args, "snapshot")

    @cached_property
    def replay(self) -> int:
        """How many earlier events come first; raises as `count`."""
        return count(self._args, "replay", 0, MAX_REPLAY)


def of_stream(text: str) -> StreamQuery:
    """Read the query string of a stream: thousands of pages send the same one.

    Args:
        text: as in the environ (PEP 3333).
    """
    # A ticket is a secret, and no two pages have the same; encoded, its name may look different.
    if len(text) > _MOST_KEPT or "ticket" in text or "%" in text:
        return _read(text)
    return _remembered(text)


def _read(text: str) -> StreamQuery:
    return StreamQuery(Request({"QUERY_STRING": text}).args, text)


_remembered = lru_cache(maxsize=512)(_read)


def only(args: MultiDict[str, str], known: Collection[str], repeatable: Collection[str] = ()) -> None:
    """Refuse a parameter that nothing reads, or all but one value of: the answer would be to another question.

    Args:
        args: the parameters.
        known: the names that may be given.
        repeatable: those of `known` that may be given several times.

    Raises:
        BadRequest: there is one; names it.
    """
    for name, values in args.lists():
        if name not in known:
            raise BadRequest(
                f"{name[:_SHOWN]!r} is not a parameter of this endpoint; it accepts {', '.join(known) or 'none'}.",
                field=name[:_SHOWN],
            )
        if len(values) > 1 and name not in repeatable:
            raise BadRequest(f"{name} is given {len(values)} times; it accepts one value.", field=name)


def filters(args: MultiDict[str, str]) -> Interest:
    """Read the filters; each key may be repeated.

    Raises:
        BadRequest: a key has more than `MOST_VALUES` values.
    """
    for name in FILTERS:
        given = len(args.getlist(name))
        if given > MOST_VALUES:
            raise BadRequest(
                f"{name} is given {given} times; at most {MOST_VALUES} are accepted: open several streams.",
                field=name,
            )
    room, kind, participant, session = (frozenset(args.getlist(name)) or None for name in FILTERS)
    return Interest(rooms=room, types=kind, participants=participant, sessions=session)


def warnings(args: MultiDict[str, str], text: str) -> list[str]:
    """Return a sentence for each filter value that looks like a mistake, the first ten.

    Args:
        args: the parameters.
        text: the query string that they were read from.
    """
    given = ((name, value) for name in FILTERS for value in args.getlist(name))
    found = (_doubt(name, value, plus="+" in text) for name, value in given)
    return list(islice((sentence for sentence in found if sentence), _MOST_REPORTED))


def _doubt(name: str, value: str, *, plus: bool) -> str:
    shown = f"{name}={value[:_SHOWN]!r}"
    if not value.strip():
        return f"{shown} is empty: it matches only events with an empty {name}."
    if plus and " " in value:
        return f"{shown}: a + in a URL means a space; for a +, send %2B."
    if "," in value:
        return f"{shown} is one value that contains a comma; for several, repeat the parameter: {name}=a&{name}=b."
    if name == "type" and not _TYPE.fullmatch(value):
        return f"{shown} is not a valid type (letters, digits and _ . : - only): it matches nothing."
    if value != value.strip():
        return f"{shown} starts or ends with a space: it matches only values that do, too."
    return ""


def count(args: MultiDict[str, str], name: str, default: int, most: int, *, least: int = 0) -> int:
    """Read a count; more than `most` counts as `most`.

    Raises:
        BadRequest: not a count.
    """
    text = args.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text) >= least):
        raise BadRequest(f"{name}={text[:_SHOWN]!r}: expected a count from {least} to {most}.", field=name)
    return min(int(text), most)


def choice(args: MultiDict[str, str], name: str, words: Collection[str], default: str) -> str:
    """Read one of some words; empty is the default.

    Raises:
        BadRequest: it is none of them.
    """
    return one_of(name, args.get(name) or default, words)


def one_of(name: str, text: str, words: Collection[str]) -> str:
    """Return a value that is one of some words.

    Raises:
        BadRequest: it is none of them.
    """
    if text not in words:
        raise BadRequest(f"{name}={text[:_SHOWN]!r}: expected one of {', '.join(words)}.", field=name)
    return text


def flag(args: MultiDict[str, str], name: str) -> bool:
    """Read a flag: 1 or true.

    Raises:
        BadRequest: something else.
    """
    text = args.get(name, "")
    if text.lower() not in ("", "0", "1", "true", "false"):
        raise BadRequest(f"{name}={text[:_SHOWN]!r}: expected 1 or 0.", field=name)
    return text.lower() in ("1", "true")
