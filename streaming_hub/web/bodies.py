"""A request's JSON body as a type, or an error that names the field and what it expects. Pure."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from streaming_hub.errors import BadRequest, InvalidBody
from streaming_hub.wording import listing

Asked = TypeVar("Asked")

MAX_SHOWN: Final = 100
"""Characters of what a client sent that are said back to it."""

_NOT_A_WORD: Final = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_NAMED: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)


def read(data: bytes, kind: type[Asked]) -> Asked:
    """Read a body.

    Raises:
        BadRequest: not JSON.
        InvalidBody: JSON, but not of this type; names the field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise refusal(error, kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}.") from error


def refusal(error: msgspec.ValidationError, kind: Any) -> InvalidBody:
    """Return the error for the client.

    Args:
        error: msgspec's; its text ends with the path of the field, where there is one.
        kind: the type that was expected.
    """
    what, _, path = str(error).rpartition(" - at `$")
    field = path.removesuffix("`").removeprefix(".") if what else ""
    what = what or str(error)
    named = _NAMED.fullmatch(what)
    if named:
        field = ".".join(filter(None, (field, named[2])))
        known = ", ".join(_fields(kind))
        what = (
            "it is missing"
            if named[1] == "missing required"
            else f"not a field of this body; it accepts {known}"
        )
    elif words := _words(_fields(kind).get(field)):
        sent = _NOT_A_WORD.fullmatch(what)
        said_back = f"{sent[1][:MAX_SHOWN]}: " if sent else ""
        what = f"{said_back}expected {words}"
    field = field[:MAX_SHOWN]
    if not field:
        return InvalidBody(f"{what}.")
    return InvalidBody(f"{field}: {what[0].lower()}{what[1:]}.", field=field)


def _fields(kind: Any) -> dict[str, msgspec.inspect.Type]:
    found = msgspec.inspect.type_info(kind)
    return (
        {one.encode_name: one.type for one in found.fields}
        if isinstance(found, msgspec.inspect.StructType)
        else {}
    )


def _words(kind: msgspec.inspect.Type | None) -> str:
    """Write the words that a field takes, if it takes only some."""
    if not isinstance(kind, msgspec.inspect.LiteralType):
        return ""
    return listing([str(value) for value in kind.values], "or")
