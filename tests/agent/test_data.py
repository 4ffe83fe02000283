"""Any value as JSON data, any text as Unicode, any event within its size."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import pathlib
import uuid
from typing import Any

import attrs
import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.data import CIRCULAR, MAX_LEVELS, MAX_VALUES, TOO_DEEP, complete, plain, repair
from agent.fitting import MAX_BYTES, cut_text, fit
from hub.event import MAX_EVENT_BYTES, parse_one

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
        (Broken(), {"object": "Broken"}),
        (loop(), {"a": 1, "self": CIRCULAR}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_become_data(value: Any, told: Any) -> None:
    assert plain(value) == told


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


def test_an_event_that_fits_is_not_changed() -> None:
    event = {"type": "note", "timestamp": 1.0, "text": "x" * 60_000, "truncated": "mine"}
    assert fit(event) == event


@pytest.mark.parametrize(
    ("field", "length"),
    [
        ("x" * 70_000, 70_000),
        ("ö€😀" * 10_000, 90_000),
        ('"\\\n' * 30_000, 90_000),
        (["x" * 100] * 1000, None),
        ({"deep": {"note": "x" * 70_000, "n": 1}}, None),
        ({"k" * 70_000: 1}, None),
        (list(range(10**11, 10**11 + 8000)), None),
        ({str(n): "y" * 60 for n in range(3000)}, None),
    ],
    ids=["text", "wide text", "escapes", "many", "nested", "key", "numbers", "fields"],
)
def test_a_long_field_is_cut_and_says_how_long_it_was(field: Any, length: int | None) -> None:
    whole = len(field.encode()) if isinstance(field, str) else len(msgspec.json.encode(plain(field)))
    fitted = fit({"type": "note", "timestamp": 1.0, "room": "r", "short": "kept", "value": field})
    body = msgspec.json.encode(fitted)
    assert len(body) <= MAX_BYTES
    assert fitted["truncated"] == {"value": length or whole}
    assert (fitted["short"], fitted["room"]) == ("kept", "r")
    assert len(body) > MAX_BYTES // 8, "cut far too much"
    assert parse_one(body).room == "r"


def test_several_long_fields_share_the_room() -> None:
    fitted = fit({"type": "note", "a": "x" * 100_000, "b": "y" * 100_000, "c": "z" * 1000})
    assert fitted["truncated"] == {"a": 100_000, "b": 100_000}
    assert fitted["c"] == "z" * 1000
    assert min(len(fitted["a"]), len(fitted["b"])) > 25_000


def test_even_a_name_that_is_too_long_leaves_an_event() -> None:
    fitted = fit({"type": "note", "participant": "p" * 80_000, "text": "hello"})
    assert len(msgspec.json.encode(fitted)) <= MAX_BYTES
    assert fitted["text"] == "hello"
    assert fitted["truncated"] == {"participant": 80_000}


def test_names_have_no_line_breaks() -> None:
    fitted = fit({"type": "note", "timestamp": 1.0, "participant": "a\nb\0", "text": "a\nb"})
    assert (fitted["participant"], fitted["text"]) == ("a\ufffdb\ufffd", "a\nb")
    assert parse_one(msgspec.json.encode(fitted)).participant == "a\ufffdb\ufffd"


@given(st.text(), st.integers(16, 200))
def test_a_cut_text_is_the_start_of_the_text(text: str, size: int) -> None:
    cut = cut_text(text, size)
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))
    assert len(msgspec.json.encode(cut)) <= size


def test_a_cut_does_not_part_a_character_from_its_marks() -> None:
    assert cut_text("ab" + "e\u0301" * 40, 20).removesuffix("…")[-1] == "\u0301"
    family = "👩\u200d👩\u200d👧"
    assert cut_text(family * 10, 30).removesuffix("…") in ("", family)


def test_what_the_poster_adds_still_fits() -> None:
    fitted = fit({"type": "note", "text": "x" * 100_000})
    added = {"event_id": str(uuid.uuid4()), "timestamp": 1795429993.123456, "lease": 15.0, "supervised": True}
    assert len(msgspec.json.encode(fitted | added)) <= MAX_EVENT_BYTES


def test_far_too_many_fields_are_left_out_and_counted() -> None:
    fitted = fit({"type": "note", "room": "r"} | {f"field-{n}": "y" * 60 for n in range(3000)})
    assert len(msgspec.json.encode(fitted)) <= MAX_BYTES
    assert fitted["room"] == "r"
    assert fitted["truncated"]["…"] > 60_000
    assert len(fitted) > 100
