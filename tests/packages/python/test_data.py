"""Any value as JSON data, any text as Unicode, any event within its size."""

from __future__ import annotations

import asyncio
import collections
import datetime
import decimal
import enum
import json
import pathlib
import time
import uuid
from typing import Any

import attrs
import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming_hub_client.data import (
    CIRCULAR,
    MAX_LEVELS,
    MAX_VALUES,
    TOO_DEEP,
    UNREADABLE,
    complete,
    plain,
    repair,
    text_of,
)
from streaming_hub_client.fitting import MAX_BYTES, fit

from streaming_hub.events.posted import parse_one

surrogate_text = st.text(st.characters(codec=None, exclude_categories=()) | st.sampled_from("\ud83d\ude00a"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | surrogate_text
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(surrogate_text | st.integers() | st.none(), inner),
)


class Color(enum.IntEnum):
    RED = 1


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self) -> None:
        self.x = 1


class Broken:
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no")


class Odd(Exception):
    pass


class Raising:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        raise self._error

    __repr__ = __str__


class Texted:
    def __str__(self) -> str:
        return "as text"


class Secret(pydantic.BaseModel):
    key: pydantic.SecretStr
    hidden: str = pydantic.Field(default="x", exclude=True)


class Row(msgspec.Struct):
    a: int


@attrs.define
class Fields:
    a: int
    b: str = attrs.field(default="x", repr=False)


class Order(pydantic.BaseModel):
    price: int = 2

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> int:
        return 3 * self.price

    @pydantic.computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def hidden(self) -> str:
        return "secret"


class Numbers(pydantic.RootModel[list[int]]):
    pass


Point = collections.namedtuple("Point", "x y")


def loop() -> Any:
    value: dict[str, Any] = {"a": 1}
    value["self"] = value
    return value


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


def generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Color.RED, 1),
        ({Color.RED: 1, "1": 2}, {"1": 1, "1 (2)": 2}),
        ({(1, 2): 3, None: 4, True: 5}, {"[1, 2]": 3, "null": 4, "true": 5}),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.timedelta(seconds=90), 90.0),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (bytearray(b"ab"), "YWI="),
        (float("-inf"), "-Infinity"),
        (2**63, str(2**63)),
        (1 << 20_000, hex(1 << 20_000)),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Row(1), {"a": 1}),
        (Order(), {"price": 2, "total": 6}),
        (Numbers([1, 2]), [1, 2]),
        ({"a": 1}.values(), [1]),
        (1 + 2j, "(1+2j)"),
        (Fields(1), {"a": 1}),
        (Slotted(), {"x": 1}),
        (Texted(), "as text"),
        (Secret(key="k"), {"key": "**********"}),  # type: ignore[arg-type]
        (np.float64(1.5), 1.5),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.int64(3), 3),
        (collections.deque([1]), [1]),
        (frozenset({2, 1}), [1, 2]),
        (ValueError("bad"), {"error": "ValueError", "message": "bad"}),
        (object(), {"object": "object"}),
        (Slotted, {"object": "Slotted"}),
        (generator(), {"object": "generator"}),
        (Broken(), UNREADABLE.format("Broken", "RuntimeError")),
        (Raising(ZeroDivisionError()), UNREADABLE.format("Raising", "ZeroDivisionError")),
        ({"a": Raising(Odd()), "b": 1}, {"a": UNREADABLE.format("Raising", "Odd"), "b": 1}),
        ([Raising(asyncio.CancelledError())], [UNREADABLE.format("Raising", "CancelledError")]),
        (loop(), {"a": 1, "self": CIRCULAR}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_become_data(value: Any, told: Any) -> None:
    assert plain(value) == told


@pytest.mark.parametrize("read", [str, repr])
def test_the_text_of_a_value_is_there_in_any_case(read: Any) -> None:
    assert text_of(ValueError("\ud83d\ude00 \udc00"), read) in (
        "😀 \ufffd",
        "ValueError('\\ud83d\\ude00 \\udc00')",
    )
    assert text_of(Raising(Odd()), read) == UNREADABLE.format("Raising", "Odd")


def test_the_same_value_twice_is_no_circle() -> None:
    shared = [1]
    assert plain({"a": shared, "b": shared}) == {"a": [1], "b": [1]}


def test_nesting_and_size_are_bounded() -> None:
    assert TOO_DEEP in json.dumps(plain(deep(MAX_LEVELS + 5)))
    many = plain(list(range(MAX_VALUES * 2)))
    assert many[-1] == f"[{MAX_VALUES * 2 - len(many) + 1} more]"
    assert MAX_VALUES - 5 < len(many) <= MAX_VALUES + 1
    assert TOO_DEEP in json.dumps(plain(deep(100_000)))


@given(values)
def test_everything_is_taken_by_the_hub(value: Any) -> None:
    fitted = fit({"type": "note", "timestamp": 1.0, "value": value})
    body = msgspec.json.encode(fitted)
    assert len(body) <= MAX_BYTES
    assert parse_one(body).type == "note"


@given(surrogate_text)
def test_repaired_text_is_unicode_and_text_that_is_stays(text: str) -> None:
    repaired = repair(text)
    repaired.encode()
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert repaired == text


def test_pairs_are_joined_and_the_rest_replaced() -> None:
    assert repair("a\ud83d\ude00\ud83d b\udc00") == "a😀\ufffd b\ufffd"
    assert complete("ab\ud83d") == "ab"


def test_a_module_is_its_name() -> None:
    assert plain({"of": json}) == {"of": {"object": "json"}}


def test_keys_that_read_the_same_cost_no_more_each() -> None:
    """The session's thread converts them."""

    def seconds(count: int) -> float:
        began = time.thread_time()
        assert list(plain({object(): n for n in range(count)}))[-1].endswith(f"({count})")
        return time.thread_time() - began

    few = min(seconds(500) for _ in range(5))
    assert seconds(4000) < 24 * few  # eight times as many; each against all others would be 64 times
