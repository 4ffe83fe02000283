"""The audit, and what no log line, status, error or stream ever holds."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from flask_server import create_app
from streaming_hub.logs import Gate
from streaming_hub.services import REFUSALS_LOGGED_PER_SECOND
from streaming_hub.settings import RateLimit, Settings
from streaming_hub.web.current import services_of
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
    token,
)

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask


@pytest.fixture
def audit(caplog: pytest.LogCaptureFixture) -> Any:
    """The fields of all audit lines so far."""
    caplog.set_level(logging.INFO)
    return lambda: [r.fields for r in caplog.records if r.name == "streaming_hub.access.audit"]  # type: ignore[attr-defined]


def last(audit: Any) -> dict[str, Any]:
    found: dict[str, Any] = audit()[-1]
    return found


def test_start_stop_and_erase_are_reported_with_who_and_what(audit: Any) -> None:
    app = hub(**KEYS)
    key = bearer(OPERATOR_KEY)
    who = {"who": "operator-key-1", "address": "127.0.0.1"}
    body = {"mode": "rehearsal", "room": "a"}
    assert ask(app, "POST", "/api/agent/start", headers=key, json=body).status_code == 200
    started = last(audit)
    assert started.pop("pid", 1) > 0
    assert started == {"action": "start", **who, "mode": "rehearsal", "room": "a", "already_running": False}
    assert ask(app, "POST", "/api/agent/stop", headers=key).status_code == 200
    assert {"action": "stop", **who, "mode": "rehearsal", "room": "a"}.items() <= last(audit).items()
    ask(
        app,
        "POST",
        "/api/agent/data",
        headers=key,
        json={"type": "x", "room": "a", "session_id": "s"},
    )
    ask(app, "DELETE", "/api/sessions/s", headers=key)
    assert last(audit) == {"action": "erase", **who, "session_id": "s", "events": 1}
    ask(app, "DELETE", "/api/rooms/a/events", headers=key)
    assert last(audit) == {"action": "erase", **who, "room": "a", "events": 0}
    assert len(audit()) == 4


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "more"),
    [
        ("GET", "/api/events", {}, 401, {"who": "anonymous", "route": "/api/events"}),
        ("GET", "/api/events", bearer("wrong"), 401, {"who": "anonymous"}),
        ("GET", "/api/stream?ticket=wrong", {}, 401, {"route": "/api/stream"}),
        (
            "POST",
            "/api/agent/stop",
            bearer(SUBSCRIBE_KEY),
            403,
            {"who": "subscribe-key-1", "scope": "operate"},
        ),
        ("DELETE", "/api/rooms/secret-name/events", bearer(PUBLISH_KEY), 403, {"who": "publish-key-1"}),
        ("GET", "/api/agent/status", token("subscribe", sub="al"), 403, {"who": "jwt:al"}),
        ("GET", "/api/agent/status", livekit_token("a"), 403, {"who": "livekit:alice"}),
        (
            "POST",
            "/api/agent/data",
            {"Origin": "https://evil.example"},
            403,
            {"route": "/api/agent/data"},
        ),
    ],
)
def test_refusals_are_reported(
    audit: Any, method: str, path: str, headers: dict[str, str], status: int, more: dict[str, Any]
) -> None:
    livekit = {"livekit_api_key": LIVEKIT_KEY, "livekit_api_secret": LIVEKIT_SECRET}
    app = hub(**KEYS, jwt_secret=JWT_SECRET, **livekit)
    assert ask(app, method, path, headers=headers, peer=FAR).status_code == status
    assert {"action": "refuse", "status": status, "address": FAR, **more}.items() <= last(audit).items()
    assert services_of(app).refusals == {status: 1}


def test_wrong_hosts_floods_and_full_houses_are_reported(audit: Any) -> None:
    app = hub(rate_limit=RateLimit(1, 60), max_clients_per_address=1)
    ask(app, "GET", "/api/events", headers={"Host": "evil.example"})
    assert (last(audit)["status"], last(audit)["route"]) == (421, "/api/events")
    for _ in range(2):
        ask(app, "POST", "/api/agent/data", json={"type": "x"})
    assert last(audit)["status"] == 429
    opened = [ask(app, "GET", "/api/stream", headers={"Accept": "text/event-stream"}) for _ in range(1)]
    next(iter(opened[0].response))
    ask(app, "GET", "/api/stream", headers={"Accept": "text/event-stream"})
    assert (last(audit)["status"], last(audit)["route"]) == (429, "/api/stream")
    opened[0].close()


def test_a_flood_of_refusals_fills_no_log(audit: Any) -> None:
    now = 0.0
    app = hub(**KEYS)
    parts = services_of(app)
    parts.refusals_logged = Gate(REFUSALS_LOGGED_PER_SECOND, lambda: now)
    for _ in range(REFUSALS_LOGGED_PER_SECOND + 30):
        assert ask(app, "GET", "/api/events").status_code == 401
    assert len(audit()) == REFUSALS_LOGGED_PER_SECOND
    assert parts.refusals == {401: REFUSALS_LOGGED_PER_SECOND + 30}
    ask(app, "DELETE", "/api/sessions/s", headers=bearer(OPERATOR_KEY))
    assert last(audit)["action"] == "erase"
    now = 1.0
    for _ in range(2):
        ask(app, "GET", "/api/events")
    assert [one.get("left_out") for one in audit()[-2:]] == [30, None]


def test_what_goes_well_and_plain_mistakes_are_not_reported(audit: Any) -> None:
    app = hub()
    ask(app, "POST", "/api/agent/data", json={"type": "x"})
    ask(app, "POST", "/api/agent/data", json={"type": 1})
    ask(app, "GET", "/api/nothing")
    ask(app, "GET", "/api/events")
    assert audit() == []
    assert services_of(app).refusals == {422: 1}


WORDS = "marmalade-of-whispers"
"""What is said."""
HOOK_FAILURE = "hook-failed-on"


def clumsy(fields: dict[str, Any]) -> dict[str, Any]:
    """A redaction hook whose failures repeat what was said."""
    if "fail" in fields:
        raise ValueError(f"{HOOK_FAILURE} {fields['text']}")
    return {"type": fields["text"]} if "wrong" in fields else fields


def attempts(app: Flask, secrets: list[str]) -> list[str]:
    """Send secrets and words wherever they may stand; return all answers, with their headers."""
    said: list[str] = []

    def send(method: str, path: str, **more: Any) -> None:
        answer = ask(app, method, path, **more)
        said.append(answer.text + str(answer.headers))

    for secret in secrets:
        for headers in (
            {"X-API-Key": secret},
            bearer(secret),
            {"X-API-Key": secret + "x"},
            bearer(secret + "x"),
        ):
            for method, path in (
                ("GET", "/api/agent/status"),
                ("GET", "/api/rooms"),
                ("POST", "/api/agent/data"),
                ("DELETE", "/api/sessions/s"),
                ("GET", "/metrics"),
                ("GET", "/api/nothing"),
            ):
                send(method, path, headers=headers)
        send("GET", f"/api/stream?ticket={secret}x")
        send("GET", f"/api/{secret}")
    for body in (
        {"type": "transcript", "text": WORDS, "fail": 1},
        {"type": "transcript", "text": f"{WORDS} !", "wrong": 1},
        {"type": "transcript", "text": WORDS},
    ):
        send("POST", "/api/agent/data", json=body, headers=bearer(PUBLISH_KEY))
    send("DELETE", "/api/rooms/r/events", headers=bearer(OPERATOR_KEY))
    return said


def test_secrets_and_words_reach_no_log_answer_or_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    database = tmp_path / "data" / "events.db"
    settings = Settings(
        history=f"sqlite:///{database}",
        **KEYS,
        jwt_secret=JWT_SECRET,
        livekit_api_key=LIVEKIT_KEY,
        livekit_api_secret=LIVEKIT_SECRET,
        redact="tests.streaming_hub.web.test_audit:clumsy",
    )
    app = create_app(settings, agent_command=["env"])
    parts = services_of(app)
    made = ask(app, "POST", "/api/stream/ticket", headers=bearer(SUBSCRIBE_KEY)).json["ticket"]
    jwts = [token("subscribe")["Authorization"][7:], livekit_token("a")["Authorization"][7:]]
    secrets = [
        PUBLISH_KEY,
        SUBSCRIBE_KEY,
        OPERATOR_KEY,
        JWT_SECRET,
        LIVEKIT_SECRET,
        parts.agent_key,
        made,
        *jwts,
    ]
    ask(app, "POST", "/api/agent/start", headers=bearer(OPERATOR_KEY), json={"mode": "rehearsal", "wait": 5})
    deadline = time.monotonic() + 20
    while not parts.supervisor.status().log:
        assert time.monotonic() < deadline, "the agent process wrote nothing"
    said = attempts(app, secrets)
    events = ask(app, "GET", "/api/events", headers=bearer(OPERATOR_KEY)).text
    assert WORDS in events
    parts.stop()
    files = b"".join(path.read_bytes() for path in database.parent.iterdir() if path.is_file()).decode(
        "latin-1"
    )
    logs = caplog.text
    assert "AGENT_MODE=rehearsal" in logs
    assert "STREAM_REDACT failed: ValueError" in logs
    for secret in secrets:
        where = [
            name
            for name, text in (("log", logs), ("answer", "".join(said)), ("file", files))
            if secret in text
        ]
        assert where == [], f"{secret} is in {where}"
    assert WORDS not in logs
    assert HOOK_FAILURE not in logs
    assert not any(WORDS in one for one in said)
