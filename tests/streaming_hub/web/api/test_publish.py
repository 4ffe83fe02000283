"""Each sentence of the design's "Publishing, exactly", and a corpus of bad input.

Covers streaming_hub.web.api.publish and streaming_hub.web.answers, over HTTP.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub.web.current import services_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from streaming_hub.stream.hub import Hub
    from streaming_hub.stream.subscriber import Subscriber

from streaming_hub.events.interest import EVERYTHING, Interest
from tests.kit.sse import seqs
from tests.streaming_hub.making import pull_all, reader

URL = "/api/agent/data"
NDJSON = "application/x-ndjson"


def hub_of(app: Flask) -> Hub:
    """The hub behind an application."""
    return services_of(app).hub


def watch(app: Flask, interest: Interest = EVERYTHING) -> Subscriber:
    """An open stream."""
    subscriber = reader(hub_of(app), interest=interest)
    assert pull_all(hub_of(app), subscriber) == b""
    return subscriber


def stored(client: FlaskClient) -> list[dict[str, Any]]:
    """All stored events."""
    events: list[dict[str, Any]] = client.get("/api/events?limit=1000").get_json()["events"]
    return events


def assert_problem(answer: TestResponse, status: int) -> dict[str, Any]:
    """A problem document (RFC 9457) and nothing of the server's insides."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.data)
    assert body["status"] == status
    assert set(body) >= {"type", "title", "detail"}
    assert "<" not in body["title"]
    assert "Traceback" not in answer.text
    return body


def test_one_event(app: Flask, client: FlaskClient) -> None:
    watch(app)
    watch(app, Interest(rooms=frozenset("x")))
    body = client.post(URL, json={"type": "note"}).get_json()
    epoch = services_of(app).history.bounds.epoch
    assert body == {"status": "ok", "id": f"{epoch}-1", "clients_notified": 1}


def test_a_batch(app: Flask, client: FlaskClient) -> None:
    watch(app)
    watch(app, Interest(rooms=frozenset("x")))
    watch(app, Interest(rooms=frozenset("y")))
    body = client.post(URL, json=[{"type": "note"}, {"type": "note", "room": "x"}]).get_json()
    epoch = services_of(app).history.bounds.epoch
    ids = [f"{epoch}-1", f"{epoch}-2"]
    assert body == {"status": "ok", "ids": ids, "clients_notified": 2, "duplicates": 0}


@pytest.mark.parametrize("body", [b'{"type":"a"}\n{"type":"b"}\n', b'{"type":"a"}\r\n\r\n{"type":"b"}'])
def test_a_batch_of_lines(client: FlaskClient, body: bytes) -> None:
    answer = client.post(URL, data=body, content_type=NDJSON).get_json()
    assert len(answer["ids"]) == 2
    assert [event["type"] for event in stored(client)] == ["a", "b"]


def test_an_empty_batch_is_taken(client: FlaskClient) -> None:
    empty = {"status": "ok", "ids": [], "clients_notified": 0, "duplicates": 0}
    assert client.post(URL, json=[]).get_json() == empty
    assert client.post(URL, data=b"", content_type=NDJSON).get_json() == empty


def test_a_single_event_as_lines_is_a_batch(client: FlaskClient) -> None:
    assert len(client.post(URL, data=b'{"type":"a"}', content_type=NDJSON).get_json()["ids"]) == 1


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_content_types_are_read_as_http_says(client: FlaskClient, kind: str) -> None:
    assert client.post(URL, data=b'{"type":"a"}', content_type=kind).status_code == 200


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "text/json", "application/x-www-form-urlencoded", "nonsense"]
)
def test_other_content_types_are_415(client: FlaskClient, kind: str | None) -> None:
    assert_problem(client.post(URL, data=b'{"type":"a"}', content_type=kind), 415)
    assert stored(client) == []


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "x"])
def test_a_content_encoding_is_415(client: FlaskClient, coding: str) -> None:
    answer = client.post(
        URL, data=b'{"type":"a"}', content_type="application/json", headers={"Content-Encoding": coding}
    )
    assert_problem(answer, 415)


def test_a_batch_is_all_or_nothing(app: Flask, client: FlaskClient) -> None:
    one = watch(app)
    body = assert_problem(
        client.post(URL, json=[{"type": "a", "event_id": "x"}, {"type": "b", "room": 5}]), 422
    )
    assert body["field"] == "[1].room"
    assert stored(client) == []
    assert pull_all(hub_of(app), one) == b""
    # A refused batch is not remembered.
    assert "duplicate" not in client.post(URL, json={"type": "a", "event_id": "x"}).get_json()


def test_a_repeated_event_id_is_harmless(app: Flask, client: FlaskClient) -> None:
    one = watch(app)
    first = client.post(URL, json={"type": "a", "event_id": "x"}).get_json()
    again = client.post(URL, json={"type": "a", "event_id": "x"}).get_json()
    assert again == {"status": "ok", "id": first["id"], "duplicate": True, "clients_notified": 0}
    assert seqs(pull_all(hub_of(app), one)) == [1]
    assert len(stored(client)) == 1


def test_an_idempotency_key_does_the_same(client: FlaskClient) -> None:
    send = {"json": {"type": "a"}, "headers": {"Idempotency-Key": "k"}}
    first = client.post(URL, **send).get_json()
    assert client.post(URL, **send).get_json() == {**first, "duplicate": True}
    batch = {"json": [{"type": "a"}, {"type": "b"}], "headers": {"Idempotency-Key": "batch"}}
    ids = client.post(URL, **batch).get_json()["ids"]
    again = client.post(URL, **batch).get_json()
    assert (again["ids"], again["duplicates"]) == (ids, 2)


@pytest.mark.parametrize("key", ["", "x" * 256, "\x7f"])
def test_a_strange_idempotency_key_is_refused(client: FlaskClient, key: str) -> None:
    answer = client.post(URL, json={"type": "a"}, headers={"Idempotency-Key": key})
    assert_problem(answer, 400)
    assert stored(client) == []


def test_a_batch_may_mix_new_and_known(app: Flask, client: FlaskClient) -> None:
    client.post(URL, json=[{"type": "a", "event_id": str(n)} for n in range(3)])
    one = watch(app)
    body = client.post(URL, json=[{"type": "a", "event_id": str(n)} for n in (1, 7, 0, 8, 7)]).get_json()
    assert [int(one.split("-")[1]) for one in body["ids"]] == [2, 4, 1, 5, 4]
    assert (body["duplicates"], body["clients_notified"]) == (3, 1)
    assert seqs(pull_all(hub_of(app), one)) == [4, 5]


def test_event_ids_are_remembered_across_a_restart(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    history = f"sqlite:///{tmp_path}/events.db"
    app = make_app(history=history)
    first = app.test_client().post(URL, json={"type": "a", "event_id": "x"}).get_json()
    services_of(app).stop()
    again = make_app(history=history).test_client().post(URL, json={"type": "a", "event_id": "x"}).get_json()
    assert again == {"status": "ok", "id": first["id"], "duplicate": True, "clients_notified": 0}


def test_the_server_adds_an_id_and_a_missing_timestamp_and_nothing_else(client: FlaskClient) -> None:
    posted = {
        "type": "my.own:type-1",
        "text": "a\r\n\x00\u2028é😀",
        "nested": {"a": [1, 2.5, None, True, "x"]},
        "": "",
    }
    answer = client.post(URL, json=posted).get_json()
    (event,) = stored(client)
    assert event == {**posted, "id": answer["id"], "timestamp": event["timestamp"]}
    client.post(URL, json={**posted, "timestamp": 5})
    assert stored(client)[1]["timestamp"] == 5


def test_of_duplicate_keys_the_last_counts(client: FlaskClient) -> None:
    client.post(URL, data=b'{"type":"a","text":"first","text":"last"}', content_type="application/json")
    assert stored(client)[0]["text"] == "last"


def test_sizes(client: FlaskClient) -> None:
    def event(size: int) -> bytes:
        return b'{"type":"a","x":"' + b"x" * (size - 19) + b'"}'

    def post(body: bytes) -> TestResponse:
        return client.post(URL, data=body, content_type="application/json")

    assert post(event(65_536)).status_code == 200
    assert_problem(post(event(65_537)), 413)
    assert_problem(post(b"[" + event(65_537) + b"]"), 413)
    full = b"[" + b",".join([event(65_000)] * 16) + b"]"
    assert len(full) < 1_048_576
    assert post(full).status_code == 200
    assert post(full + b" " * (1_048_576 - len(full))).status_code == 200
    assert_problem(post(full + b" " * (1_048_577 - len(full))), 413)
    assert post(b"[" + b",".join([b'{"type":"a"}'] * 1000) + b"]").status_code == 200
    assert_problem(post(b"[" + b",".join([b'{"type":"a"}'] * 1001) + b"]"), 413)


def test_an_empty_body_is_called_so(client: FlaskClient) -> None:
    for body in (b"", b" \r\n"):
        answer = client.post(URL, data=body, content_type="application/json")
        assert assert_problem(answer, 400)["detail"].startswith("The body is empty")


BAD = [
    (b"", 400),
    (b"nope", 400),
    (b"{", 400),
    (b"[", 400),
    (b"null", 422),
    (b"7", 422),
    (b'"x"', 422),
    (b"{}", 422),
    (b"[[]]", 422),
    (b"[null]", 422),
    (b"[1,]", 400),
    (b'{"type":null}', 422),
    (b'{"type":["a"]}', 422),
    (b'{"type":"heartbeat"}', 422),
    (b'{"type":"connected"}', 422),
    (b'{"type":"snapshot"}', 422),
    (b'{"type":"stream_reset"}', 422),
    (b'{"type":"goodbye"}', 422),
    (b'{"type":"agent_process","state":"ready"}', 422),
    (b'{"type":"a","id":"x-1"}', 422),
    (b'{"type":"a","timestamp":"now"}', 422),
    (b'{"type":"a","timestamp":-1}', 422),
    (b'{"type":"a","timestamp":1e11}', 422),
    (b'{"type":"a","room":1}', 422),
    (b'{"type":"a","room":"a\\nb"}', 422),
    (b'{"type":"a","event_id":"a\\u0000"}', 422),
    (b'{"type":"a","x":NaN}', (400, 422)),
    (b'{"type":"a","x":1e999}', (400, 422)),
    (b'{"type":"a","x":' + b"9" * 400 + b"}", (400, 422)),
    (b'{"type":"a","x":"\\ud800"}', (400, 422)),
    (b'{"type":"a","x":"\xff"}', (400, 422)),
    (b'\xff\xfe{\x00"\x00', (400, 422)),
    (b'{"type":"a","x":' + b"[" * 40 + b"]" * 40 + b"}", 422),
    (b"[" * 60_000, (400, 422)),
    (b'{"a":' * 10_000, (400, 422)),
    (b"\x00" * 100, (400, 422)),
    (b"<html>", (400, 422)),
]


# As lines, an empty body and an array are read differently.
BAD_IN_EACH_KIND = [
    pytest.param(body, status, kind, id=f"{kind}-{body[:24].decode('latin-1')}")
    for kind in ("application/json", NDJSON)
    for body, status in BAD
    if kind != NDJSON or (body and not body.startswith(b"["))
]


@pytest.mark.parametrize(("body", "status", "kind"), BAD_IN_EACH_KIND)
def test_bad_input_is_a_problem_and_nothing_is_sent(
    app: Flask, client: FlaskClient, body: bytes, status: int | tuple[int, ...], kind: str
) -> None:
    one = watch(app)
    answer = client.post(URL, data=body, content_type=kind)
    allowed = status if isinstance(status, tuple) else (status,)
    assert answer.status_code in allowed, answer.text
    problem = assert_problem(answer, answer.status_code)
    if answer.status_code == 422 and body.startswith(b'{"type":"a","') and b'"x"' not in body:
        field = json.loads(body.replace(b"\\n", b"")).keys() - {"type"}
        assert problem["field"].split(".")[-1] in field
    assert pull_all(hub_of(app), one) == b""
    assert stored(client) == []
    assert client.post(URL, json={"type": "a"}).status_code == 200


def test_a_posted_id_names_event_id(client: FlaskClient) -> None:
    body = assert_problem(client.post(URL, json={"type": "a", "id": "x"}), 422)
    assert body["field"] == "id"
    assert "event_id" in body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/api", 404),
        ("GET", "/api/", 404),
        ("GET", "/api//health", 404),
        ("GET", "/api/health/", 404),
        ("GET", "/api/agent/data", 405),
        ("PUT", "/api/agent/data", 405),
        ("POST", "/api/stream", 405),
        ("DELETE", "/api/events", 405),
        ("GET", "/api/agent/start", 405),
        ("POST", "/", 405),
        ("GET", "/api/rooms/nobody", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/%00", 404),
        ("GET", "/static/x", 404),
        ("PROPFIND", "/api/stream", 405),
    ],
)
def test_every_error_is_a_problem(client: FlaskClient, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method)
    detail = assert_problem(answer, status)["detail"]
    if status == 405:
        assert answer.headers["Allow"]
        assert detail.startswith(f"{method} is not allowed at this path: use ")
        assert detail.removesuffix(".").split()[-1] in answer.headers["Allow"]
    elif path != "/api/rooms/nobody":
        assert detail == "There is nothing at this path. /docs lists what there is."


@pytest.mark.parametrize("path", ["/api/agent/start", "/api/stream/ticket"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b'{"unknown":1}', b'{"room":7}', b"\xff", b"[" * 5000])
def test_bodies_of_other_endpoints_are_checked_too(client: FlaskClient, path: str, body: bytes) -> None:
    answer = client.post(path, data=body, content_type="application/json")
    assert answer.status_code in (400, 422), answer.text
    assert_problem(answer, answer.status_code)


def test_a_mode_that_is_none_is_named_with_those_that_are(client: FlaskClient) -> None:
    problem = assert_problem(client.post("/api/agent/start", json={"mode": "Livekit"}), 422)
    assert (problem["field"], problem["detail"]) == (
        "mode",
        "mode: 'Livekit': expected auto, livekit or rehearsal.",
    )


@pytest.mark.parametrize(
    "query",
    [
        *(
            "limit=x",
            "limit=-1",
            "limit=0",
            "last=0",
            "last=3&limit=0",
            "limit=1.5",
            "limit=9999999999",
            "after=nope",
            "before=other-5",
        ),
        *("after=%00", "limit=%D9%A1", "after=x-1&before=x-1"),
    ],
)
def test_a_bad_query_is_a_problem(client: FlaskClient, query: str) -> None:
    assert_problem(client.get(f"/api/events?{query}"), 400)


@pytest.mark.parametrize("path", ["/api/events", "/api/stream"])
@pytest.mark.parametrize("name", ["room", "type", "participant", "session_id"])
def test_the_values_of_a_filter_are_limited(client: FlaskClient, path: str, name: str) -> None:
    most = "&".join(f"{name}={number}" for number in range(100))
    assert client.head(f"{path}?{most}").status_code == 200
    problem = assert_problem(client.get(f"{path}?{most}&{name}=one-more"), 400)
    assert name in str(problem)


def test_a_query_that_is_not_utf8_does_no_harm(client: FlaskClient) -> None:
    assert client.get("/api/events?room=%ff%fe&type=%ED%A0%80").status_code == 200


@pytest.mark.parametrize("history", ["memory", "sqlite"])
def test_small_settings_are_honoured(make_app: Callable[..., Flask], tmp_path: Path, history: str) -> None:
    where = "memory://" if history == "memory" else f"sqlite:///{tmp_path}/e.db"
    app = make_app(history=where, history_max_events=3, queue_size=1)
    client = app.test_client()
    one = watch(app)
    for _ in range(5):
        client.post(URL, json={"type": "a"})
    assert [int(event["id"].split("-")[1]) for event in stored(client)] == [3, 4, 5]
    assert one.waiting <= 1


def test_a_redaction_hook_that_fails_stores_nothing(
    make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hook_for_this_test.py").write_text(
        "def change(event):\n"
        "    if event['type'] == 'fails':\n        raise RuntimeError('secret inside')\n"
        "    if event['type'] == 'none':\n        return None\n"
        "    event['text'] = '***'\n    event.pop('event_id', None)\n    return event\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    client = make_app(redact="hook_for_this_test:change").test_client()
    for kind in ("fails", "none"):
        answer = client.post(URL, json={"type": kind, "text": "secret"})
        assert_problem(answer, 503)
        assert "secret" not in answer.text
    assert stored(client) == []
    assert client.post(URL, json={"type": "a", "text": "secret", "event_id": "1"}).status_code == 200
    assert client.post(URL, json={"type": "a", "text": "secret", "event_id": "1"}).get_json()["duplicate"]
    (event,) = stored(client)
    assert event["text"] == "***"
