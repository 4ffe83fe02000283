"""The stream as a client sees it on its socket: its format, its order and its limits, exactly.

Covers streaming_hub.web.api.stream, too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.streaming_hub.server.wire import (
    Answer,
    ask,
    connect,
    open_stream,
    request_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kit.hub import Hub

CONTROL = {"connected", "heartbeat", "snapshot", "stream_reset", "goodbye"}


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Hub]) -> Hub:
    """A server with a small window, which these tests share."""
    settings = {"STREAM_HISTORY_MAX_EVENTS": "50", "STREAM_HEARTBEAT": "0.3", "STREAM_QUEUE_SIZE": "16"}
    return start_server(**settings).wait_until_up()


def publish(server: Hub, count: int = 1, **fields: Any) -> list[str]:
    """Publish a batch; return its ids."""
    answer = server.post([{"type": "note", "n": n, **fields} for n in range(count)])
    ids: list[str] = answer.json()["ids"]
    return ids


def stored(found: list[dict[str, Any]]) -> list[str]:
    """Ids of the stored events."""
    return [frame["id"] for frame in found if frame["type"] not in CONTROL]


def until_ids(answer: Answer, ids: list[str]) -> list[dict[str, Any]]:
    """Read until the last of these ids has arrived."""
    return answer.until(lambda found: ids[-1] in stored(found))


def before(event_id: str, count: int = 1) -> str:
    """The position some places back."""
    epoch, seq = event_id.split("-")
    return f"{epoch}-{int(seq) - count}"


class TestHead:
    """Status line and headers."""

    def test_an_http_1_1_stream_is_chunked(self, server: Hub) -> None:
        answer = open_stream(server.port)
        assert answer.version == "HTTP/1.1"
        assert answer.chunked
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "content-length" not in answer.headers

    def test_an_http_1_0_stream_is_plain(self, server: Hub) -> None:
        answer = open_stream(server.port, version="1.0")
        assert "transfer-encoding" not in answer.headers
        assert "content-length" not in answer.headers
        ids = publish(server, 3)
        found = until_ids(answer, ids)
        assert stored(found) == ids
        assert answer.body.startswith(b"data: ")

    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    def test_head_answers_at_once_with_the_streams_headers(self, server: Hub, version: str) -> None:
        answer = ask(server.port, request_bytes("HEAD", "/api/stream", version=version, Connection="close"))
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store, no-transform"
        assert answer.headers.get("content-length", "") != "0"
        answer.chunked = False
        assert answer.rest() == b""

    def test_a_listed_origin_may_read(self, server: Hub) -> None:
        answer = open_stream(server.port, Origin="http://localhost:3000")
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "Origin" in answer.headers["vary"]
        other = open_stream(server.port, Origin="https://evil.example")
        assert "access-control-allow-origin" not in other.headers

    @pytest.mark.parametrize("name", ["last-event-id", "cache-control", "authorization"])
    def test_a_preflight_allows_what_a_client_needs(self, server: Hub, name: str) -> None:
        headers = {
            "Origin": "http://localhost:3000",
            "Access_Control_Request_Method": "GET",
            "Access_Control_Request_Headers": name,
            "Connection": "close",
        }
        answer = ask(server.port, request_bytes("OPTIONS", "/api/stream", **headers))
        assert answer.status in (200, 204)
        assert name in answer.headers["access-control-allow-headers"].lower()


class TestFrames:
    """The body."""

    def test_connected_is_first_and_says_where_the_stream_continues(self, server: Hub) -> None:
        ids = publish(server, 2)
        first = open_stream(server.port).frames()[0]
        assert first["type"] == "connected"
        assert first["cursor"] == ids[-1]
        assert first["heartbeat"] == 0.3
        assert first["client_id"]
        assert abs(first["server_time"]) > 1e9
        assert first["_id"] is None
        assert first["client_id"] != open_stream(server.port).frames()[0]["client_id"]

    @pytest.mark.parametrize("query", ["?room=nobody", ""])
    def test_a_heartbeat_says_that_the_head_is_reached(
        self, start_server: Callable[..., Hub], query: str
    ) -> None:
        server = start_server(STREAM_HEARTBEAT="3600").wait_until_up()
        ids = publish(server, 5, room="other")
        answer = open_stream(server.port, query, Last_Event_ID=ids[0])
        found = answer.until_type("heartbeat")
        assert found[0]["cursor"] == ids[0]
        assert found[0]["head"] == found[-1]["_id"] == ids[-1]
        assert stored(found) == ([] if query else ids[1:])
        assert open_stream(server.port).frames()[0]["head"] == ids[-1]

    def test_a_heartbeat_says_that_a_reset_stream_has_caught_up(
        self, start_server: Callable[..., Hub]
    ) -> None:
        server = start_server(STREAM_HEARTBEAT="3600").wait_until_up()
        found = open_stream(server.port, Last_Event_ID="elsewhere-7").until_type("heartbeat")
        assert [frame["type"] for frame in found] == ["connected", "stream_reset", "heartbeat"]
        assert found[0]["head"] == found[0]["cursor"] == found[-1]["_id"]

    def test_connected_names_what_nothing_reads(self, server: Hub) -> None:
        query = "?rom=a&room=a&snapshot=0&_=1732&" + "x" * 50 + "=1&rom=b"
        first = open_stream(server.port, query).frames()[0]
        assert first["ignored"] == ["rom", "_", "x" * 40]
        many = "&".join(f"p{number}=1" for number in range(60))
        assert len(open_stream(server.port, f"?{many}").frames()[0]["ignored"]) == 10
        assert "ignored" not in open_stream(server.port, "?room=a&replay=1").frames()[0]

    def test_the_cursor_of_connected_is_a_last_event_id(self, server: Hub) -> None:
        cursor = open_stream(server.port).frames()[0]["cursor"]
        ids = publish(server, 3)
        found = until_ids(open_stream(server.port, Last_Event_ID=cursor), ids)
        assert [frame["type"] for frame in found[:2]] == ["connected", "note"]
        assert stored(found) == ids

    def test_ids_rise_by_one_and_stand_in_both_places(self, server: Hub) -> None:
        answer = open_stream(server.port)
        ids = publish(server, 5)
        found = [frame for frame in until_ids(answer, ids) if frame["type"] == "note"]
        assert [frame["_id"] for frame in found] == [frame["id"] for frame in found] == ids
        assert [before(one) for one in ids[1:]] == ids[:-1]

    def test_a_heartbeat_carries_its_readers_own_position(self, server: Hub) -> None:
        quiet = open_stream(server.port, "?room=nobody")
        ids = publish(server, 3, room="other")
        quiet.until(lambda found: any(frame["_id"] == ids[-1] for frame in found))
        assert stored(quiet.frames()) == []
        heart = [frame for frame in quiet.frames() if frame["type"] == "heartbeat"][-1]
        assert set(heart) == {"type", "timestamp", "_id"}
        # So it resumes without a reset, however much was published for others.
        publish(server, 40, room="other")
        again = open_stream(server.port, "?room=nobody", Last_Event_ID=heart["_id"])
        assert [f["type"] for f in again.until_type("heartbeat")] == ["connected", "heartbeat"]

    def test_no_event_line_and_any_text_on_one_line(self, server: Hub) -> None:
        answer = open_stream(server.port)
        text = "a\r\nb\nc\rdata: x\n\nid: 1\u2028\u0085\0é😀"
        until_ids(answer, publish(server, 1, text=text))
        assert b"event:" not in answer.body
        (frame,) = [f for f in answer.frames() if f["type"] == "note"]
        assert frame["text"] == text


class TestReplay:
    """Cursors, replay and resets."""

    def test_the_header_wins_over_the_query(self, server: Hub) -> None:
        ids = publish(server, 4)
        answer = open_stream(server.port, f"?last_event_id={ids[0]}", Last_Event_ID=ids[2])
        assert stored(until_ids(answer, ids)) == ids[3:]
        query = open_stream(server.port, f"?last_event_id={ids[0]}")
        assert stored(until_ids(query, ids)) == ids[1:]

    def test_a_cursor_wins_over_replay(self, server: Hub) -> None:
        ids = publish(server, 4)
        answer = open_stream(server.port, f"?replay=4&last_event_id={ids[2]}")
        assert stored(until_ids(answer, ids)) == ids[3:]

    def test_replay_sends_the_last_matching_ones_first(self, server: Hub) -> None:
        mine = publish(server, 5, room="mine")
        publish(server, 5, room="theirs")
        answer = open_stream(server.port, "?replay=3&room=mine")
        live = publish(server, 1, room="mine")
        found = until_ids(answer, live)
        assert stored(found) == [*mine[2:], *live]
        assert found[0]["type"] == "connected"

    def test_replay_of_more_than_there_is(self, server: Hub) -> None:
        ids = publish(server, 50)
        answer = open_stream(server.port, "?replay=100000")
        assert stored(until_ids(answer, ids)) == ids

    @pytest.mark.parametrize("query", ["replay=-1", "replay=x", "replay=1.5", "snapshot=maybe"])
    def test_a_query_that_cannot_be_read_is_a_problem(self, server: Hub, query: str) -> None:
        answer = ask(server.port, request_bytes("GET", f"/api/stream?{query}"))
        assert answer.status == 400
        assert answer.headers["content-type"] == "application/problem+json"

    def test_an_expired_cursor_is_counted_exactly(self, server: Hub) -> None:
        first = publish(server, 3)
        ids = publish(server, 50)
        found = until_ids(open_stream(server.port, Last_Event_ID=first[1]), ids)
        reset = found[1]
        assert [frame["type"] for frame in found[:2]] == ["connected", "stream_reset"]
        assert reset["reason"] == "expired"
        assert reset["requested"] == first[1]
        assert reset["oldest"] == ids[0]
        assert reset["missed"] == 1
        assert reset["_id"] is None
        assert stored(found) == ids
        assert found[0]["cursor"] == before(ids[0])

    def test_the_last_position_before_the_window_is_no_loss(self, server: Hub) -> None:
        ids = publish(server, 50)
        found = until_ids(open_stream(server.port, Last_Event_ID=before(ids[0])), ids)
        assert stored(found) == ids
        assert "stream_reset" not in [frame["type"] for frame in found]

    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            (lambda last: "nope", "malformed"),
            (lambda last: "x" * 5000, "malformed"),
            (lambda last: "\xff\xfe", "malformed"),
            (lambda last: last + " 1", "malformed"),
            (lambda last: "otherepoch-5", "foreign"),
            (lambda last: before(last, -1), "future"),
            (lambda last: last + "9" * 4900, "future"),
        ],
        ids=["word", "5000", "latin-1", "blank", "foreign", "future", "far-future"],
    )
    def test_what_is_no_cursor_of_this_history_is_reported(
        self, server: Hub, made: Callable[[str], str], reason: str
    ) -> None:
        ids = publish(server, 50)
        found = until_ids(open_stream(server.port, Last_Event_ID=made(ids[-1])), ids)
        assert [frame["type"] for frame in found[:2]] == ["connected", "stream_reset"]
        assert (found[1]["reason"], found[1]["missed"], found[1]["oldest"]) == (reason, None, ids[0])
        assert stored(found) == ids

    def test_missed_is_null_on_a_filtered_stream(self, server: Hub) -> None:
        first = publish(server, 1)
        ids = publish(server, 60)[10:]
        found = until_ids(open_stream(server.port, "?type=note", Last_Event_ID=before(first[0])), ids)
        assert found[1]["type"] == "stream_reset"
        assert found[1]["missed"] is None

    def test_missed_is_null_over_a_range_with_erased_events(self, server: Hub) -> None:
        first = publish(server, 3)
        publish(server, 1, room="gone")
        assert server_delete(server, "/api/rooms/gone/events") == 1
        ids = publish(server, 50)
        found = until_ids(open_stream(server.port, Last_Event_ID=first[0]), ids)
        assert (found[1]["type"], found[1]["missed"]) == ("stream_reset", None)


def server_delete(server: Hub, path: str) -> int:
    """Erase; return how many events there were."""
    answer = ask(server.port, request_bytes("DELETE", path, Connection="close"))
    erased: int = json.loads(answer.rest())["erased"]
    return erased


class TestFilters:
    """Values of one key are alternatives, keys combine."""

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("room=a", "013"),
            ("room=a&room=b", "0123"),
            ("type=t1", "02"),
            ("room=a&type=t1", "0"),
            ("participant=p", "15"),
            ("session_id=s", "25"),
            ("participant=p&session_id=s", "5"),
            ("room=", ""),
            ("room=A", ""),
            ("type=t1&type=t2&room=b&room=c", "2"),
        ],
    )
    def test_filters(self, server: Hub, query: str, expected: str) -> None:
        answer = open_stream(server.port, f"?{query}")
        events = [
            {"type": "t1", "room": "a"},
            {"type": "t2", "room": "a", "participant": "p"},
            {"type": "t1", "room": "b", "session_id": "s"},
            {"type": "t3", "room": "a"},
            {"type": "t2"},
            {"type": "t2", "participant": "p", "session_id": "s"},
        ]
        ids = server.post(events).json()["ids"]
        position = ids[-1]
        answer.until(lambda found: any(frame["_id"] == position for frame in found))
        assert stored(answer.frames()) == [ids[int(index)] for index in expected]
        replayed = open_stream(server.port, f"?{query}&last_event_id={before(ids[0])}")
        replayed.until(lambda found: any(frame["_id"] == position for frame in found))
        assert stored(replayed.frames()) == [ids[int(index)] for index in expected]


class TestSnapshot:
    """`snapshot=1`: the rooms' state first."""

    def test_it_precedes_any_event_and_lists_the_participants(self, server: Hub) -> None:
        server.post(
            [
                {"type": "session_started", "room": "talk", "session_id": "s"},
                {
                    "type": "transcript",
                    "room": "talk",
                    "session_id": "s",
                    "text": "hello",
                    "role": "user",
                    "is_final": True,
                },
            ]
        )
        ids = publish(server, 1, room="talk")
        answer = open_stream(server.port, f"?snapshot=1&room=talk&last_event_id={before(ids[0])}")
        found = until_ids(answer, ids)
        assert [frame["type"] for frame in found[:3]] == ["connected", "snapshot", "note"]
        assert "hello" in json.dumps(found[1]["rooms"])
        assert [room["room"] for room in found[1]["rooms"]] == ["talk"]
        assert found[1]["_id"] is None

    def test_many_rooms_come_in_several_events_before_any_other(
        self, start_server: Callable[..., Hub]
    ) -> None:
        server = start_server(STREAM_HISTORY="memory://").wait_until_up()
        rooms = [f"many-{number}" for number in range(120)]
        for room in rooms:
            line = {"type": "transcript", "room": room, "role": "user", "is_final": True, "text": "x" * 200}
            server.post([{**line, "segment_id": f"s{number}"} for number in range(50)])
        query = "&".join(f"room={room}" for room in rooms[:99])
        answer = open_stream(server.port, f"?snapshot=1&{query}")
        server.post({"type": "note", "room": "many-0"})
        found = answer.until_type("note")
        found = [frame for frame in found if frame["type"] != "heartbeat"]
        parts = found[1:-1]
        assert [frame["type"] for frame in found] == ["connected", *["snapshot"] * len(parts), "note"]
        assert [part["part"] for part in parts] == list(range(1, len(parts) + 1))
        assert [part["more"] for part in parts] == [True] * (len(parts) - 1) + [False]
        assert len(parts) > 3
        assert {part["as_of"] for part in parts} == {found[0]["cursor"]}
        assert [room["room"] for part in parts for room in part["rooms"]] == rooms[98::-1]
        assert all(len(room["transcript"]) == 50 for part in parts for room in part["rooms"])

    def test_mistaken_filters_are_reported(self, server: Hub) -> None:
        first = open_stream(server.port, "?room=a+b&type=x,y").frames()[0]
        assert [sentence[:5] for sentence in first["warnings"]] == ["room=", "type="]
        assert "warnings" not in open_stream(server.port, "?room=a").frames()[0]

    def test_a_reset_comes_before_it(self, server: Hub) -> None:
        publish(server, 1)
        found = open_stream(server.port, "?snapshot=1&last_event_id=nope").until_type("snapshot")
        assert [frame["type"] for frame in found[:3]] == ["connected", "stream_reset", "snapshot"]


@pytest.fixture(scope="module")
def small(start_server: Callable[..., Hub]) -> Hub:
    """A server for two streams."""
    return start_server(STREAM_MAX_CLIENTS="2", STREAM_HISTORY="memory://").wait_until_up()


class TestFull:
    """More streams than allowed."""

    def test_a_browser_is_asked_to_reconnect_and_others_get_503(self, small: Hub) -> None:
        one, two = open_stream(small.port), open_stream(small.port)
        browser = ask(
            small.port,
            request_bytes("GET", "/api/stream", Accept="text/event-stream", Origin="http://localhost:1"),
        )
        assert browser.status == 200
        assert browser.headers["access-control-allow-origin"] == "http://localhost:1"
        browser.rest()
        (goodbye,) = browser.frames()
        assert goodbye["type"] == "goodbye"
        assert 1000 <= goodbye["_retry"] <= 600_000
        assert goodbye["retry_ms"] == goodbye["_retry"]
        assert browser.closed()
        other = ask(small.port, request_bytes("GET", "/api/stream", Accept="*/*"))
        assert other.status == 503
        assert int(other.headers["retry-after"]) > 0
        assert other.headers["content-type"] == "application/problem+json"
        assert small.get("/api/health").json()["clients"] == 2
        # A closed stream's place is free at once, without any event.
        one.sock.close()
        small.wait_for_clients(1)
        three = open_stream(small.port)
        three.sock.close()
        two.sock.close()
        small.wait_for_clients(0)


class TestConnection:
    """What a client may do to its connection."""

    def test_a_hang_up_is_noticed_without_an_event(self, start_server: Callable[..., Hub]) -> None:
        server = start_server(STREAM_HEARTBEAT="600", STREAM_HISTORY="memory://").wait_until_up()
        streams = [open_stream(server.port) for _ in range(20)]
        server.wait_for_clients(20)
        for answer in streams:
            answer.sock.close()
        server.wait_for_clients(0)
        assert server.post({"type": "a"}).json()["clients_notified"] == 0

    def test_what_a_client_says_after_its_request_is_ignored(self, server: Hub) -> None:
        sock = connect(server.port)
        sock.sendall(request_bytes("GET", "/api/stream") + b"\x00garbage\r\n\r\n" * 50)
        answer = Answer(sock)
        sock.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        ids = publish(server, 1)
        until_ids(answer, ids)
        assert b"HTTP/1.1" not in answer.body

    def test_many_readers_get_the_same(self, server: Hub) -> None:
        answers = [open_stream(server.port, version=version) for version in ("1.0", "1.1") * 10]
        ids = publish(server, 30)
        for answer in answers:
            assert stored(until_ids(answer, ids)) == ids
