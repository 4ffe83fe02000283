"""Who may do what: every endpoint, every kind of credential, from here and from elsewhere.

Covers streaming_hub.web.headers and streaming_hub.web.console.live, over HTTP.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from flask_server import create_app
from streaming_hub.access import OPERATE, PUBLISH, SUBSCRIBE
from streaming_hub.settings import Settings
from streaming_hub.web.console.pages import PAGES
from streaming_hub.web.current import services_of
from streaming_hub.web.declared import operates
from tests.kit.callers import (
    FAR,
    JWT_SECRET,
    KEYS,
    LIVEKIT_KEY,
    LIVEKIT_SECRET,
    OPERATOR_KEY,
    PUBLISH_KEY,
    SUBSCRIBE_KEY,
    ask,
    bearer,
    hub,
    livekit_token,
    post_talk,
    stored,
    token,
)
from tests.kit.sse import read

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.test import TestResponse

ENDPOINTS = [
    ("POST", "/api/agent/data", PUBLISH),
    ("POST", "/api/agent/lease", PUBLISH),
    ("GET", "/api/stream", SUBSCRIBE),
    ("HEAD", "/api/stream", SUBSCRIBE),
    ("POST", "/api/stream/ticket", SUBSCRIBE),
    ("GET", "/api/events", SUBSCRIBE),
    ("GET", "/api/rooms", SUBSCRIBE),
    ("GET", "/api/rooms/a", SUBSCRIBE),
    ("POST", "/api/agent/start", OPERATE),
    ("POST", "/api/agent/stop", OPERATE),
    ("GET", "/api/agent/status", OPERATE),
    ("GET", "/metrics", OPERATE),
    ("DELETE", "/api/sessions/s", OPERATE),
    ("GET", "/api/sessions", SUBSCRIBE),
    ("GET", "/api/sessions/s", SUBSCRIBE),
    ("GET", "/api/sessions/s/events", SUBSCRIBE),
    ("GET", "/api/sessions/s/export", SUBSCRIBE),
    ("GET", "/api/stats", SUBSCRIBE),
    ("GET", "/api/me", SUBSCRIBE),
    ("GET", "/api/webhooks", OPERATE),
    ("POST", "/api/webhooks", OPERATE),
    ("GET", "/api/webhooks/w", OPERATE),
    ("PATCH", "/api/webhooks/w", OPERATE),
    ("DELETE", "/api/webhooks/w", OPERATE),
    ("POST", "/api/webhooks/w/test", OPERATE),
    ("GET", "/api/webhooks/w/deliveries", OPERATE),
    ("GET", "/api/webhooks/w/deliveries/1", OPERATE),
    ("POST", "/api/webhooks/w/replay", OPERATE),
    ("DELETE", "/api/rooms/a/events", OPERATE),
    ("POST", "/api/token", "join"),
]
OPEN = [
    ("GET", "/api/health"),
    ("GET", "/"),
    ("GET", "/stream-test.html"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    *(("GET", page.path.replace("<path:session_id>", "s")) for page in PAGES),
]
OPERATING = {path for _, path, scope in ENDPOINTS if scope in (OPERATE, "join") and path.startswith("/api/")}
WITHOUT_SCOPE = {
    "/api/livekit/webhook",
    "/observability/traces/otlp/v0",
    "/observability/logs/otlp/v0",
    "/observability/metrics/otlp/v0",
    "/observability/recordings/v0",
}
"""What has a signature of its own."""
OPERATORS_VIEW = {"/api/sessions/s/trace", "/api/sessions/s/logs", "/api/sessions/s/audio"}
"""What needs `subscribe` and the operator's view."""
SCOPES = {
    PUBLISH_KEY: {PUBLISH},
    "second-publish-secret": {PUBLISH},
    SUBSCRIBE_KEY: {SUBSCRIBE},
    OPERATOR_KEY: {PUBLISH, SUBSCRIBE, OPERATE, "join"},
}


def knock(app: Flask, method: str, path: str, **more: Any) -> TestResponse:
    """A request that does nothing where it is let in: a start would be refused for its body."""
    body = {"json": {"mode": "no such mode"}} if path == "/api/agent/start" else {}
    answer = ask(app, method, path, **body, **more)
    answer.close()
    return answer


def check_refusal(answer: TestResponse, status: int) -> None:
    assert answer.status_code == status, (answer.request, answer.text)
    assert answer.mimetype == "application/problem+json"
    if answer.request.method != "HEAD":
        assert answer.json["status"] == status
        assert answer.json["detail"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert ('error="insufficient_scope"' in answer.headers["WWW-Authenticate"]) == (status == 403)


@pytest.mark.parametrize("credential", list(SCOPES))
def test_a_key_opens_what_its_scope_says(credential: str) -> None:
    app = hub(**KEYS)
    for method, path, scope in ENDPOINTS:
        by_bearer = knock(app, method, path, headers=bearer(credential))
        by_key = knock(app, method, path, headers={"X-API-Key": credential})
        assert by_bearer.status_code == by_key.status_code, path
        if scope in SCOPES[credential]:
            assert by_bearer.status_code not in (401, 403), path
        else:
            check_refusal(by_bearer, 403)


@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), {"X-API-Key": "wrong"}, {"Authorization": "Basic eA=="}]
)
def test_nothing_opens_without_a_right_credential(headers: dict[str, str]) -> None:
    app = hub(**KEYS)
    for method, path, _ in ENDPOINTS:
        check_refusal(knock(app, method, path, headers=headers), 401)


def test_every_route_is_in_these_tables() -> None:
    rules = {
        rule.rule.replace("<path:name>", "a")
        .replace("<path:session_id>", "s")
        .replace("<webhook_id>", "w")
        .replace("<delivery_id>", "1")
        for rule in hub().url_map.iter_rules()
    }
    known = {path for _, path, _ in ENDPOINTS} | {path for _, path in OPEN} | WITHOUT_SCOPE | OPERATORS_VIEW
    files = ("/vendor/", "/console/static/", "/console/client/")
    assert {rule for rule in rules if not rule.startswith(files)} == known


def test_pages_and_health_are_open_to_everyone() -> None:
    app = hub(**KEYS)
    for method, path in OPEN:
        answer = ask(app, method, path, peer=FAR)
        assert answer.status_code == 200, path
        for secret in (*SCOPES, "second-publish-secret"):
            assert secret not in answer.text, path


@pytest.mark.parametrize("keyed", [PUBLISH, SUBSCRIBE, OPERATE])
def test_a_scope_is_open_while_no_key_for_it_is_set(keyed: str) -> None:
    settings = {PUBLISH: "publish_keys", SUBSCRIBE: "subscribe_keys", OPERATE: "operator_keys"}
    app = hub(**{settings[keyed]: KEYS[settings[keyed]]})
    for method, path, scope in ENDPOINTS:
        # Tokens for rooms are open only while nothing is keyed.
        closed = scope in (keyed, "join")
        assert (knock(app, method, path).status_code == 401) == closed, path


def test_a_jwt_secret_closes_all_and_livekits_secrets_nothing() -> None:
    closed = hub(jwt_secret=JWT_SECRET)
    opened = hub(livekit_api_key=LIVEKIT_KEY, livekit_api_secret=LIVEKIT_SECRET)
    for method, path, _ in ENDPOINTS:
        assert knock(closed, method, path).status_code == 401, path
        assert knock(opened, method, path).status_code not in (401, 403), path


def test_open_scopes_are_open_to_this_machine_only() -> None:
    app, to_all = hub(), hub(allow_open=True)
    for method, path, _ in ENDPOINTS:
        check_refusal(knock(app, method, path, peer=FAR), 401)
        for trace in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
            check_refusal(knock(app, method, path, headers={trace: "127.0.0.1"}), 401)
        assert knock(app, method, path).status_code not in (401, 403), path
        assert knock(to_all, method, path, peer=FAR).status_code not in (401, 403), path


def test_a_trusted_proxy_on_this_machine_does_not_make_its_clients_local() -> None:
    app = hub(trusted_proxies=("127.0.0.1",))
    assert ask(app, "GET", "/api/events", headers={"X-Forwarded-For": FAR}).status_code == 401
    assert ask(app, "GET", "/api/events", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
    assert ask(app, "GET", "/api/events", headers={"X-Forwarded-For": f"127.0.0.1, {FAR}"}).status_code == 401


def test_a_page_without_an_origin_of_its_own_operates_nothing() -> None:
    app = hub()
    for path in sorted({path for _, path, _ in ENDPOINTS} | {"/api/rooms/a%0Ab/c/events"}):
        # Sessions are what was said long ago, too: no page of an unknown origin reads them.
        expected = path in OPERATING or "%0A" in path or path.startswith("/api/sessions/")
        assert operates(unquote(path)) is expected, path
        if expected:
            for method in ("POST", "DELETE"):
                assert ask(app, method, path, headers={"Origin": "null"}).status_code == 403, path
            read = ask(app, "GET", path, headers={"Origin": "null"})
            assert "Access-Control-Allow-Origin" not in read.headers, path


# Hosts and origins


@pytest.mark.parametrize("path", ["/", "/api/health", "/api/stream", "/api/nothing", "/metrics"])
@pytest.mark.parametrize("settings", [{}, {"publish_keys": ("k",), "operator_keys": ("k",)}])
def test_while_any_scope_is_open_another_host_is_misdirected(path: str, settings: dict[str, Any]) -> None:
    app = hub(**settings)
    answer = ask(app, "GET", path, headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert answer.mimetype == "application/problem+json"
    for host in ("localhost:99", "LOCALHOST", "127.0.0.1", "[::1]:5000"):
        fine = ask(app, "GET", path, headers={"Host": host})
        assert fine.status_code != 421
        fine.close()


def test_with_every_scope_keyed_any_host_will_do() -> None:
    headers = {"Host": "hub.example.com", **bearer(SUBSCRIBE_KEY)}
    assert ask(hub(**KEYS), "GET", "/api/events", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.0.2.7:5000", 200),
        ("[2001:db8::1]:5000", 200),
        ("hub", 200),
        ("localhost", 200),
        ("Hub.example.com", 200),
        ("hub.example.com:5000", 421),
        ("evil.example", 421),
        ("192.0.2.7.evil.example", 421),
        ("", 421),
    ],
)
def test_with_open_access_the_names_of_other_sites_are_refused(host: str, status: int) -> None:
    app = hub(allow_open=True, cors_origins=("https://hub.example.com",))
    assert ask(app, "GET", "/api/events", peer=FAR, headers={"Host": host}).status_code == status


WRITES = [row for row in ENDPOINTS if row[0] in ("POST", "DELETE")]


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "http://localhost.evil.example"}, True),
        ({"Origin": ""}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "http://localhost:3000"}, False),
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
    ],
)
def test_another_sites_page_changes_nothing(headers: dict[str, str], *, refused: bool) -> None:
    app = hub()
    for method, path, _ in WRITES:
        answer = knock(app, method, path, headers=headers)
        if refused:
            check_refusal(answer, 403)
        else:
            assert answer.status_code != 403, path


def test_a_page_from_disk_never_operates() -> None:
    app, *keyed = hub(), hub(publish_keys=("k",)), hub(operator_keys=("k",))
    for method, path, scope in WRITES:
        refused = knock(app, method, path, headers={"Origin": "null"}).status_code == 403
        assert refused == (scope in (OPERATE, "join")), path
        for other in keyed:
            assert knock(other, method, path, headers={"Origin": "null"}).status_code == 403, path


# Tokens and rooms


def test_a_jwt_reads_its_rooms_with_its_view() -> None:
    app = hub(jwt_secret=JWT_SECRET)
    post_talk(app)
    viewer = ask(app, "GET", "/api/events", headers=token("subscribe", rooms=["a"])).json["events"]
    assert [one.get("text") for one in viewer] == ["words in a"]
    operator = ask(app, "GET", "/api/events", headers=token("subscribe", rooms=["a"], view="operator")).json[
        "events"
    ]
    assert [one["type"] for one in operator] == ["transcript", "tool_call_started", "note"]
    assert len(ask(app, "GET", "/api/events", headers=token("operate")).json["events"]) == 5


def test_a_jwt_publishes_to_its_rooms_only() -> None:
    app = hub(jwt_secret=JWT_SECRET)
    headers = token("publish", rooms=["a"])
    for body, status in (
        ({"type": "x", "room": "a"}, 200),
        ({"type": "x", "room": "b"}, 403),
        ({"type": "x"}, 403),
        ([{"type": "x", "room": "a"}, {"type": "x", "room": "b"}], 403),
    ):
        assert ask(app, "POST", "/api/agent/data", headers=headers, json=body).status_code == status
    assert services_of(app).history.bounds.head == 1


def test_an_operator_of_one_room_stays_in_it() -> None:
    app = hub(jwt_secret=JWT_SECRET)
    post_talk(app)
    services_of(app).hub.publish([])
    headers = token("operate", rooms=["b"])
    for method, path, body in (
        ("DELETE", "/api/rooms/a/events", None),
        ("DELETE", "/api/sessions/s-a", None),
        ("POST", "/api/agent/start", {"mode": "rehearsal"}),
        ("POST", "/api/agent/start", {"mode": "rehearsal", "room": "a"}),
        ("POST", "/api/agent/stop", None),
    ):
        assert ask(app, method, path, headers=headers, json=body).status_code == 403, path
    assert services_of(app).supervisor.status().mode is None
    assert ask(app, "DELETE", "/api/sessions/s-b", headers=headers).json["erased"] == 1
    assert ask(app, "DELETE", "/api/sessions/never-was", headers=headers).json["erased"] == 0
    everything = ask(app, "GET", "/api/events", headers=token("operate")).json["events"]
    assert len([one for one in everything if one["type"] != "agent_process"]) == 4


def test_an_operator_of_one_room_cannot_touch_another_ones_agent() -> None:
    app = hub(jwt_secret=JWT_SECRET)
    parts = services_of(app)
    parts.supervisor.start("rehearsal", "a", 5.0)
    other, own = token("operate", rooms=["b"]), token("operate", rooms=["a"])
    start = {"mode": "rehearsal", "room": "b"}
    assert ask(app, "POST", "/api/agent/stop", headers=other).status_code == 403
    assert "log" in ask(app, "GET", "/api/agent/status", headers=own).json
    assert ask(app, "GET", "/api/agent/status", headers=other).json["log"] == []
    assert ask(app, "POST", "/api/agent/start", headers=own, json=start).status_code == 403
    stopped = ask(app, "POST", "/api/agent/stop", headers=own)
    assert (stopped.status_code, "log" in stopped.json) == (200, False)


def test_a_start_does_not_show_the_agent_of_another_room() -> None:
    app = create_app(
        Settings(history="memory://", jwt_secret=JWT_SECRET),
        agent_command=["sh", "-c", "echo words; sleep 60"],
    )
    parts = services_of(app)
    assert parts.supervisor.start("rehearsal", "a").status.pid
    body = {"mode": "rehearsal", "room": "b"}
    refused = ask(app, "POST", "/api/agent/start", headers=token("operate", rooms=["b"]), json=body)
    everyone = ask(app, "POST", "/api/agent/start", headers=token("operate"), json=body)
    parts.stop()
    assert refused.status_code == 403
    assert "words" not in refused.text
    assert everyone.json["already_running"] is True


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (
            {"mode": "livekit"},
            "It is already running in rehearsal mode: stop it to start it in livekit mode.",
        ),
        ({"room": "b"}, "It is already rehearsing in another room: stop it to start it in b."),
        ({"mode": "rehearsal", "room": "a"}, "Requested."),
        (
            {},
            "LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET and OPENAI_API_KEY (or OPENAI_BASE_URL) are not set.",
        ),
    ],
)
def test_a_second_start_says_when_it_is_not_what_was_asked_for(asked: dict[str, str], why: str) -> None:
    app = create_app(Settings(history="memory://"), agent_command=["sleep", "60"])
    parts = services_of(app)
    parts.supervisor.start("rehearsal", "a")
    answer = ask(app, "POST", "/api/agent/start", json=asked)
    parts.stop()
    assert (answer.status_code, answer.json["already_running"]) == (200, True)
    assert (answer.json["mode"], answer.json["room"], answer.json["why"]) == ("rehearsal", "a", why)


def test_a_start_that_failed_shows_the_log() -> None:
    app = create_app(Settings(history="memory://"), agent_command=["sh", "-c", "echo no microphone; exit 1"])
    answer = ask(app, "POST", "/api/agent/start", json={"wait": 20})
    services_of(app).stop()
    assert (answer.json["state"], answer.json["log"]) == ("failed", ["no microphone"])


def test_a_livekit_token_reads_its_room_everywhere_and_does_no_more() -> None:
    app = hub(**KEYS, livekit_api_key=LIVEKIT_KEY, livekit_api_secret=LIVEKIT_SECRET)
    post_talk(app)
    headers = livekit_token("b")
    assert [one["text"] for one in ask(app, "GET", "/api/events", headers=headers).json["events"]] == [
        "words in b"
    ]
    assert [one["room"] for one in ask(app, "GET", "/api/rooms", headers=headers).json["rooms"]] == ["b"]
    assert ask(app, "GET", "/api/rooms/b", headers=headers).status_code == 200
    assert ask(app, "GET", "/api/rooms/a", headers=headers).status_code == 404
    replayed = stored(ask(app, "GET", "/api/stream?replay=9", headers=headers), 1)
    assert [one["text"] for one in replayed] == ["words in b"]
    snapshot = next(
        f for f in read(ask(app, "GET", "/api/stream?snapshot=1", headers=headers)) if "rooms" in f
    )
    assert [room["room"] for room in snapshot["rooms"]] == ["b"]
    for method, path, scope in ENDPOINTS:
        if scope != SUBSCRIBE:
            assert knock(app, method, path, headers=headers).status_code == 403, path


def test_a_room_that_is_asked_for_does_not_widen_a_credential() -> None:
    app = hub(**KEYS, livekit_api_key=LIVEKIT_KEY, livekit_api_secret=LIVEKIT_SECRET)
    post_talk(app)
    assert ask(app, "GET", "/api/events?room=a", headers=livekit_token("b")).json["events"] == []
    refused = ask(app, "POST", "/api/stream/ticket", headers=livekit_token("b"), json={"room": "a"})
    assert refused.status_code == 403


# Views


@pytest.mark.parametrize(
    ("settings", "headers", "sees"),
    [
        ({}, {}, "operator"),
        ({"subscribe_keys": ("s",)}, bearer("s"), "operator"),
        ({"operator_keys": ("o",)}, {}, "viewer"),
        ({"operator_keys": ("o",)}, bearer("o"), "operator"),
        (KEYS, bearer(SUBSCRIBE_KEY), "viewer"),
        (KEYS, bearer(OPERATOR_KEY), "operator"),
    ],
)
def test_all_ways_of_reading_show_the_same_view(
    settings: dict[str, Any], headers: dict[str, str], sees: str
) -> None:
    app = hub(**settings)
    post_talk(app)
    seen = 5 if sees == "operator" else 3
    listed = ask(app, "GET", "/api/events", headers=headers).json["events"]
    assert len(listed) == seen
    assert stored(ask(app, "GET", "/api/stream?replay=9", headers=headers), seen) == listed
    made = ask(app, "POST", "/api/stream/ticket", headers=headers).json["ticket"]
    assert stored(ask(app, "GET", f"/api/stream?replay=9&ticket={made}"), seen) == listed
    stream = ask(app, "GET", "/api/stream", headers=headers)
    frames = read(stream)
    assert next(frames)["type"] == "connected"
    post_talk(app)
    live = [next(frames) for _ in range(seen)]
    assert [one["type"] for one in live] == [one["type"] for one in listed]
    stream.close()


def test_rooms_with_nothing_for_viewers_are_not_listed_to_them() -> None:
    app = hub(**KEYS)
    ask(
        app,
        "POST",
        "/api/agent/data",
        headers=bearer(PUBLISH_KEY),
        json={"type": "usage", "room": "secret"},
    )
    assert ask(app, "GET", "/api/rooms", headers=bearer(SUBSCRIBE_KEY)).json["rooms"] == []
    assert ask(app, "GET", "/api/rooms/secret", headers=bearer(SUBSCRIBE_KEY)).status_code == 404
    assert len(ask(app, "GET", "/api/rooms", headers=bearer(OPERATOR_KEY)).json["rooms"]) == 1


# Tickets


def ticket_of(app: Flask, headers: dict[str, str], **body: Any) -> dict[str, Any]:
    answer = ask(app, "POST", "/api/stream/ticket", headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json
    return made


def test_a_ticket_opens_streams_and_nothing_else() -> None:
    app = hub(**KEYS)
    made = ticket_of(app, bearer(OPERATOR_KEY))
    assert 0 < made["expires_in"] <= 600
    for method, path, _ in ENDPOINTS:
        if not path.startswith("/api/stream"):
            assert knock(app, method, f"{path}?ticket={made['ticket']}").status_code == 401, path
            assert knock(app, method, path, headers=bearer(made["ticket"])).status_code == 401, path
    assert knock(app, "POST", f"/api/stream/ticket?ticket={made['ticket']}").status_code == 401
    assert next(read(ask(app, "GET", f"/api/stream?ticket={made['ticket']}")))["type"] == "connected"


def test_a_ticket_for_a_room_shows_that_room() -> None:
    app = hub(**KEYS)
    post_talk(app)
    made = ticket_of(app, bearer(SUBSCRIBE_KEY), room="b")
    found = stored(ask(app, "GET", f"/api/stream?replay=9&ticket={made['ticket']}", peer=FAR), 1)
    assert [one["text"] for one in found] == ["words in b"]


def test_an_expired_ticket_gets_a_goodbye_and_a_wrong_one_is_refused() -> None:
    app = hub(**KEYS)
    parts = services_of(app)
    made = ticket_of(app, bearer(SUBSCRIBE_KEY))["ticket"]
    now = time.time()
    parts.clock = lambda: now + 601
    expired = ask(app, "GET", f"/api/stream?ticket={made}")
    assert "retry: " in expired.text
    assert '"type":"goodbye","reason":"ticket_expired"' in expired.text
    check_refusal(ask(app, "GET", f"/api/stream?ticket={made[:-4]}AAAA"), 401)
    check_refusal(ask(hub(**KEYS, jwt_secret=JWT_SECRET), "GET", f"/api/stream?ticket={made}"), 401)


def test_a_stream_ends_when_its_credential_expires() -> None:
    app = hub(jwt_secret=JWT_SECRET)
    headers = token("subscribe", seconds=3.5)
    made = ticket_of(app, headers)
    assert made["expires_in"] <= 3
    for answer in (
        ask(app, "GET", "/api/stream", headers=headers),
        ask(app, "GET", f"/api/stream?ticket={made['ticket']}"),
    ):
        started = time.monotonic()
        frames = list(read(answer))
        assert frames[-1]["type"] == "goodbye"
        assert frames[-1]["reason"] == "credential_expired"
        # Well before the next heartbeat.
        assert time.monotonic() - started < 10
    check_refusal(ask(app, "GET", "/api/stream", headers=headers), 401)


def test_two_different_credentials_are_one_too_many() -> None:
    both = {"X-API-Key": PUBLISH_KEY, **bearer(SUBSCRIBE_KEY)}
    check_refusal(ask(hub(**KEYS), "GET", "/api/events", headers=both), 401)


# Headers for browsers


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/api/events", "/api/nothing", "/api/stream", "/openapi.json", "/metrics"]
)
def test_answers_are_not_guessed_framed_or_leaked(path: str) -> None:
    answer = ask(hub(), "GET", path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    answer.close()


@pytest.mark.parametrize("path", ["//api/events", "///api/events"])
def test_more_slashes_at_the_start_of_a_path_are_as_one(path: str) -> None:
    def status(method: str, to: str, **headers: str) -> int:
        asked: Any = {"environ_overrides": {"PATH_INFO": to}, "headers": headers}
        return hub(**KEYS).test_client().open("/", method=method, **asked).status_code

    assert status("GET", path) == status("GET", "/api/events") == 401
    assert status("GET", path, **bearer(SUBSCRIBE_KEY)) == 200
    assert status("POST", "//api/agent/start", Origin="null") == 403
