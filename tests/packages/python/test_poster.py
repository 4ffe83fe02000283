"""The poster against a real HTTP server that answers, refuses, stalls, cuts connections or is not there."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from streaming_hub_client.poster import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_EVENT_BYTES,
    Poster,
)
from streaming_hub_client.retry import Pace

from tests.kit.fake_hub import DEADLINE, FakeHub, Reply, refusal
from tests.kit.wait import until
from tests.packages.python.spooled import spooled_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = Pace(
    first_delay=0.01,
    longest_delay=0.05,
    key_delay=0.05,
    connect_timeout=2,
    answer_timeout=5,
    spill_after=0.02,
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


@pytest.fixture
def absent_hub() -> Iterator[FakeHub]:
    fake = FakeHub()
    yield fake
    fake.stop()


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def spool_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*")) if folder.exists() else 0


def is_spooled(folder: Path, count: int) -> bool:
    return len(spooled_numbers(folder)) == count


def post_numbers(poster: Poster, numbers: range, **fields: Any) -> None:
    for number in numbers:
        poster.post({"type": "test", "n": number, **fields})


def test_events_arrive_in_order(hub: FakeHub) -> None:
    poster = Poster(hub.url, pace=QUICK)
    post_numbers(poster, range(5000))

    assert poster.close(DEADLINE)
    assert hub.numbers() == list(range(5000))


def test_a_lone_event_is_sent_at_once(hub: FakeHub) -> None:
    poster = Poster(hub.url, pace=QUICK)
    poster.post({"type": "test", "n": 0})

    until(lambda: hub.numbers() == [0], what="one event, without another one or a flush pushing it")
    poster.close(1)


def test_what_waits_goes_in_batches_within_the_limits(hub: FakeHub) -> None:
    release = threading.Event()
    hub.script.append(Reply(hold=release))
    poster = Poster(hub.url, pace=QUICK)
    poster.post({"type": "test", "n": 0})
    until(lambda: hub.requests, what="the first request")
    post_numbers(poster, range(1, 2501))
    post_numbers(poster, range(2501, 2601), text="x" * 60_000)
    release.set()

    assert poster.close(DEADLINE)
    assert hub.numbers() == list(range(2601))
    sizes = [len(request.events) for request in hub.requests]
    assert sizes[:3] == [1, MAX_BATCH_EVENTS, MAX_BATCH_EVENTS]
    assert len(sizes) < 15
    assert max(request.size for request in hub.requests) <= MAX_BATCH_BYTES


def test_id_and_time_are_added_where_they_are_missing(hub: FakeHub) -> None:
    before = time.time()
    mine = {"type": "test", "event_id": "mine", "timestamp": 12.5}
    bare: dict[str, Any] = {"type": "test"}
    poster = Poster(hub.url, pace=QUICK)
    poster.post(mine)
    poster.post(bare)
    poster.post({"type": "test", "event_id": ""})
    poster.post({"type": "test", "event_id": ""})

    assert poster.close(DEADLINE)
    first, second, *empty = hub.events
    assert len({event["event_id"] for event in empty}) == 2
    assert first == mine
    assert uuid.UUID(second["event_id"]).version == 4
    assert before <= second["timestamp"] <= time.time()
    assert bare == {"type": "test"}


def test_an_event_may_be_changed_after_it_was_posted(hub: FakeHub) -> None:
    poster = Poster(hub.url, pace=QUICK)
    event = {"type": "test", "words": ["one"]}
    poster.post(event)
    event["words"].append("two")  # type: ignore[attr-defined]  # a dict of mixed values

    assert poster.close(DEADLINE)
    assert hub.events[0]["words"] == ["one"]


@pytest.mark.parametrize(("key", "header"), [("secret", "Bearer secret"), (None, None), ("", None)])
def test_the_key_goes_into_the_authorization_header(
    hub: FakeHub, key: str | None, header: str | None
) -> None:
    poster = Poster(hub.url, key, pace=QUICK)
    poster.post({"type": "test"})

    assert poster.close(DEADLINE)
    assert hub.requests[0].headers.get("Authorization") == header
    assert hub.requests[0].headers["Content-Type"] == "application/json"


def test_settings_come_from_the_environment(
    hub: FakeHub, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_URL", hub.url + "/")
    monkeypatch.setenv("STREAM_PUBLISH_KEY", "secret")
    monkeypatch.setenv("AGENT_SPOOL_DIR", str(spool_dir))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    hub.default = Reply(503)
    poster = Poster.from_env()
    poster.post({"type": "test", "n": 0})

    until(lambda: spooled_numbers(spool_dir) == [0], what="the event in the spool folder")
    hub.default = Reply()
    assert poster.close(DEADLINE)
    assert hub.requests[0].headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("name", ["STREAM_URL", "STREAM_PUBLISH_KEY", "AGENT_SPOOL_DIR"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_that_docker_leaves_around_a_variable_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, quote: str
) -> None:
    monkeypatch.setenv(name, f"{quote}http://127.0.0.1:9{quote}")
    with pytest.raises(ValueError, match=rf"^{name} has quotes"):
        Poster.from_env()


def test_a_url_without_http_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"localhost:5000.*STREAM_URL"):
        Poster("localhost:5000")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 404, 302])
def test_a_refused_batch_is_sent_again_with_the_same_ids(hub: FakeHub, status: int) -> None:
    hub.script.extend([Reply(status), Reply(status)])
    poster = Poster(hub.url, pace=QUICK)
    poster.post({"type": "test", "n": 0})

    assert poster.close(DEADLINE)
    assert hub.numbers() == [0]
    assert len({request.events[0]["event_id"] for request in hub.requests}) == 1
    assert len(hub.requests) == 3


def test_retry_after_is_honored(hub: FakeHub) -> None:
    hub.script.append(Reply(429, headers={"Retry-After": "1"}))
    poster = Poster(hub.url, pace=QUICK)
    poster.post({"type": "test"})
    until(lambda: len(hub.requests) == 2, what="a second attempt")

    assert hub.requests[1].at - hub.requests[0].at >= 0.95
    assert poster.close(DEADLINE)


def test_an_answer_cut_in_the_middle_means_a_harmless_repeat(hub: FakeHub) -> None:
    hub.script.extend([Reply(cut=True), Reply(cut=True, stores=False), Reply(body=b"", cut=True)])
    poster = Poster(hub.url, pace=QUICK)
    post_numbers(poster, range(50))

    assert poster.close(DEADLINE)
    assert hub.numbers() == list(range(50))
    assert len(hub.requests) >= 4


def test_a_hub_that_stalls_is_given_up_and_asked_again(hub: FakeHub) -> None:
    hub.script.append(Reply(hold=threading.Event(), stores=False))
    poster = Poster(hub.url, pace=Pace(first_delay=0.01, answer_timeout=0.2))
    poster.post({"type": "test", "n": 0})

    assert poster.close(DEADLINE)
    assert hub.numbers() == [0]


def test_something_else_on_the_port_does_not_swallow_events(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = (b"<html>It works!</html>", b"{}", b'{"status":"not \xff UTF-8"}')
    hub.script.extend(Reply(body=body, stores=False) for body in bodies)
    poster = Poster(hub.url, pace=QUICK)
    poster.post({"type": "test", "n": 0})

    assert poster.close(DEADLINE)
    assert hub.numbers() == [0]
    assert len(hub.requests) == 4
    assert "unexpected error: " not in caplog.text


PAGE = b"<html><head><title>Nope</title></head></html>"


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 413, 422, 502, 504])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PAGE, "text/html"),
        (b"", "text/plain"),
        (b'{"status":"error","message":"blocked"}', "application/json"),
        (b'{"type":"about:blank","title":"No","status":%d,"detail":"No.","instance":"/api"}', "problem"),
        (b'{"type":"https://proxy.example/e","title":"No","status":%d,"detail":"No."}', "problem"),
        (b'{"title":"No","status":599,"detail":"No.","type":"about:blank"}', "problem"),
    ],
)
def test_what_is_not_the_hub_condemns_no_event_and_no_key(
    hub: FakeHub, caplog: pytest.LogCaptureFixture, status: int, body: bytes, content_type: str
) -> None:
    body = body.replace(b"%d", b"%d" % status)
    headers = {
        "Content-Type": content_type.replace("problem", "application/problem+json"),
        "Server": "AirTunes/860.7.1",
    }
    hub.script.extend([Reply(status, body, headers, stores=False)] * 3)
    poster = Poster(hub.url, "our-key", pace=QUICK)
    post_numbers(poster, range(10))

    assert poster.close(DEADLINE)
    assert hub.numbers() == list(range(10))
    assert hub.dropped() == 0
    (line,) = {record.message for record in caplog.records if record.levelno == logging.WARNING}
    assert f"status {status}" in line
    assert "AirTunes/860.7.1" in line
    assert "not a response of the hub" in line
    assert "STREAM_PUBLISH_KEY" not in caplog.text


def test_what_a_stranger_refuses_for_its_size_passes_in_smaller_batches(absent_hub: FakeHub) -> None:
    absent_hub.refuses_batch = lambda events: len(events) > 3
    absent_hub.refusal = Reply(413, PAGE, {"Server": "nginx"}, stores=False)
    poster = Poster(absent_hub.url, pace=QUICK)
    post_numbers(poster, range(100))
    absent_hub.start()

    assert poster.close(DEADLINE)
    assert absent_hub.numbers() == list(range(100))
    assert absent_hub.dropped() == 0


def test_an_event_that_a_stranger_always_refuses_waits_and_is_never_called_delivered(
    hub: FakeHub, spool_dir: Path
) -> None:
    hub.refuses = lambda event: event.get("n") == 5
    hub.refusal = Reply(403, PAGE, stores=False)
    poster = Poster(hub.url, spool_dir=spool_dir, pace=QUICK)
    post_numbers(poster, range(10))

    until(lambda: hub.numbers() == list(range(5)), what="what came before it")
    assert not poster.flush(0.2)
    hub.refuses = lambda _: False
    assert poster.close(DEADLINE)
    assert hub.numbers() == list(range(10))
    assert hub.dropped() == 0


def test_a_redirect_is_not_followed_and_its_target_is_reported(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.script.append(Reply(301, b"", {"Location": "https://hub.example/api/agent/data"}, stores=False))
    poster = Poster(hub.url, pace=QUICK)
    post_numbers(poster, range(1))

    assert poster.close(DEADLINE)
    assert "https://hub.example/api/agent/data" in caplog.text


def test_a_refused_key_keeps_the_events_and_says_what_to_do(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.script.extend([refusal(401), refusal(403)])
    poster = Poster(hub.url, "wrong", pace=QUICK)
    post_numbers(poster, range(3))

    assert poster.flush(DEADLINE)
    assert hub.numbers() == [0, 1, 2]
    assert "STREAM_PUBLISH_KEY" in caplog.text
    assert "wrong" not in caplog.text
    poster.close(1)


def test_an_outage_is_logged_once_and_again_when_its_reason_changes(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.script.extend([Reply(503), Reply(503), Reply(503), Reply(404), Reply(404)])
    poster = Poster(hub.url, pace=QUICK)
    poster.post({"type": "test"})

    assert poster.close(DEADLINE)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition("status ")[2][:3] for text in warnings] == ["503", "404"]


def test_one_bad_event_does_not_take_the_others_along(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    bad = {0, 137, 138, 999}
    hub.refuses = lambda event: event.get("n") in bad
    release = threading.Event()
    hub.script.append(Reply(hold=release))
    poster = Poster(hub.url, pace=QUICK)
    poster.post({"type": "test", "n": -1})
    until(lambda: hub.requests, what="the first request")
    post_numbers(poster, range(1000), room="kitchen", session_id="s1")
    release.set()

    assert poster.close(DEADLINE)
    assert hub.numbers() == [n for n in range(-1, 1000) if n not in bad]
    assert hub.dropped() == 4
    told = [event for event in hub.events if event["type"] == "events_dropped"]
    assert {(event["room"], event["session_id"]) for event in told} == {("kitchen", "s1")}
    assert "not a valid event" in caplog.text
    assert len(hub.requests) < 100


def test_an_event_for_a_room_that_the_key_is_not_for_does_not_hold_up_the_others(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.refusal = refusal(403, "This credential is not for the room 'cellar'.", field="room")
    hub.refuses = lambda event: event.get("room") == "cellar"
    poster = Poster(hub.url, "for-the-hall", pace=replace(QUICK, key_delay=DEADLINE * 2))
    for number in range(20):
        poster.post({"type": "test", "n": number, "room": "cellar" if number in {0, 7} else "hall"})

    assert poster.close(DEADLINE)
    assert hub.numbers() == [n for n in range(20) if n not in {0, 7}]
    assert "cellar" in caplog.text
    assert "STREAM_PUBLISH_KEY" not in caplog.text


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_hub_that_refuses_everything_does_not_make_us_loop(hub: FakeHub, status: int) -> None:
    hub.default = refusal(status)
    poster = Poster(hub.url, pace=QUICK)
    post_numbers(poster, range(4))

    assert poster.flush(DEADLINE)
    asked = len(hub.requests)
    assert poster.close(DEADLINE)
    assert len(hub.requests) == asked


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "odd", "text": "x" * MAX_EVENT_BYTES},
        {"type": "odd", "value": object()},
        {"type": "odd", "text": "\ud800"},
        {"type": "odd", ("a", "key"): 1},
        None,
        17,
        "text",
        [1, 2],
    ],
    ids=lambda odd: str(odd)[:24].encode("ascii", "replace").decode(),
)
def test_an_event_that_cannot_be_sent_is_counted_and_the_rest_continues(hub: FakeHub, odd: Any) -> None:
    poster = Poster(hub.url, pace=QUICK)
    poster.post({"type": "test", "n": 0})
    poster.post(odd)
    poster.post({"type": "test", "n": 1})

    assert poster.close(DEADLINE)
    assert [event.get("n", event["type"]) for event in hub.events] == [0, "events_dropped", 1]
    assert hub.dropped() == 1


def test_an_endless_event_is_counted(hub: FakeHub) -> None:
    endless: dict[str, Any] = {"type": "odd"}
    endless["self"] = endless
    poster = Poster(hub.url, pace=QUICK)
    poster.post(endless)

    assert poster.close(DEADLINE)
    assert hub.dropped() == 1


def test_an_event_of_just_the_limit_is_sent(hub: FakeHub) -> None:
    event = {"type": "test", "event_id": "1", "timestamp": 1, "text": ""}
    event["text"] = "x" * (MAX_EVENT_BYTES - len(json.dumps(event, separators=(",", ":"))))
    poster = Poster(hub.url, pace=QUICK)
    poster.post(event)

    assert poster.close(DEADLINE)
    assert hub.events == [event]


def test_without_a_spool_a_full_memory_reports_the_exact_count_in_place(absent_hub: FakeHub) -> None:
    poster = Poster(absent_hub.url, max_queue=100, pace=QUICK)
    post_numbers(poster, range(250), room="kitchen")
    absent_hub.start()

    assert poster.flush(DEADLINE)
    post_numbers(poster, range(250, 260))
    assert poster.close(DEADLINE)
    assert absent_hub.numbers() == [*range(100), *range(250, 260)]
    assert absent_hub.events[100]["type"] == "events_dropped"
    assert (absent_hub.events[100]["count"], absent_hub.events[100]["room"]) == (150, "kitchen")


def test_memory_is_bounded_in_bytes_too(absent_hub: FakeHub) -> None:
    poster = Poster(absent_hub.url, max_queue_bytes=100_000, pace=QUICK)
    post_numbers(poster, range(30), text="x" * 10_000)
    absent_hub.start()

    assert poster.close(DEADLINE)
    assert len(absent_hub.numbers()) == 9
    assert absent_hub.dropped() == 21


def test_an_outage_goes_to_the_spool_and_comes_back_in_order(absent_hub: FakeHub, spool_dir: Path) -> None:
    poster = Poster(absent_hub.url, spool_dir=spool_dir, max_queue=50, pace=QUICK)
    for end in range(50, 1001, 50):
        post_numbers(poster, range(end - 50, end))
        until(partial(is_spooled, spool_dir, end), what="the events in the spool")
    absent_hub.start()
    post_numbers(poster, range(1000, 1040))

    assert poster.close(DEADLINE)
    assert absent_hub.numbers() == list(range(1040))
    assert absent_hub.dropped() == 0
    assert list(spool_dir.iterdir()) == []


def test_a_hub_that_takes_its_time_sees_no_spool(hub: FakeHub, spool_dir: Path) -> None:
    poster = Poster(hub.url, spool_dir=spool_dir, pace=Pace(spill_after=DEADLINE))
    post_numbers(poster, range(100))

    assert poster.flush(DEADLINE)
    assert not spool_dir.exists()
    assert poster.close(1)


def test_events_reach_the_spool_while_a_request_hangs(hub: FakeHub, spool_dir: Path) -> None:
    release = threading.Event()
    hub.script.append(Reply(hold=release))
    poster = Poster(hub.url, spool_dir=spool_dir, pace=QUICK)
    poster.post({"type": "test", "n": 0})
    until(lambda: hub.requests, what="the first request")
    post_numbers(poster, range(1, 20))

    until(lambda: spooled_numbers(spool_dir) == list(range(20)), what="all events in the spool")
    release.set()
    assert poster.close(DEADLINE)
    assert hub.numbers() == list(range(20))
    assert [len(request.events) for request in hub.requests] == [1, 19]


def test_a_full_spool_and_a_full_memory_report_the_exact_count(absent_hub: FakeHub, spool_dir: Path) -> None:
    poster = Poster(absent_hub.url, spool_dir=spool_dir, max_queue=20, max_spool_bytes=20_000, pace=QUICK)
    posted = 0
    while spool_bytes(spool_dir) < 19_500:
        post_numbers(poster, range(posted, posted + 10))
        posted += 10
    post_numbers(poster, range(posted, posted + 500))
    posted += 500
    assert spool_bytes(spool_dir) <= 20_000
    absent_hub.start()

    assert poster.flush(DEADLINE)
    numbers = absent_hub.numbers()
    assert numbers == sorted(set(numbers))
    assert absent_hub.dropped() == posted - len(numbers) > 0
    post_numbers(poster, range(posted, posted + 10))
    assert poster.close(DEADLINE)
    assert absent_hub.numbers() == [*numbers, *range(posted, posted + 10)]


def test_closing_in_an_outage_leaves_the_rest_to_the_next_poster(
    absent_hub: FakeHub, spool_dir: Path
) -> None:
    first = Poster(absent_hub.url, spool_dir=spool_dir, pace=QUICK)
    post_numbers(first, range(100))
    assert not first.close(0.05)
    absent_hub.start()
    second = Poster(absent_hub.url, spool_dir=spool_dir, pace=QUICK)
    post_numbers(second, range(100, 110))

    assert second.close(DEADLINE)
    assert absent_hub.numbers() == list(range(110))
    assert list(spool_dir.iterdir()) == []


def test_after_closing_with_a_full_spool_the_next_poster_reports_the_count(
    absent_hub: FakeHub, spool_dir: Path
) -> None:
    first = Poster(absent_hub.url, spool_dir=spool_dir, max_spool_bytes=5_000, pace=QUICK)
    post_numbers(first, range(500))
    assert not first.close(0.05)
    absent_hub.start()
    second = Poster(absent_hub.url, spool_dir=spool_dir, pace=QUICK)
    post_numbers(second, range(500, 510))

    assert second.close(DEADLINE)
    numbers = absent_hub.numbers()
    kept = len(numbers) - 10
    assert numbers == [*range(kept), *range(500, 510)]
    assert 0 < kept < 100
    assert absent_hub.dropped() == 500 - kept
    assert absent_hub.events[kept]["type"] == "events_dropped"


def test_closing_without_spool_says_how_many_are_lost(
    absent_hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    poster = Poster(absent_hub.url, pace=QUICK)
    post_numbers(poster, range(7))

    assert not poster.close(0.05)
    assert "7 events" in caplog.text
    assert not poster.close(0.05)


def test_closing_does_not_wait_for_a_request_that_hangs(hub: FakeHub, spool_dir: Path) -> None:
    hub.default = Reply(hold=threading.Event())
    poster = Poster(hub.url, spool_dir=spool_dir, pace=Pace(spill_after=DEADLINE, answer_timeout=DEADLINE))
    post_numbers(poster, range(5))
    until(lambda: hub.requests, what="a request")
    started = time.monotonic()

    assert not poster.close(0.1)
    assert time.monotonic() - started < DEADLINE / 2
    assert spooled_numbers(spool_dir) == list(range(5))


def test_closing_tries_once_more_instead_of_sleeping_on(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    hub.script.append(refusal(401))
    poster = Poster(hub.url, pace=Pace(key_delay=600))
    poster.post({"type": "test", "n": 0})
    until(lambda: "next attempt in 600 s" in caplog.text, what="the refused attempt")

    assert poster.close(DEADLINE)
    assert hub.numbers() == [0]


def test_posting_after_the_end_is_harmless(hub: FakeHub) -> None:
    poster = Poster(hub.url, pace=QUICK)
    assert poster.close(DEADLINE)
    poster.post({"type": "test", "n": 0})

    assert hub.events == []


def test_several_posters_share_a_folder_each_with_its_own_file(absent_hub: FakeHub, spool_dir: Path) -> None:
    posters = [Poster(absent_hub.url, spool_dir=spool_dir, pace=QUICK) for _ in range(3)]
    for index, poster in enumerate(posters):
        for number in range(50):
            poster.post({"type": f"p{index}", "n": number})
    until(lambda: len(spooled_numbers(spool_dir)) == 150, what="all events in the spool")
    assert len(list(spool_dir.iterdir())) == 3
    absent_hub.start()

    assert all(poster.close(DEADLINE) for poster in posters)
    for index in range(3):
        numbers = [event["n"] for event in absent_hub.events if event["type"] == f"p{index}"]
        assert numbers == list(range(50))
    assert sum(len(request.events) for request in absent_hub.requests) == 150, (
        "a living poster's file was taken"
    )


def test_rubbish_in_an_old_spool_file_does_not_block_the_rest(hub: FakeHub, spool_dir: Path) -> None:
    hub.refuses = lambda event: event["type"] == "rubbish"
    spool_dir.mkdir()
    events = [{"type": "test", "n": n, "event_id": str(n)} for n in range(3)]
    rows = [json.dumps(event) for event in (events[0], {"type": "rubbish", "event_id": "r"}, *events[1:])]
    rows[2:2] = ["", "\0\0\0", '{"type": "cut i']
    block = ("no header\n".rjust(64) + "\n".join(rows) + "\n").encode() + b'{"type":"not \xff UTF-8"}\n'
    (spool_dir / f"{1:020d}-1-0123abcd.jsonl").write_bytes(block)
    poster = Poster(hub.url, spool_dir=spool_dir, pace=QUICK)

    assert poster.close(DEADLINE)
    assert hub.numbers() == [0, 1, 2]
    assert hub.dropped() == 4


def test_files_of_others_in_the_spool_folder_are_not_sent(hub: FakeHub, spool_dir: Path) -> None:
    spool_dir.mkdir()
    recording = spool_dir / "call.jsonl"
    recording.write_text('{"type": "order"}\n' * 10)
    before = recording.read_bytes()
    poster = Poster(hub.url, spool_dir=spool_dir, pace=QUICK)
    post_numbers(poster, range(3))
    assert poster.close(DEADLINE)
    assert hub.numbers() == [0, 1, 2]
    assert (recording.read_bytes(), [path.name for path in spool_dir.iterdir()]) == (before, ["call.jsonl"])


def test_a_folder_that_cannot_be_written_is_reported_and_memory_continues(
    absent_hub: FakeHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    poster = Poster(absent_hub.url, spool_dir=in_the_way, pace=QUICK)
    post_numbers(poster, range(10))
    until(lambda: "cannot write events to the spool directory" in caplog.text, what="a clear log line")
    absent_hub.start()

    assert poster.close(DEADLINE)
    assert absent_hub.numbers() == list(range(10))
    assert caplog.text.count("cannot write events") == 1


def test_many_threads_may_post(hub: FakeHub, spool_dir: Path) -> None:
    poster = Poster(hub.url, spool_dir=spool_dir, pace=QUICK)

    def work(index: int) -> None:
        for number in range(500):
            poster.post({"type": f"t{index}", "n": number})

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert poster.close(DEADLINE)
    for index in range(4):
        assert [event["n"] for event in hub.events if event["type"] == f"t{index}"] == list(range(500))


def test_an_unexpected_error_does_not_end_the_sender(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poster = Poster(hub.url, pace=QUICK)
    broken = threading.Event()

    def fail(*_: object) -> None:
        broken.set()
        raise KeyError("a bug")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(poster, "_attempt", fail)
        poster.post({"type": "test", "n": 0})
        assert broken.wait(DEADLINE)

    assert poster.close(DEADLINE)
    assert hub.numbers() == [0]
    assert "unexpected error: " in caplog.text


def test_a_strangers_ok_delivers_nothing() -> None:
    with FakeHub() as hub:
        hub.script.extend(
            Reply(body=body, stores=False) for body in (b'{"status":"ok"}', b'{"status":"ok","ids":[]}')
        )
        poster = Poster(hub.url, pace=QUICK)
        poster.post({"type": "note", "n": 1})
        assert poster.close(20.0)
        assert hub.numbers() == [1]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://",
            "http:///path",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:abc",
            "http://[::1",
            "http://a b",
        ),
        *(
            "http://hub?x=1",
            "http://hub#f",
            "http://\u200b",
            "http://*:1",
            f"http://{'a' * 64}.example",
            "ws://hub",
        ),
        "http://user:secret@127.0.0.1:99999",
    ],
)
def test_a_url_at_which_no_hub_can_be_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"the hub's URL is .* \(STREAM_URL\)") as caught:
        Poster(url)
    assert "secret" not in str(caught.value)


def test_spaces_around_a_variable_and_capitals_of_the_scheme_do_no_harm(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_URL", f" {hub.url.replace('http', 'HTTP')}/ ")
    poster = Poster.from_env()
    post_numbers(poster, range(1))
    assert poster.close(DEADLINE)
    assert hub.numbers() == [0]


def test_a_password_in_the_url_is_sent_and_not_logged(hub: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    hub.script.append(Reply(503))
    poster = Poster(hub.url.replace("http://", "http://user:secret@"), pace=QUICK)
    post_numbers(poster, range(1))
    assert poster.close(DEADLINE)
    assert hub.numbers() == [0]
    assert hub.requests[-1].headers["Authorization"].startswith("Basic ")
    assert "keeping them and trying again" in caplog.text
    assert "secret" not in caplog.text


def test_a_user_name_that_would_replace_the_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"user name.*STREAM_PUBLISH_KEY"):
        Poster("http://user:secret@127.0.0.1:1", "key")
