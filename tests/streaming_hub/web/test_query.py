"""The query string of a stream: read once for all who send the same one."""

from __future__ import annotations

import pytest

from streaming_hub.access import ALL_SCOPES
from streaming_hub.errors import BadRequest
from streaming_hub.web import query
from streaming_hub.web.openapi.describe import describe
from tests.kit.callers import ask, hub

DOCUMENT = describe(ALL_SCOPES)


def test_what_thousands_ask_for_is_read_once() -> None:
    assert query.of_stream("room=a&room=b") is query.of_stream("room=a&room=b")
    assert query.of_stream("room=a&room=b").interest.rooms == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("room=call-_+15551234567", "room='call-_ 15551234567': a + in a URL means a space"),
        ("type=a,b", "type='a,b' is one value that contains a comma"),
        ("room=a%2Cb", "room='a,b' is one value"),
        ("participant=", "participant='' is empty"),
        ("type=error%20", "type='error ' is not a valid type"),
        ("type=%22error%22", "is not a valid type"),
        ("session_id=%20s", "starts or ends with a space"),
        ("ticket=t&room=a+b", "room='a b': a + in a URL"),
    ],
)
def test_a_filter_that_looks_like_a_mistake_is_reported(text: str, part: str) -> None:
    (sentence,) = query.of_stream(text).warnings
    assert part in sentence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "room=call-_%2B15551234567",
        "room=two%20words",
        "type=a&type=b",
        "type=x.y:z-1",
        "last_event_id=a+b",
        "q=,",
    ],
)
def test_a_filter_that_may_be_meant_is_not(text: str) -> None:
    assert query.of_stream(text).warnings == []


def test_ten_mistakes_are_reported_at_most() -> None:
    assert len(query.of_stream("&".join(["type=a,b"] * 30)).warnings) == 10


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


def test_a_page_of_stored_events_lists_mistaken_filters_too() -> None:
    found = ask(hub(), "GET", "/api/events?room=a+b&type=x").get_json()
    assert [sentence[:12] for sentence in found["warnings"]] == ["room='a b': "]
    assert "warnings" not in ask(hub(), "GET", "/api/events?room=a%20b").get_json()
