"""Converts any Python value to plain JSON data, and any text to valid Unicode. Pure.

Written by hand because `msgspec.to_builtins` and pydantic raise on an unknown type, a cycle or a lone surrogate, but an
event must be sent whatever a tool returned.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import uuid
from collections import deque
from collections.abc import Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LEVELS = 24
"""Maximum levels of nesting in a value; the hub accepts 32 for a whole event."""
MAX_VALUES = 10_000
"""Maximum values converted per event, so that a large object graph does not stall the session."""

CIRCULAR = "[circular]"
TOO_DEEP = "[nested too deeply]"
TOO_MANY = "[too many values]"
MORE = "[{} more]"
UNREADABLE = "[{} cannot be read: {}]"
"""Replaces a value whose own code raises. Arguments: the names of its class and of the exception."""

_LARGEST_INT = 2**63


def repair(text: str) -> str:
    """Return text as valid Unicode: surrogate pairs joined, each lone surrogate replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def complete(text: str) -> str:
    """Return text without a trailing high surrogate, whose other half may still arrive."""
    return text[:-1] if text and "\ud800" <= text[-1] <= "\udbff" else text


def text_of(value: Any, read: Callable[[Any], str] = str) -> str:
    """Return a value's `str()` or `repr()` as valid Unicode, or `UNREADABLE` if that raises."""
    try:
        return repair(read(value))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the value's own code may raise anything
        return UNREADABLE.format(type(value).__name__, type(error).__name__)


def plain(value: Any) -> Any:
    """Convert a value to JSON data: None, bool, int, float, str, list, dict with str keys.

    Enums become their value, dates ISO 8601, durations seconds, bytes base64, sets sorted lists; dataclasses,
    pydantic models, msgspec structs, attrs classes, named tuples and other objects become an object of their
    public fields (those declared `repr=False` or `exclude=True` are left out). NaN and the infinities become
    text, and so does a value whose own code raises (`UNREADABLE`). Never raises.
    """
    return _Plainer().plain(value, 0)


class _Plainer:
    def __init__(self) -> None:
        self._left = MAX_VALUES
        self._open: set[int] = set()

    def plain(self, value: Any, level: int) -> Any:  # noqa: PLR0911  # one check for each simple type
        self._left -= 1
        kind = type(value)
        if kind is str:
            return repair(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -_LARGEST_INT <= value < _LARGEST_INT else _digits(value)
        if kind is float:
            return value if math.isfinite(value) else json.dumps(value)
        if self._left < 0:
            return TOO_MANY
        if level > MAX_LEVELS:
            return TOO_DEEP
        if id(value) in self._open:
            return CIRCULAR
        self._open.add(id(value))
        try:
            return self._convert(value, level)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the value's own code, such as its `__str__`, may raise anything
            return UNREADABLE.format(type(value).__name__, type(error).__name__)
        finally:
            self._open.discard(id(value))

    def _convert(self, value: Any, level: int) -> Any:  # noqa: PLR0911  # one check for each kind
        if isinstance(value, enum.Enum):
            return self.plain(value.value, level)
        if (scalar := _scalar(value)) is not None:
            return scalar
        if getattr(type(value), "__pydantic_root_model__", False) is True:
            return self.plain(value.root, level)
        if (fields := _fields(value)) is not None:
            return self._object(fields, level)
        if isinstance(value, AbstractSet):
            return sorted(self._array(value, level), key=lambda item: json.dumps(item, sort_keys=True))
        if isinstance(value, Sequence | deque | ValuesView):
            return self._array(value, level)
        # NumPy and similar libraries.
        numeric = hasattr(value, "dtype") and callable(getattr(value, "tolist", None))
        return self.plain(value.tolist(), level) if numeric else self._other(value, level)

    def _array(self, values: Any, level: int) -> list[Any]:
        found: list[Any] = []
        for value in values:
            if self._left < 0:
                found.append(MORE.format(len(values) - len(found)))
                break
            found.append(self.plain(value, level + 1))
        return found

    def _object(self, fields: Mapping[Any, Any], level: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        last: dict[str, int] = {}
        for key, value in fields.items():
            if self._left < 0:
                found[_unused(MORE.format(len(fields) - len(found)), found, last)] = None
                break
            found[_unused(self._key(key, level), found, last)] = self.plain(value, level + 1)
        return found

    def _key(self, key: Any, level: int) -> str:
        if type(key) is str:
            return repair(key)
        named = self.plain(key, level + 1)
        return named if isinstance(named, str) else json.dumps(named, ensure_ascii=False)

    def _other(self, value: Any, level: int) -> Any:
        kind = type(value)
        if isinstance(value, BaseException):
            return {"error": kind.__name__, "message": repair(str(value))}
        if isinstance(value, ModuleType):
            return {"object": value.__name__}
        if isinstance(value, type) or callable(value):
            return _name_only(value)
        if getattr(kind, "__str__", None) is not object.__str__:
            return repair(str(value))
        attributes = {
            name: getattr(value, name)
            for name in [*getattr(value, "__dict__", {}), *_slots(kind)]
            if not name.startswith("_") and hasattr(value, name)
        }
        return self._object(attributes, level) if attributes else _name_only(value)


def _scalar(value: Any) -> Any:  # noqa: PLR0911  # one line for each kind
    if isinstance(value, str):
        return repair(str.__str__(value))
    if isinstance(value, int):
        return _digits(value) if abs(value) >= _LARGEST_INT else int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else json.dumps(float(value))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal | uuid.UUID | complex):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, os.PathLike):
        return repair(os.fsdecode(value))
    if callable(getattr(value, "get_secret_value", None)):
        return "**********"
    return None


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """Return the fields that a value's class declares; None if it declares none."""
    kind = type(value)
    if isinstance(value, Mapping | type):
        return value if isinstance(value, Mapping) else None
    if dataclasses.is_dataclass(value):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value) if item.repr}
    model = getattr(kind, "model_fields", None)
    if isinstance(model, dict):
        shown = {name: getattr(value, name) for name, item in model.items() if item.repr and not item.exclude}
        computed = {n: getattr(value, n) for n, item in kind.model_computed_fields.items() if item.repr}
        return shown | (getattr(value, "model_extra", None) or {}) | computed
    for declared in ("__struct_fields__", "_fields"):
        if isinstance(names := getattr(kind, declared, None), tuple):
            return {name: getattr(value, name) for name in names}
    attributes: Any = getattr(kind, "__attrs_attrs__", None)
    return attributes and {item.name: getattr(value, item.name) for item in attributes if item.repr}


def _slots(kind: type) -> list[str]:
    found: list[str] = []
    for one in kind.__mro__:
        slots = one.__dict__.get("__slots__", ())
        found += [slots] if isinstance(slots, str) else list(slots)
    return found


def _digits(number: int) -> str:
    # CPython refuses to convert integers of over 4300 digits to decimal
    return str(number) if number.bit_length() < 4096 else hex(number)


def _name_only(value: Any) -> dict[str, str]:
    named = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    return {"object": repair(str(getattr(named, "__qualname__", type(value).__name__)))}


def _unused(key: str, taken: Mapping[str, Any], last: dict[str, int]) -> str:
    """Return the key, numbered if another key has the same text (1 and "1").

    Args:
        key: The key.
        taken: The keys so far.
        last: The last number used for each text, so that thousands of equal keys do not take quadratic time; updated.
    """
    found, number = key, last.get(key, 1)
    while found in taken:
        number += 1
        found = f"{key} ({number})"
    last[key] = number
    return found
