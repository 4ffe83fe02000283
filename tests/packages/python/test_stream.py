"""The state of a stream: positions, gaps, pauses, refusals."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from streaming_hub_client.stream import (
    Gap,
    Item,
    Reading,
    Refused,
    Stream,
    Trouble,
    failure,
    hub_address,
    query_of,
)


def frame(event: dict[str, Any], event_id: str = "") -> bytes:
    return f"{f'id: {event_id}' if event_id else ':'}\ndata: {json.dumps(event)}\n\n".encode()


def stream(
    resume: str = "", *, replay: int | None = None, snapshot: bool = False, fixed: bool = False
) -> Stream:
    query = query_of(
        "http://hub", filters={"room": ["a", "b"], "type": None}, replay=replay, snapshot=snapshot
    )
    made = Stream(query, resume=resume, ticket_is_fixed=fixed)
    made.connect(None, None)
    return made


def asked(of: Stream) -> dict[str, list[str]]:
    return parse_qs(urlsplit(of.connect("k", None)[0]).query)


CONNECTED = {"type": "connected", "cursor": "e-5", "heartbeat": 2}


def test_the_address_of_a_hub_and_of_a_stream() -> None:
    assert (
        hub_address("http://h:1", "/api/stream")
        == hub_address("http://h:1/", "/api/stream")
        == "http://h:1/api/stream"
    )
    assert hub_address("https://h/own?x=1#y", "/api/stream") == "https://h/own?x=1"
    for wrong in ("h:1", "ftp://h", "", "http://", "http://u:p@h"):
        with pytest.raises(ValueError, match="url"):
            hub_address(wrong, "/api/stream")


def test_filters_repeat_and_no_compression_is_asked_for() -> None:
    url, headers = stream("e-3").connect("k", "t")
    assert parse_qs(urlsplit(url).query) == {"room": ["a", "b"], "ticket": ["t"], "last_event_id": ["e-3"]}
    assert headers["Accept-Encoding"] == "identity"
    assert (headers["Authorization"], headers["Last-Event-ID"]) == ("Bearer k", "e-3")


def test_control_events_are_not_handed_out_and_the_position_follows() -> None:
    one = stream()
    note = {"type": "note", "n": 1}
    received = one.receive(frame(CONNECTED) + frame(note, "e-6") + frame({"type": "heartbeat"}, "e-9"))
    assert received == [
        Item(None, "e-5", "live"),
        Item(note, "e-6", "live"),
        Item(None, "e-9", "live"),
    ]
    assert one.silence == 5
    assert asked(one)["last_event_id"] == ["e-9"]


def test_an_id_without_data_moves_the_position_and_an_empty_one_does_not() -> None:
    one = stream()
    received = one.receive(frame(CONNECTED) + b"id: e-8\n\nid\n\n")
    assert received == [Item(None, "e-5", "live"), Item(None, "e-8", "live")]
    assert asked(one)["last_event_id"] == ["e-8"]


def test_a_reset_cut_off_before_its_frame_is_asked_for_again() -> None:
    one = stream("old-1")
    assert one.receive(frame(CONNECTED)) == [Item(None, None, "live")]
    assert asked(one)["last_event_id"] == ["old-1"]
    reset = {"type": "stream_reset", "reason": "unknown_epoch", "missed": None, "oldest": "e-6"}
    assert one.receive(frame(CONNECTED) + frame(reset)) == [
        Item(None, None, "live"),
        Item(Gap(None, "unknown_epoch"), "e-5", "gap"),
    ]
    assert asked(one)["last_event_id"] == ["e-5"]


def test_a_skip_in_the_middle_continues_before_the_oldest() -> None:
    one = stream("e-1")
    reset = {"type": "stream_reset", "reason": "expired", "missed": 3, "oldest": "e-6"}
    one.receive(frame(CONNECTED) + frame({"type": "n"}, "e-2"))
    assert one.receive(frame(reset)) == [Item(Gap(3, "expired"), "e-5", "gap")]


def test_replay_and_snapshot_are_asked_for_until_they_have_come() -> None:
    one = stream(replay=7, snapshot=True)
    assert asked(one)["replay"] == ["7"]
    one.receive(frame(CONNECTED) + frame({"type": "snapshot"}))
    assert asked(one) == {"room": ["a", "b"], "last_event_id": ["e-5"], "snapshot": ["1"]}
    one.receive(frame({"type": "n"}, "e-6"))
    assert "snapshot" not in asked(one)


def test_pauses_double_with_jitter_and_server_waits_are_least_waits() -> None:
    one = stream()
    assert [one.pause(lived=0, asked=0, chance=0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert one.pause(lived=0, asked=0, chance=1) == 30
    assert one.pause(lived=11, asked=0, chance=1) == 1
    one.receive(b"retry: 40000\n\n")
    assert one.pause(lived=0, asked=0, chance=0) == 40
    one.opened()
    assert one.pause(lived=0, asked=50, chance=0) == 50
    one.receive(frame({"type": "goodbye", "reason": "draining", "retry_ms": 60000}))
    assert isinstance(one.error, Trouble)
    assert one.pause(lived=0, asked=0, chance=0) == 60


def test_an_expired_fixed_ticket_is_a_refusal() -> None:
    one, other = stream(fixed=True), stream()
    for each in (one, other):
        each.receive(frame({"type": "goodbye", "reason": "ticket_expired", "retry_ms": 1}))
    assert isinstance(one.error, Refused)
    assert isinstance(other.error, Trouble)


def test_damaged_data_is_passing_trouble() -> None:
    for data in (b"data: {\n\n", b"data: 1\n\n", b'data: {"type": 1}\n\n'):
        one = stream()
        one.receive(data)
        assert isinstance(one.error, Trouble)


@pytest.mark.parametrize("status", [200, 301, 408, 425, 429, 500, 502, 503])
def test_what_passes(status: int) -> None:
    assert isinstance(failure(status, {}, b"", url="http://h/?ticket=secret", key_kept=False), Trouble)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_what_is_a_refusal(status: int) -> None:
    body = json.dumps({"type": "about:blank", "title": "No", "status": status, "detail": "no"}).encode()
    found = failure(
        status, {"Content-Type": "application/problem+json"}, body, url="http://h", key_kept=False
    )
    assert isinstance(found, Refused)
    assert (found.status, found.detail) == (status, "no")
    other = failure(status, {"Server": "nginx"}, b"<html>", url="http://h/?ticket=secret", key_kept=False)
    assert isinstance(other, Refused)
    assert "nginx" in other.detail
    stranger = failure(
        status,
        {"Content-Type": "application/json"},
        b'{"detail":"Not Found"}',
        url="http://h",
        key_kept=False,
    )
    assert f"answered {status}, and not as a hub does" in str(stranger)
    airplay = failure(status, {"Server": "AirTunes/860.7.1"}, b"", url="http://h", key_kept=False)
    assert "AirPlay" in str(airplay)
    assert "secret" not in other.detail


def statuses(of: Stream, received: bytes) -> list[str]:
    return [item.status for item in of.receive(received)]


def test_a_stream_is_live_once_it_has_reached_the_head_of_its_connection() -> None:
    behind = {**CONNECTED, "cursor": "e-2", "head": "e-5"}
    one = stream("e-2")
    note, heart = {"type": "note"}, {"type": "heartbeat"}
    assert statuses(one, frame(behind)) == ["catching-up"]
    assert statuses(one, frame(note, "e-3") + frame(heart, "e-4")) == ["catching-up", "catching-up"]
    assert statuses(one, frame(heart, "e-5") + frame(note, "e-6")) == ["live", "live"]
    # Without a head, and where the cursor is of another history, nothing is to be caught up with.
    assert statuses(stream(), frame(CONNECTED)) == ["live"]
    assert statuses(stream(), frame({**CONNECTED, "head": "x-9"})) == ["live"]


def test_a_gap_lasts_until_the_head_is_reached() -> None:
    one = stream("e-1")
    behind = {**CONNECTED, "cursor": "e-7", "head": "e-9"}
    reset = {"type": "stream_reset", "reason": "expired", "missed": 6, "oldest": "e-8"}
    note = {"type": "note"}
    got = frame(behind) + frame(reset) + frame(note, "e-8") + frame(note, "e-9") + frame(note, "e-10")
    assert statuses(one, got) == ["catching-up", "gap", "gap", "live", "live"]


def test_what_gaps_skip_adds_up_until_one_is_unknown() -> None:
    class Reader(Reading):
        def take(self, *items: Item) -> list[Any]:
            self._waiting.extend(items)
            return list(iter(self._take_next, None))

    one = Reader("e-1")
    assert (one.position, one.status, one.missed, one.reason) == ("e-1", "connecting", 0, None)
    gaps = [Item(Gap(missed, "expired"), f"e-{missed}", "gap") for missed in (3, 4)]
    assert one.take(*gaps, Item(None, None, "live")) == [Gap(3, "expired"), Gap(4, "expired")]
    assert (one.position, one.status, one.missed, one.reason) == ("e-4", "live", 7, "expired")
    one.take(Item(Gap(None, "unknown_epoch"), "f-1", "gap"), gaps[0])
    assert one.missed is None


@pytest.mark.parametrize(
    ("said", "silence"),
    [
        ("1e999", 9000.0),
        ("1" + "0" * 400, 9000.0),
        ("1e-9", 0.25),
        ("-5", 37.5),
        ("true", 37.5),
        ('"x"', 37.5),
        ("[1]", 37.5),
        ("NaN", 37.5),
    ],
)
def test_a_heartbeat_that_cannot_be_is_bounded(said: str, silence: float) -> None:
    reading = stream()
    reading.receive(b'data: {"type":"connected","cursor":"e-1","heartbeat":%s}\n\n' % said.encode())
    assert reading.error is None
    assert reading.silence == silence


@pytest.mark.parametrize("said", ["1e999", "1" + "0" * 400, "-5", "true", '"x"', "null", "NaN"])
def test_a_farewells_wait_is_bounded(said: str) -> None:
    reading = stream()
    reading.receive(b'data: {"type":"goodbye","reason":"draining","retry_ms":%s}\n\n' % said.encode())
    longest = 24 * 3600.0 if said.startswith("1") else 1.0
    assert reading.pause(lived=0, asked=0, chance=0) <= longest


@pytest.mark.parametrize(
    "cursor", ["5", "null", "[]", '"\\ud800"', '"a\\r\\nb"', '"' + "\u20ac" + '"', '"  a b "']
)
def test_whatever_the_cursor_is_the_next_request_can_be_sent(cursor: str) -> None:
    reading = stream()
    reading.receive(f'data: {{"type":"connected","cursor":{cursor}}}\n\n'.encode())
    url, headers = reading.connect(None, None)
    assert url.isascii()
    assert url.isprintable()
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert all(value == value.strip() for value in headers.values())


def test_nesting_without_end_is_passing_trouble() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    reading = stream()
    reading.receive(b'data: {"type":"note","v":' + deep + b"}\n\n")
    assert isinstance(reading.error, Trouble)
    kind = {"Content-Type": "application/problem+json"}
    found = failure(403, kind, b'{"detail":' + deep + b"}", url="http://h", key_kept=False)
    assert isinstance(found, Refused)


@pytest.mark.parametrize("missed", ["true", "-3", "1.5", '"x"', "[]", "1e999"])
def test_a_gap_of_no_number_is_unknown(missed: str) -> None:
    items = stream("e-1").receive(
        b'data: {"type":"stream_reset","reason":"expired","missed":%s}\n\n' % missed.encode()
    )
    assert [item.value for item in items] == [Gap(None, "expired")]
