"""The query string of a stream: read once for all who send the same one."""

from __future__ import annotations

import pytest

from streaming_hub.access import ALL_SCOPES
from streaming_hub.errors import BadRequest
from streaming_hub.web import query
from streaming_hub.web.openapi import describe

DOCUMENT = describe(ALL_SCOPES)


def test_what_thousands_ask_for_is_read_once() -> None:
    assert query.of_stream("room=a&room=b") is query.of_stream("room=a&room=b")
    assert query.of_stream("room=a&room=b").interest.rooms == {"a", "b"}


def test_what_the_description_names_is_not_ignored() -> None:
    described = DOCUMENT["paths"]["/api/stream"]["get"]["parameters"]
    names = {one["name"] for one in described if one["in"] == "query"}
    assert names | {"ticket"} == query.OF_STREAM
    assert query.of_stream("&".join(f"{name}=1" for name in names)).ignored == []


@pytest.mark.parametrize("text", ["ticket=abc&room=a", "ticke%74=abc", f"room={'a' * 300}"])
def test_secrets_and_long_ones_are_not_remembered(text: str) -> None:
    assert query.of_stream(text) is not query.of_stream(text)


def test_a_part_is_refused_when_it_is_looked_at() -> None:
    asked = query.of_stream("replay=x&ticket=t&last_event_id=e-1")
    assert (asked.ticket, asked.resume, asked.snapshot) == ("t", "e-1", False)
    for _ in range(2):
        with pytest.raises(BadRequest, match="replay='x'"):
            _ = asked.replay
