"""A body that is not JSON is refused with the mistake, not with where a parser stumbled."""

from __future__ import annotations

import codecs

import pytest

from streaming_hub.errors import BadRequest
from streaming_hub.events import posted

NOTE = '{"type":"note","text":"é"}'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (codecs.BOM_UTF8 + NOTE.encode(), "byte order mark"),
        (NOTE.encode("utf-16"), "UTF-16"),
        (NOTE.encode("utf-16-le"), "UTF-16"),
        (NOTE.encode("utf-16-be"), "UTF-16"),
        (NOTE.encode("utf-32"), "UTF-32"),
        (NOTE.encode("latin-1"), "byte 23 (0xe9) is not UTF-8"),
        (rb'{"type":"a","text":"\ud83d"}', "surrogate"),
        (rb'{"type":"a","text":"\ude00 x"}', "surrogate"),
        (rb'{"type":"a","text":"\ud83d\ud83d"}', "surrogate"),
        (rb'{"type":"a","\uDFFF":1}', "surrogate"),
        (b'{"type":"a","value":NaN}', "NaN"),
        (b'{"type":"a","value":[1,-Infinity]}', "Infinity"),
        (b'{"type":"a"}\n{"type":"b"}', "application/x-ndjson"),
        (b'{"type":"a"}\r\n{"type":"b"}\r\n\r\n', "application/x-ndjson"),
    ],
)
def test_the_usual_mistakes_are_named(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        posted.parse_one(body)
    assert caught.value.detail.startswith("not JSON: ")
    assert said in caught.value.detail
    assert caught.value.detail.endswith(".")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"type":"a","text":"\ud83d\ude00 NaN \\ud83d"',
        b'{"type":"a"} {"type":"b"}',
        b"{'type':'a'}",
        b'{"type":"NaN",}',
        b"<html>",
    ],
)
def test_whatever_else_is_wrong_is_told_by_the_parser(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        posted.parse_one(body)
    assert "JSON is malformed" in caught.value.detail or "truncated" in caught.value.detail


def test_an_array_is_told_likewise() -> None:
    with pytest.raises(BadRequest, match=r"Event \[1\]: not JSON: byte 1 \(0xe4\) is not UTF-8"):
        posted.parse_array(b'[{"type":"a"},"\xe4"]')
