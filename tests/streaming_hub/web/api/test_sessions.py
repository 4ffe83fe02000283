"""Sessions over HTTP, at a real server with its archive's process: what each view gets, and what is refused.

Covers

    streaming_hub.web.api.archived
    streaming_hub.web.paths
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from streaming_hub.archive import figures
from streaming_hub.archive.reduce import Reduction
from streaming_hub.web.times import make_cursor
from tests.kit.callers import JWT_SECRET, token
from tests.kit.hub import Hub
from tests.streaming_hub.web.api.archiving import (
    KEYS,
    OPERATOR,
    START,
    VIEWER,
    call,
    eventually,
    ids,
    post,
    reports,
    wait_for,
)
from tests.structure.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient

SLASHED = "job/1 é%2F"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    server = Hub(tmp_path_factory.mktemp("sessions"), STREAM_JWT_SECRET=JWT_SECRET, **KEYS).start()
    post(server, call("one"))
    post(server, call("two", at=START + 100))
    post(server, call("two", "other-room", at=START + 200))
    post(server, call("roomless", None, at=START + 300))
    post(server, call(SLASHED, at=START + 400))
    post(server, call("x/events", at=START + 500))
    post(server, call("live", at=START + 600, ends=False))
    wait_for(server, "live", ended=False)
    yield server
    server.kill()


def get(server: Hub, path: str, status: int = 200, **headers: str) -> Any:
    answer = server.get(path, **(headers or OPERATOR))
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_session_is_what_the_figures_say(server: Hub) -> None:
    reduction = Reduction.of(call("one")[0])
    for event in call("one"):
        reduction.take(event)
    wanted = figures.detail(reduction.state)
    wanted["session"] |= {"missing_events": 0, "incomplete": False, "recorded": True}
    wanted["session"] |= {"audio": False, "recording_start": None}
    wanted["reconciliation"] = None
    assert get(server, "/api/sessions/one") == json.loads(json.dumps(wanted))


def documented(heading: str) -> Any:
    text = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    return json.loads(text.partition(f"\n## {heading}\n")[2].partition("```json\n")[2].partition("```")[0])


def test_the_documented_examples_have_the_fields_of_real_answers(server: Hub) -> None:
    real, example = get(server, "/api/sessions/one"), documented("GET /api/sessions/ID")
    assert real["session"].keys() == example["session"].keys()
    for part in ("turns", "transcript", "tools"):
        assert real[part][0].keys() == example[part][0].keys(), part
    (bucket,) = get(server, f"/api/stats?from={START}&to={START + 1}")["buckets"]
    assert bucket.keys() == documented("GET /api/stats")["buckets"][0].keys()


def test_what_only_operators_hear_is_in_nothing_that_viewers_get(server: Hub) -> None:
    common = {"session_id": "whispered", "room": "support-7"}
    secret = {**common, "audience": "operator"}
    post(
        server,
        [
            {"type": "session_started", "timestamp": START + 700, **common},
            {"type": "transcript", "role": "user", "text": "one two", "turn_id": "t1", **common},
            {"type": "transcript", "role": "user", "text": "three", "turn_id": "t2", **secret},
            {"type": "transcript", "role": "agent", "text": "four five six", "turn_id": "t2", **secret},
            {"type": "turn_metrics", "e2e_latency": 1.0, "turn_id": "t3", **common},
            {"type": "transcript", "role": "agent", "text": "seven", "turn_id": "t4", **common},
            {"type": "session_ended", "reason": "fraud_suspected", "timestamp": START + 710, **secret},
        ],
    )
    wait_for(server, "whispered")
    full, seen = get(server, "/api/sessions/whispered"), get(server, "/api/sessions/whispered", **VIEWER)
    assert [turn["turn_id"] for turn in full["turns"]] == ["t1", "t2", "t3", "t4"]
    assert [(turn["turn_id"], turn["index"]) for turn in seen["turns"]] == [("t1", 0), ("t4", 1)]
    names = ("turns", "user_words", "agent_words", "reason", "state")
    assert [full["session"][name] for name in names] == [4, 3, 4, "fraud_suspected", "ended"]
    assert [seen["session"][name] for name in names] == [2, 2, 1, None, "ended"]
    asked = "/api/sessions?reason=fraud_suspected"
    assert ids(server.get(asked, **OPERATOR)) == ["whispered"]
    assert ids(server.get(asked, **VIEWER)) == []
    (listed,) = get(server, f"/api/sessions?from={START + 700}&to={START + 701}", **VIEWER)["sessions"]
    assert listed == seen["session"]
    assert (
        requests.delete(f"{server.url}/api/sessions/whispered", headers=OPERATOR, timeout=30).status_code
        == 200
    )


def test_a_long_recording_comes_in_pages_and_whole(server: Hub) -> None:
    events = [
        {"type": "note", "text": str(number) * 30_000, "session_id": "long", "room": "support-7"}
        | ({"audience": "operator"} if number % 3 == 0 else {})
        for number in range(10, 99)
    ]
    for first in range(0, len(events), 10):
        post(server, events[first : first + 10])
    wait_for(server, "long", ended=False)

    def seen(caller: dict[str, str]) -> list[str]:
        lines = server.get("/api/sessions/long/events", **caller).text.splitlines()
        return [one["text"][:2] for line in lines if "text" in (one := json.loads(line))]

    everything = [str(number) for number in range(10, 99)]
    eventually(lambda: seen(OPERATOR), everything)
    post(server, [{"type": "session_ended", "session_id": "long", "room": "support-7"}])
    wait_for(server, "long")
    assert seen(OPERATOR) == everything
    assert seen(VIEWER) == [number for number in everything if int(number) % 3]
    assert requests.delete(f"{server.url}/api/sessions/long", headers=OPERATOR, timeout=30).status_code == 200


def test_the_newest_comes_first_and_pages_join(server: Hub) -> None:
    order = ["live", "x/events", SLASHED, "roomless", "two", "two", "one"]
    assert ids(server.get("/api/sessions", **OPERATOR)) == order
    got: list[str] = []
    cursor = ""
    while cursor is not None:
        page = get(server, f"/api/sessions?limit=3&cursor={cursor}")
        got += [one["session_id"] for one in page["sessions"]]
        cursor = page["next"]
    assert got == order


def test_a_limit_over_the_most_counts_as_the_most(server: Hub) -> None:
    assert len(ids(server.get("/api/sessions?limit=9999", **OPERATOR))) == 7


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("room=other-room", ["two"]),
        ("room=", ["roomless"]),
        ("room=other-room&room=", ["roomless", "two"]),
        ("state=live", ["live"]),
        ("participant=alice&agent=helper&state=ended&room=other-room", ["two"]),
        ("participant=nobody", []),
        ("reason=participant_disconnected&room=", ["roomless"]),
        (f"from={START}&to={START + 100}", ["one"]),
        ("from=2026-11-23T10:33:20Z&to=2026-11-23T11:35:00%2B01:00", ["one"]),
        ("from=2026-11-23T10:33:20Z&to=2026-11-23T11:35:00+01:00", ["one"]),
        ("q=paris%20ROOMLESS", ["roomless"]),
        ("q=%22half%20past%22&room=", ["roomless"]),
        ("q=time+OR+nothing", []),
        ("q=one", ["one"]),
        ("sort=started&limit=1", ["one"]),
        ("latency_over=1.2&room=", ["roomless"]),
        ("latency_over=1.3", []),
        ("failed_tools=1&errors=1&room=", ["roomless"]),
        ("sort=-errors&room=", ["roomless"]),
    ],
)
def test_filters(server: Hub, asked: str, wanted: list[str]) -> None:
    assert ids(server.get(f"/api/sessions?{asked}", **OPERATOR)) == wanted


def test_matches_are_shown(server: Hub) -> None:
    (session,) = get(server, "/api/sessions?q=roomless")["sessions"]
    assert session["matches"] == [
        {
            "text": "What time is it in Paris, roomless?",
            "role": "user",
            "at": START + 303,
            "turn_id": "roomless.t1",
        }
    ]
    assert "matches" not in get(server, "/api/sessions?room=")["sessions"][0]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("frm=1", "frm"),
        ("session_id=one", "session_id"),
        ("from=yesterday", "from"),
        ("from=-1", "from"),
        ("to=nan", "to"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("to=2026-11-28T00:00:00", "to"),
        ("from=99999999999999999999", "from"),
        ("state=gone", "state"),
        ("sort=room", "sort"),
        ("sort=--started", "sort"),
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=" + "A" * 3000, "cursor"),
        ("cursor=WyItc3RhcnRlZCIsIngiLCJzIiwxXQ", "cursor"),
        ("q=" + "x" * 201, "q"),
        ("q=%00", "q"),
        ("room=%00", "room"),
        ("&".join(["agent=x"] * 101), "agent"),
        ("latency_over=fast", "latency_over"),
        ("latency_over=-1", "latency_over"),
        ("latency_over=nan", "latency_over"),
        ("latency_over=1_000", "latency_over"),
        ("latency_over=5%0A", "latency_over"),
        ("latency_over=%D9%A1", "latency_over"),
        ("latency_over=1e999", "latency_over"),
        ("cursor=WyItc3RhcnRlZCIsNSwiXHVkODAwIiwxXQ", "cursor"),
        ("failed_tools=maybe", "failed_tools"),
        ("from=5&to=1", "from"),
        ("q=a&q=b", "q"),
        ("limit=1&limit=2", "limit"),
        ("skip=-1", "skip"),
        ("total=all", "total"),
    ],
)
def test_bad_queries_are_400_and_named(server: Hub, asked: str, field: str) -> None:
    problem = get(server, f"/api/sessions?{asked}", 400)
    assert problem["field"] == field
    assert field in problem["detail"]


@pytest.mark.parametrize("value", ["0", "1", "2.5", ".5", "5.", "1e3", "1.5E-2"])
def test_seconds_may_be_written_in_any_common_way(server: Hub, value: str) -> None:
    listed = ids(server.get(f"/api/sessions?latency_over={value}", **OPERATOR))
    assert bool(listed) is (float(value) < 1.25)


@pytest.mark.parametrize("values", [[5.0, 1 << 64], [5.0, -1], ["x", 1], [5.0]])
def test_a_cursor_of_the_log_that_was_not_made_here(server: Hub, values: list[Any]) -> None:
    problem = get(server, f"/api/sessions/one/logs?cursor={make_cursor(values)}", 400)
    assert problem["field"] == "cursor"


def test_a_filter_that_erasing_does_not_know_erases_nothing(server: Hub) -> None:
    url = f"{server.url}/api/rooms/other-room/events?session_id=two"
    refused = requests.delete(url, headers=OPERATOR, timeout=30)
    assert (refused.status_code, refused.json()["field"]) == (400, "session_id")
    assert get(server, "/api/sessions/two?room=other-room")["session"]["state"] == "ended"


def test_any_part_of_a_list_can_be_asked_for(server: Hub) -> None:
    whole = get(server, "/api/sessions?limit=200&total=1")
    assert whole["total"] == len(whole["sessions"]) == 7
    part = get(server, "/api/sessions?skip=2&limit=3")
    assert part["sessions"] == whole["sessions"][2:5]
    assert set(part) == {"sessions", "next"}
    rest = get(server, f"/api/sessions?limit=3&cursor={part['next']}")
    assert rest["sessions"] == whole["sessions"][5:]
    first = get(server, "/api/sessions?limit=1")
    assert get(server, f"/api/sessions?skip=3&cursor={first['next']}")["sessions"] == whole["sessions"][4:]
    assert get(server, "/api/sessions?skip=7&total=1") == {"sessions": [], "next": None, "total": 7}


def test_the_total_is_of_what_is_asked_for(server: Hub) -> None:
    asked = "/api/sessions?total=1&limit=1"
    assert get(server, f"{asked}&room=other-room")["total"] == 1
    assert get(server, f"{asked}&q=two")["total"] == 2
    assert get(server, f"{asked}&q=...")["total"] == 0
    assert get(server, f"{asked}&state=live&q=paris")["total"] == 1
    assert get(server, asked, **token("subscribe", rooms=["other-room"]))["total"] == 1


def test_a_cursor_belongs_to_its_sort(server: Hub) -> None:
    cursor = get(server, "/api/sessions?limit=1&sort=duration")["next"]
    assert get(server, f"/api/sessions?cursor={cursor}", 400)["field"] == "cursor"


def test_one_id_in_several_rooms(server: Hub) -> None:
    problem = get(server, "/api/sessions/two", 409)
    assert "other-room" in problem["detail"]
    assert "other-room" in problem["rooms"]
    assert len(problem["rooms"]) == 2
    assert get(server, "/api/sessions/two?room=other-room")["session"]["room"] == "other-room"
    get(server, "/api/sessions/two?room=", 404)
    assert get(server, "/api/sessions/roomless?room=")["session"]["room"] is None
    get(server, "/api/sessions/two/events?room=nowhere", 404)


def test_ids_are_percent_encoded_in_paths(server: Hub) -> None:
    encoded = quote(SLASHED, safe="")
    assert get(server, f"/api/sessions/{encoded}")["session"]["session_id"] == SLASHED
    lines = server.get(f"/api/sessions/{encoded}/events", **OPERATOR).text.splitlines()
    assert len(lines) == len(call(SLASHED))
    assert get(server, "/api/sessions/x%2Fevents")["session"]["session_id"] == "x/events"
    assert len(server.get("/api/sessions/x%2Fevents/events", **OPERATOR).text.splitlines()) == 14
    get(server, "/api/sessions/x/events", 404)


def test_names_may_be_as_long_as_those_that_are_posted(server: Hub) -> None:
    name = "n" * 3000
    post(server, call(name, name, at=START + 700))
    wait_for(server, name)
    try:
        assert ids(server.get(f"/api/sessions?room={name}", **OPERATOR)) == [name]
        assert get(server, f"/api/sessions/{name}?room={name}")["session"]["room"] == name
        for what in ("events", "export?format=vtt", "trace", "logs"):
            assert server.get(f"/api/sessions/{name}/{what}", **OPERATOR).ok
    finally:
        erased = requests.delete(f"{server.url}/api/sessions/{name}", headers=OPERATOR, timeout=60)
    assert erased.ok


def test_the_events_are_as_the_stream_sent_them(server: Hub) -> None:
    answer = server.get("/api/sessions/one/events", **OPERATOR)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    stored = get(server, "/api/events?session_id=one")["events"]
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        one for one in stored if one["type"] != "session_report"
    ]


def test_viewers_see_the_conversation_only(server: Hub) -> None:
    full, seen = get(server, "/api/sessions/one"), get(server, "/api/sessions/one", **VIEWER)
    hidden = ("latency", "tool_calls", "tool_failures", "errors", "usage", "audio")
    assert all(full["session"][name] is not None for name in hidden)
    assert seen["session"] == full["session"] | dict.fromkeys(hidden)
    assert (seen["tools"], seen["errors"]) == ([], [])
    assert seen["transcript"] == full["transcript"]
    (turn,), (whole,) = seen["turns"], full["turns"]
    assert whole["e2e_latency"] == 1.25
    assert turn["e2e_latency"] is None
    assert turn["heard_latency"] == whole["heard_latency"] == 1.5
    assert get(server, "/api/sessions?room=", **VIEWER)["sessions"][0]["usage"] is None
    types = {
        json.loads(line)["type"]
        for line in server.get("/api/sessions/one/events", **VIEWER).text.splitlines()
    }
    assert types == {
        "session_started",
        "user_speech_started",
        "user_speech_finished",
        "transcript",
        "agent_speech_started",
        "agent_speech_finished",
        "session_ended",
    }


@pytest.mark.parametrize(
    "asked", ["latency_over=1", "failed_tools=1", "errors=1", "sort=latency", "sort=-errors"]
)
def test_viewers_may_not_ask_for_what_they_do_not_see(server: Hub, asked: str) -> None:
    get(server, f"/api/sessions?{asked}", 403, **VIEWER)


def test_a_credential_for_rooms_sees_its_rooms(server: Hub) -> None:
    headers = token("subscribe", rooms=["other-room"])
    assert ids(server.get("/api/sessions", **headers)) == ["two"]
    assert get(server, "/api/sessions/two", **headers)["session"]["room"] == "other-room"
    get(server, "/api/sessions/one", 404, **headers)
    get(server, "/api/sessions/roomless", 404, **headers)
    assert ids(server.get("/api/sessions?room=support-7", **headers)) == []
    assert ids(server.get("/api/sessions?q=paris", **headers)) == ["two"]


def test_an_operator_of_some_rooms_erases_in_those_alone(server: Hub) -> None:
    post(server, call("same", "a", at=START + 800))
    post(server, call("same", "b", at=START + 900))

    def rooms() -> list[str]:
        found = server.get("/api/sessions?participant=alice&room=a&room=b", **OPERATOR).json()["sessions"]
        return [one["room"] for one in found]

    def erase(**claims: Any) -> requests.Response:
        url = f"{server.url}/api/sessions/same"
        return requests.delete(url, headers=token("operate", **claims), timeout=30)

    eventually(rooms, ["b", "a"])
    eventually(lambda: sum(one["session_id"] == "same" for one in reports(server)), 2)
    assert erase(rooms=["b", "c"]).json()["erased"] == 15
    assert rooms() == ["a"]
    assert erase(rooms=["c"]).status_code == 403
    assert rooms() == ["a"]
    assert erase().json()["erased"] == 15


def test_credentials_are_asked_for(server: Hub) -> None:
    for path in ("", "/one", "/one/events", "/one/export"):
        assert requests.get(f"{server.url}/api/sessions{path}", timeout=10).status_code == 401
        assert server.get(f"/api/sessions{path}", **{"X-API-Key": "publish-key"}).status_code == 403


def test_there_is_one_report_of_each_session_that_ended(server: Hub) -> None:
    found = eventually(lambda: reports(server), lambda found: len(found) >= 6)
    assert sorted(one["event_id"] for one in found) == sorted(
        f"report:{quote(room, safe='')}:{quote(session_id, safe='')}"
        for session_id, room in [
            ("one", "support-7"),
            ("two", "support-7"),
            ("two", "other-room"),
            ("roomless", ""),
            (SLASHED, "support-7"),
            ("x/events", "support-7"),
        ]
    )
    (report,) = [one for one in found if one["session_id"] == "one"]
    detail = get(server, "/api/sessions/one")
    assert (report["session"], report["transcript"]) == (detail["session"], detail["transcript"])
    assert "truncated" not in report
    assert get(server, "/api/events?type=session_report", **VIEWER)["events"] == []


@pytest.mark.parametrize(
    "event",
    [{"type": "session_report"}, {"type": "mine", "event_id": "report:support-7:one"}],
)
def test_reports_cannot_be_posted(server: Hub, event: dict[str, str]) -> None:
    assert server.post(event, **{"X-API-Key": "publish-key"}).status_code == 422
    assert server.post([event], **{"X-API-Key": "publish-key"}).status_code == 422


def test_nor_can_an_idempotency_key_take_a_reports_place(server: Hub) -> None:
    headers = {"X-API-Key": "publish-key", "Idempotency-Key": "report:support-7:soon"}
    assert server.post({"type": "mine"}, **headers).status_code == 422


def test_the_start_is_logged_with_file_and_age(server: Hub) -> None:
    assert "archive.db and deleted 30 days after their end" in server.log


def test_health_and_metrics_report_it(server: Hub) -> None:
    assert get(server, "/api/health")["archive"] == "ok"
    metrics = server.get("/metrics", **OPERATOR).text
    assert "hub_archive_up 1.0" in metrics
    eventually(lambda: "hub_archive_behind 0.0" in server.get("/metrics", **OPERATOR).text, True)


def test_without_an_archive_there_is_nothing(client: FlaskClient) -> None:
    assert client.post("/api/agent/data", json=call("one")).status_code == 200
    for path in ("/api/sessions", "/api/sessions/one", "/api/sessions/one/events", "/api/stats"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "STREAM_ARCHIVE" in answer.json["detail"]
    assert client.get("/api/health").json["archive"] == "off"
    assert client.delete("/api/sessions/one").json["erased"] == 14
