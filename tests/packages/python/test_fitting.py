"""Events that are too long are cut and say so; every event is one that the hub takes."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming_hub_client.data import plain
from streaming_hub_client.fitting import MAX_BYTES, cut_text, fit

from streaming_hub.events.posted import MAX_EVENT_BYTES, parse_one


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
