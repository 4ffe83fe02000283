"""Errors for a body that an endpoint does not accept: the field, and what it takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from streaming_hub.errors import BadRequest, InvalidBody
from streaming_hub.web import bodies


class Inner(msgspec.Struct):
    name: str


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["auto", "livekit", "rehearsal"] = "auto"
    wait: Annotated[float, msgspec.Meta(le=60)] = 0.0
    inner: list[Inner] = []


def test_what_fits_is_read() -> None:
    assert bodies.read(b'{"mode":"livekit","wait":3}', Asked) == Asked("livekit", 3)


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        (b'{"mode":"Livekit"}', "mode", "mode: 'Livekit': expected auto, livekit or rehearsal."),
        (b'{"mode":"a\\nb"}', "mode", "mode: 'a\\nb': expected auto, livekit or rehearsal."),
        (b'{"mode":7}', "mode", "mode: expected auto, livekit or rehearsal."),
        (b'{"wait":"x"}', "wait", "wait: expected `float`, got `str`."),
        (b'{"wait":99}', "wait", "wait: expected `float` <= 60.0."),
        (b'{"moed":"auto"}', "moed", "moed: not a field of this body; it accepts mode, wait, inner."),
        (b'{"inner":[{"name":1}]}', "inner[0].name", "inner[0].name: expected `str`, got `int`."),
        (b'{"inner":[{}]}', "inner[0].name", "inner[0].name: it is missing."),
        (b"[]", None, "Expected `object`, got `array`."),
    ],
)
def test_the_field_is_named(body: bytes, field: str | None, detail: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        bodies.read(body, Asked)
    assert caught.value.detail == detail
    assert caught.value.extra.get("field") == field


def test_what_was_sent_is_said_back_shortly() -> None:
    for body in (b'{"mode":"%s"}', b'{"%s":1}'):
        with pytest.raises(InvalidBody) as caught:
            bodies.read(body % (b"x" * 10_000), Asked)
        assert len(caught.value.detail) < 300


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":' + b"[" * 5000])
def test_what_is_no_json_is_another_error(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^The body is not JSON: "):
        bodies.read(body, dict[str, Any])
