"""What is an event, and what is refused: the field is named, and nothing ever becomes a 500."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.errors import (
    BadRequest,
    HubError,
    InvalidEvent,
    TooLarge,
)
from streaming_hub.events import posted as events
from streaming_hub.events.stored import encode
from streaming_hub.events.types import CONTROL_TYPES, PROCESS_TYPES
from tests.streaming_hub.making import NOW, posted

if TYPE_CHECKING:
    from collections.abc import Callable

DIGITS_400 = b"9" * 400

NOT_JSON = [
    b"",
    b"   ",
    b"{",
    b'{"type":"a"',
    b'{"type":"a"}x',
    b'{"type":"a"}{"type":"b"}',
    b'{"type":"a",}',
    b"{'type':'a'}",
    b'\xef\xbb\xbf{"type":"a"}',
    b'{"type":"a","x":"line\nbreak"}',
    b'{"type":"a","x":"\x00"}',
    b'{"type":"a","x":"\xff"}',
    b'{"type":"a","x":"\xed\xa0\x80"}',
    b'{"type":"a","x":"\\ud800"}',
    b'{"type":"a","x":"\\udc00"}',
    b'{"type":"a","\\ud800":1}',
    b'{"type":"a","x":NaN}',
    b'{"type":"a","x":Infinity}',
    b'{"type":"a","x":-Infinity}',
    b'{"type":"a","x":01}',
    b'{"type":"a","x":.5}',
]
INVALID = [
    b"null",
    b"1",
    b'"type"',
    b"true",
    b"[]",
    b"{}",
    b'{"x":1}',
    b'{"type":"a","x":1e400}',
    b'{"type":"a","x":-1e400}',
    b'{"type":"a","x":[{"y":' + DIGITS_400 + b"}]}",
    b'{"type":"a","x":-' + DIGITS_400 + b"}",
    b'{"type":"a","x":' + b"9" * 5000 + b"}",
    b'{"type":"a","timestamp":' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        events.parse_one(body)


@pytest.mark.parametrize("body", INVALID, ids=lambda body: body[:30].decode())
def test_json_that_is_not_an_event_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        events.parse_one(body)


@pytest.mark.parametrize("digits", [308, 309, 310])
def test_integers_reach_as_far_as_doubles_do(digits: int) -> None:
    largest = 10 ** (digits - 1)
    if digits <= 309:
        assert events.fields_of(posted(x=largest))["x"] == largest
    else:
        with pytest.raises(InvalidEvent, match="310 digits"):
            posted(x=[{"y": largest}])


def test_long_digits_in_a_string_are_only_text() -> None:
    assert posted(x="9" * 400).body.count(b"9") == 400


@pytest.mark.parametrize(
    "kind",
    [
        *(None, 1, True, [], {}, "", "1a", "_a", "a b", "a\n", "\na", "ä", "a/b", "a" * 65),
        *sorted(CONTROL_TYPES | PROCESS_TYPES),
    ],
)
def test_a_type_that_may_not_be_posted_is_named(kind: Any) -> None:
    with pytest.raises(InvalidEvent) as caught:
        posted(kind)
    assert caught.value.extra["field"] == "type"
    assert "type" in caught.value.detail


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "type is missing: expected a letter, "),
        (b'{"type":null}', "type: null: expected a letter, "),
        (b'{"type":true}', "type: a boolean: expected a letter, "),
        (b'{"type":7}', "type: 7: expected a letter, "),
        (b'{"type":"a","room":null}', "room: null: expected a string"),
        (b'{"type":"a","timestamp":null}', "timestamp: null: expected seconds"),
    ],
)
def test_a_refusal_says_what_was_found_in_the_words_of_json(body: bytes, said: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        events.parse_one(body)
    assert caught.value.detail.startswith(said)


@pytest.mark.parametrize("kind", ["a", "A", "agent_ready", "x.y:z-1", "a" * 64, "Heartbeat", "connected2"])
def test_a_type_of_ones_own_is_taken(kind: str) -> None:
    assert posted(kind).type == kind


def test_only_the_server_makes_process_events() -> None:
    assert events.make({"type": "agent_process", "state": "ready"}).type == "agent_process"
    with pytest.raises(InvalidEvent):
        events.make({"type": "heartbeat"})


@pytest.mark.parametrize("name", ["room", "session_id", "participant", "role", "turn_id", "event_id"])
@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}, "a\r", "a\nb", "\x00"])
def test_a_string_field_that_is_none_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidEvent) as caught:
        posted(**{name: value})
    assert caught.value.extra["field"] == name


@pytest.mark.parametrize("value", ["", "x", "a b", "ä", "😀", "a\tb", "\u2028", "\x85", "a" * 5000])
def test_other_strings_are_taken_as_they_are(value: str) -> None:
    taken = posted(room=value, session_id=value, participant=value, role=value, turn_id=value, event_id=value)
    assert {taken.room, taken.session_id, taken.participant, taken.role} == {value}
    assert taken.event_id == (value or None)


def test_an_empty_event_id_makes_no_event_a_repeat_of_another() -> None:
    assert events.parse_one(b'{"type":"a","event_id":""}', idempotency_key="k").event_id == "k"


@pytest.mark.parametrize("value", [None, True, "1", "", [], {}, -1, -0.001, 1e11, 10**11, 10**300])
def test_a_timestamp_out_of_range_is_named(value: Any) -> None:
    with pytest.raises(InvalidEvent) as caught:
        posted(timestamp=value)
    assert caught.value.extra["field"] == "timestamp"


@pytest.mark.parametrize("value", [0, 0.0, 1, 1695123456.789, 99_999_999_999, 99_999_999_999.5])
def test_a_timestamp_in_range_stays_as_posted(value: float) -> None:
    taken = posted(timestamp=value)
    assert taken.stamped
    assert json.loads(encode("e", 1, taken, NOW).data)["timestamp"] == value


@pytest.mark.parametrize("value", ["x", None, 1, {}])
@pytest.mark.parametrize("name", ["id", "\\u0069d"])
def test_a_posted_id_is_refused_with_a_word_about_event_id(name: str, value: Any) -> None:
    body = b'{"type":"a","%b":%b}' % (name.encode(), json.dumps(value).encode())
    with pytest.raises(InvalidEvent, match="event_id") as caught:
        events.parse_one(body)
    assert caught.value.extra["field"] == "id"


def test_of_duplicate_keys_the_last_counts() -> None:
    assert events.parse_one(b'{"type":"heartbeat","type":"a","room":1,"room":"x"}').room == "x"
    with pytest.raises(InvalidEvent):
        events.parse_one(b'{"type":"a","type":"heartbeat"}')


@pytest.mark.parametrize(("levels", "good"), [(31, True), (32, False), (5000, False), (30_000, False)])
@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_ends_at_32_levels(levels: int, good: bool, pair: tuple[bytes, bytes]) -> None:
    levels = min(levels, 9000) if pair[0] != b"[" else levels
    body = b'{"type":"a","x":' + pair[0] * levels + b"1" + pair[1] * levels + b"}"
    if good:
        events.parse_one(body)
    else:
        with pytest.raises(InvalidEvent, match="32"):
            events.parse_one(body)


def test_unclosed_brackets_are_an_error_like_any_other() -> None:
    with pytest.raises((BadRequest, InvalidEvent)):
        events.parse_one(b"[" * 60_000)
    with pytest.raises((BadRequest, InvalidEvent)):
        events.parse_array(b"[" * 1_000_000)


def test_brackets_within_strings_are_no_levels() -> None:
    posted(x="[{" * 500, y='\\"[[[' * 100)


def test_the_size_counts_bytes_as_posted() -> None:
    head = b'{"type":"a","x":"'
    fits = head + "é".encode() * ((65_536 - len(head) - 2) // 2)
    fits += b"a" * (65_536 - len(fits) - 2) + b'"}'
    assert len(fits) == 65_536
    assert events.parse_one(fits).body == fits
    with pytest.raises(TooLarge, match="65537"):
        events.parse_one(fits + b" ")


def test_a_batch_has_at_most_a_thousand_events_and_a_mebibyte() -> None:
    one = b'{"type":"a"}'
    assert len(events.parse_array(b"[" + b",".join([one] * 1000) + b"]")) == 1000
    assert len(events.parse_ndjson(b"\n".join([one] * 1000))) == 1000
    with pytest.raises(TooLarge, match="1001"):
        events.parse_array(b"[" + b",".join([one] * 1001) + b"]")
    with pytest.raises(TooLarge, match="1001"):
        events.parse_ndjson(b"\n".join([one] * 1001))
    for parse in (events.parse_array, events.parse_ndjson):
        with pytest.raises(TooLarge, match="1048577"):
            parse(b" " * 1_048_577)


GOOD = [
    b'{"type":"a"}',
    b'{"type":"transcript","is_final":false,"segment_id":"s","room":"r","x":[{}]}',
    b'{"type":"b","timestamp":1,"audience":"operator"}',
    b'{ "type":"c",\n"x":"y"\r\n}',
    b'{"type":"d","x":' + b"9" * 308 + b"}",
    b'{"type":"e","x":"' + DIGITS_400 + b'"}',
    b'{"type":"f","x":' + b"[" * 31 + b"]" * 31 + b"}",
]


TOO_DEEP = b'{"type":"g","x":' + b"[" * 40 + b"]" * 40 + b"}"


@given(st.lists(st.sampled_from([*GOOD * 3, *INVALID, TOO_DEEP]), max_size=5))
def test_an_array_is_read_as_its_events_are_one_by_one(parts: list[bytes]) -> None:
    def one_by_one() -> list[events.Event]:
        return [events.parse_one(part) for part in parts]

    def as_array() -> list[events.Event]:
        return events.parse_array(b"[" + b" , ".join(parts) + b"]")

    def outcome(read: Callable[[], list[events.Event]]) -> object:
        try:
            return read()
        except HubError as error:
            return type(error)

    assert outcome(as_array) == outcome(one_by_one)


def test_a_deep_event_beside_shallow_values_is_refused() -> None:
    deep = b'{"type":"a","x":' + b"[" * 900 + b"]" * 900 + b"}"
    with pytest.raises(InvalidEvent, match="32"):
        events.parse_array(b"[" + b",".join([deep, *[b"1"] * 999]) + b"]")


def test_an_error_in_a_batch_names_its_place() -> None:
    with pytest.raises(InvalidEvent) as caught:
        events.parse_array(b'[{"type":"a"},{"type":"b","room":7}]')
    assert caught.value.extra["field"] == "[1].room"
    assert "[1]" in caught.value.detail
    with pytest.raises(BadRequest, match=r"\[1\]"):
        events.parse_ndjson(b'{"type":"a"}\nnope\n')
    with pytest.raises(TooLarge, match=r"\[1\]"):
        events.parse_array(b'[{"type":"a"},{"type":"b","x":"' + b"x" * 65_536 + b'"}]')
    with pytest.raises(InvalidEvent, match=r"\[0\]"):
        events.parse_array(b"[[]]")


@pytest.mark.parametrize("body", [b"[", b"[1,]", b'{"type":"a"}', b"[] []", b"[\xff]", b"null"])
def test_what_is_no_array_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(HubError) as caught:
        events.parse_array(body)
    assert caught.value.status in (400, 422)


def test_ndjson_skips_blank_lines_and_takes_crlf() -> None:
    read = events.parse_ndjson(b'\n{"type":"a"}\r\n\r\n  \n{"type":"b"}')
    assert [one.type for one in read] == ["a", "b"]
    assert events.parse_ndjson(b"") == []
    assert events.parse_array(b" [ ] ") == []


def test_line_breaks_between_tokens_do_not_reach_the_stream() -> None:
    body = b'\r\n {\r\n"type"\n:\r"a",\n"text":"x\\r\\ny"\n}\n'
    taken = events.parse_one(body)
    assert b"\n" not in taken.body
    assert b"\r" not in taken.body
    assert json.loads(taken.body) == {"type": "a", "text": "x\r\ny"}


def test_numbers_and_unknown_fields_travel_as_they_were_written() -> None:
    text = '{"type":"a","big":12345678901234567890123,"exact":0.10000000000000000001,"o":[null,1E5],"é":"\\u00e9"}'
    data = encode("e", 1, events.parse_one(text.encode()), NOW).data.decode()
    assert data.endswith(text[1:])


def test_an_idempotency_key_stands_in_for_a_missing_event_id() -> None:
    assert events.parse_one(b'{"type":"a"}', idempotency_key="k").event_id == "k"
    assert events.parse_one(b'{"type":"a","event_id":"own"}', idempotency_key="k").event_id == "own"
    first, second, own = events.parse_array(
        b'[{"type":"a"},{"type":"a"},{"type":"a","event_id":"own"}]', idempotency_key="k"
    )
    assert len({first.event_id, second.event_id, "k"}) == 3
    assert own.event_id == "own"


@pytest.mark.parametrize(
    ("fields", "segment"),
    [
        ({"type": "transcript", "is_final": False, "segment_id": "s"}, "s"),
        ({"type": "transcript", "is_final": True, "segment_id": "s"}, None),
        ({"type": "transcript", "is_final": 0, "segment_id": "s"}, None),
        ({"type": "transcript", "segment_id": "s"}, None),
        ({"type": "transcript", "is_final": False}, None),
        ({"type": "transcript", "is_final": False, "segment_id": 7}, None),
        ({"type": "note", "is_final": False, "segment_id": "s"}, None),
    ],
)
def test_only_an_interim_with_a_segment_can_be_superseded(
    fields: dict[str, Any], segment: str | None
) -> None:
    assert events.parse_one(json.dumps(fields).encode()).segment == segment


def test_a_redacted_event_is_checked_again_and_keeps_its_event_id() -> None:
    taken = posted("transcript", text="secret", event_id="1", room="r")
    changed = events.rebuild(taken, {"type": "transcript", "text": "***"})
    assert (changed.event_id, changed.room) == ("1", None)
    assert events.fields_of(changed) == {"type": "transcript", "text": "***"}
    for wrong in (None, [], "x", {"type": "heartbeat"}, {"text": "x"}, {"type": "a", "id": "x"}):
        with pytest.raises(InvalidEvent):
            events.rebuild(taken, wrong)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=10), json_values, max_size=6), st.booleans())
def test_whatever_is_posted_comes_out_as_it_went_in_or_is_refused(
    fields: dict[str, Any], ascii_only: bool
) -> None:
    body = json.dumps({**fields, "type": "a"}, ensure_ascii=ascii_only, indent=1).encode("utf-8")
    taken = _parsed(events.parse_one, body)
    if isinstance(taken, HubError):
        assert taken.status in (400, 413, 422)
        return
    frame = encode("abc", 7, taken, NOW).frame
    assert frame.startswith(b"id: abc-7\ndata: ")
    assert frame.endswith(b"\n\n")
    assert frame.count(b"\n") == 3
    assert b"\r" not in frame
    expected = {"timestamp": NOW, **fields, "type": "a", "id": "abc-7"}
    assert json.loads(frame.split(b"data: ", 1)[1]) == expected


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: ('{"type":"a","x":' + text).encode()))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    for parse in (events.parse_one, events.parse_array, events.parse_ndjson):
        found = _parsed(parse, body)
        assert not isinstance(found, HubError) or found.status in (400, 413, 422)


def _parsed(parse: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return parse(body)
    except HubError as error:
        return error


def test_an_unterminated_string_of_quotes_is_refused_in_linear_time() -> None:
    # Doubling the length must not cost four times as much: at 64 KiB the quadratic way took 13 s.
    def cost(quotes: int) -> float:
        body = b'[["' + b'\\"' * quotes
        begin = time.perf_counter()
        for _ in range(5):
            with pytest.raises(HubError):
                events.parse_one(body)
        return time.perf_counter() - begin

    assert min(cost(31_000) for _ in range(3)) < 40 * min(cost(3_100) for _ in range(3))
