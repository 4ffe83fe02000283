"""Leases over HTTP: who renews lives, who does not is ended; and the ends that the agent process leaves behind."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from flask_server import create_app
from streaming_hub.errors import Unavailable
from streaming_hub.settings import Settings
from streaming_hub.web.current import services_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flask.testing import FlaskClient

    from streaming_hub.events.posted import Event
    from streaming_hub.services import Services
    from streaming_hub.stream.hub import Receipt

STARTED = {"type": "session_started", "session_id": "s1", "room": "hall"}
SPEAKS = {"type": "agent_speech_started", "session_id": "s1", "room": "hall", "participant": "agent"}


def client(**settings: Any) -> FlaskClient:
    return create_app(Settings(**({"history": "memory://"} | settings))).test_client()


def post(app: FlaskClient, *events: dict[str, Any], key: str | None = None) -> None:
    headers = {"X-API-Key": key} if key else {}
    assert app.post("/api/agent/data", json=list(events), headers=headers).status_code == 200


def renew(app: FlaskClient, lease: float = 15, **held: Any) -> dict[str, Any]:
    answer = app.post("/api/agent/lease", json={"sessions": [{"session_id": "s1"} | held], "lease": lease})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json
    return body


def ends(app: FlaskClient) -> list[tuple[str, str]]:
    events = app.get("/api/events?type=session_ended").json["events"]
    return [(event["session_id"], event["reason"]) for event in events]


def wait_for_ends(app: FlaskClient, count: int) -> list[tuple[str, str]]:
    deadline, pause = time.monotonic() + 15, threading.Event()
    while len(ends(app)) < count:
        assert time.monotonic() < deadline, f"{count} ends did not come, only {ends(app)}"
        pause.wait(0.05)
    return ends(app)


def test_silent_death_does_not_show_as_speaking_forever() -> None:
    app = client()
    post(app, STARTED | {"lease": 1}, SPEAKS)
    assert app.get("/api/rooms/hall").json["speaking"] == ["agent"]
    assert wait_for_ends(app, 1) == [("s1", "lease_expired")]
    assert app.get("/api/rooms/hall").json["speaking"] == []


def test_renewed_session_outlives_one_that_is_not() -> None:
    app = client()
    post(app, STARTED | {"lease": 1, "session_id": "lives"}, STARTED | {"lease": 1, "session_id": "dies"})
    assert renew(app, 3600, session_id="lives") == {"status": "ok", "ended": []}
    assert wait_for_ends(app, 1) == [("dies", "lease_expired")]


def test_renewal_answers_what_has_ended() -> None:
    app = client()
    post(app, STARTED | {"lease": 15}, {"type": "session_ended", "session_id": "s1", "reason": "bye"})
    assert renew(app) == {"status": "ok", "ended": ["s1"]}


def test_agent_process_that_dies_ends_its_sessions_in_the_same_breath() -> None:
    app = client()
    parts = services_of(app.application)
    post(app, STARTED, SPEAKS, key=parts.agent_key)
    post(app, STARTED | {"session_id": "foreign"})
    parts.publish_process_state({"state": "failed", "pid": 1, "exit": "SIGKILL", "reason": "killed"})
    events = app.get("/api/events").json["events"]
    assert [event["type"] for event in events[-2:]] == ["agent_process", "session_ended"]
    assert ends(app) == [("s1", "worker_lost")]
    room = app.get("/api/rooms/hall").json
    assert room["speaking"] == []
    parts.publish_process_state({"state": "stopped", "pid": None, "exit": None, "reason": None})
    assert ends(app) == [("s1", "worker_lost")]


class FullDisk:
    """Stands in for the hub's `publish`, and refuses until the disk has room again."""

    def __init__(self, parts: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: Exception | None = Unavailable("The disk is full.")
        self.refused = threading.Event()
        self._publish = parts.hub.publish
        monkeypatch.setattr(parts.hub, "publish", self)

    def __call__(self, events: Sequence[Event]) -> Receipt:
        if self.error is not None:
            self.refused.set()
            raise self.error
        return self._publish(events)


def test_end_that_cannot_be_stored_is_reported_when_the_disk_has_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = client()
    post(app, STARTED | {"lease": 1})
    disk = FullDisk(services_of(app.application), monkeypatch)
    assert disk.refused.wait(15)
    disk.error = None
    assert wait_for_ends(app, 1) == [("s1", "lease_expired")]


def test_states_that_cannot_be_stored_are_reported_in_order_with_what_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = client()
    parts = services_of(app.application)
    post(app, STARTED, key=parts.agent_key)
    disk = FullDisk(parts, monkeypatch)
    for state in ("failed", "starting"):
        parts.publish_process_state({"state": state, "pid": 1, "exit": None, "reason": None})
    parts.publish_missing_agent("hall", "nobody comes")
    disk.error = None
    assert wait_for_ends(app, 1) == [("s1", "worker_lost")]
    events = app.get("/api/events").json["events"][1:]
    assert [event["type"] for event in events] == ["agent_process", "session_ended", "agent_process", "error"]


def test_waiting_ends_are_bounded_and_erased_with_their_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streaming_hub.agents.session_monitor.MAX_UNPUBLISHED", 3)
    app = client()
    parts = services_of(app.application)
    post(app, STARTED, key=parts.agent_key)
    disk = FullDisk(parts, monkeypatch)
    for number in range(3):
        parts.publish_process_state({"state": "starting", "pid": number, "exit": None, "reason": None})
    parts.publish_process_state({"state": "failed", "pid": 9, "exit": None, "reason": None})
    parts.sessions.forget(session_id="s1")
    disk.error = None
    parts.sessions.stop()
    events = app.get("/api/events?type=agent_process").json["events"]
    assert [event["pid"] for event in events] == [2, 9]
    assert ends(app) == []


def test_an_unexpected_error_does_not_end_the_checks_of_the_leases(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = client()
    post(app, STARTED | {"lease": 1})
    disk = FullDisk(services_of(app.application), monkeypatch)
    disk.error = KeyError("unexpected")
    assert disk.refused.wait(15)
    disk.error = None
    post(app, STARTED | {"lease": 1, "session_id": "s2"})
    assert wait_for_ends(app, 1) == [("s2", "lease_expired")]
    assert "unexpected error: a check of the session leases failed" in caplog.text


def test_erased_session_is_not_named_by_its_end() -> None:
    app = client()
    parts = services_of(app.application)
    post(app, STARTED, key=parts.agent_key)
    assert app.delete("/api/sessions/s1").json["erased"] == 1
    parts.publish_process_state({"state": "failed", "pid": 1, "exit": 1, "reason": "it fell"})
    assert ends(app) == []


def test_restarted_hub_ends_what_died_with_it(tmp_path: Path) -> None:
    history = f"sqlite:///{tmp_path / 'events.db'}"
    first = client(history=history)
    post(first, STARTED | {"lease": 15, "supervised": True}, SPEAKS)
    post(first, STARTED | {"lease": 1, "session_id": "leased"}, STARTED | {"session_id": "script"})
    parts = services_of(first.application)
    parts.sessions.stop()
    parts.housekeeper.stop()
    parts.history.close()  # as a killed process leaves it
    second = client(history=history)
    assert ends(second) == [("s1", "worker_lost")]
    assert wait_for_ends(second, 2)[1] == ("leased", "lease_expired")
    services_of(second.application).stop()
    third = client(history=history)
    assert len(ends(third)) == 2
    services_of(third.application).stop()


@pytest.mark.parametrize(
    "body",
    [
        {"sessions": "s1"},
        {"sessions": [{"room": "hall"}]},
        {"sessions": [{"session_id": "a\nb"}]},
        {"sessions": [{"session_id": "a\n"}]},
        {"sessions": [{"session_id": ""}]},
        {"sessions": [], "lease": 0},
        {"sessions": [], "lease": 1e9},
        {"sessions": [{"session_id": "s"}] * 1001},
    ],
)
def test_wrong_bodies_are_refused_with_a_reason(body: dict[str, Any]) -> None:
    answer = client().post("/api/agent/lease", json=body)
    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"


def test_renewing_needs_what_publishing_needs() -> None:
    app = client(publish_keys=("p",), operator_keys=("o",), subscribe_keys=("s",))
    body = {"sessions": [{"session_id": "s1"}]}
    assert app.post("/api/agent/lease", json=body).status_code == 401
    assert app.post("/api/agent/lease", json=body, headers={"X-API-Key": "s"}).status_code == 403
    assert app.post("/api/agent/lease", json=body, headers={"X-API-Key": "p"}).status_code == 200
