"""What is published by another thread just as a stream is opened is neither missed nor sent twice."""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from streaming_hub.events import posted
from streaming_hub.events.interest import EVERYTHING
from streaming_hub.services import LOOK_UPS
from streaming_hub.web.current import services_of
from tests.kit.sse import read
from tests.streaming_hub.server.wire import PATIENCE

if TYPE_CHECKING:
    from flask import Flask


def frames(app: Flask, path: str, count: int) -> list[dict[str, Any]]:
    """Open a stream and return its first events."""
    response = app.test_client().get(path, buffered=False)
    found = list(islice(read(response), count))
    response.close()
    return found


@pytest.mark.parametrize("query", ["snapshot=1", "snapshot=1&replay=1&room=talk"])
def test_an_event_between_snapshot_and_stream_is_sent(
    app: Flask, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    parts = services_of(app)
    between = posted.make({"type": "transcript", "room": "talk", "text": "between", "is_final": True})
    visible = parts.rooms.visible

    def while_another_publishes(*arguments: Any) -> Any:
        seen = visible(*arguments)
        parts.hub.publish([between])
        return seen

    monkeypatch.setattr(parts.rooms, "visible", while_another_publishes)
    found = frames(app, f"/api/stream?{query}", 3)
    assert [one["type"] for one in found] == ["connected", "snapshot", "transcript"]
    assert found[0]["cursor"] == found[1]["as_of"]
    assert found[2]["text"] == "between"


@pytest.mark.parametrize(("whose", "status"), [("all", 503), ("one address's", 429)])
def test_a_client_that_connects_during_a_replay_counts(
    app: Flask, monkeypatch: pytest.MonkeyPatch, whose: str, status: int
) -> None:
    parts = services_of(app)
    if whose == "all":
        parts.max_clients = 1
    else:
        monkeypatch.setattr(parts.limits, "streams_of_one", lambda _client: 1)
    read = parts.read

    def while_another_comes(function: Any) -> Any:
        other = parts.hub.new_subscriber(EVERYTHING, 0, chunked=False, expires_at=None)
        other.address = "127.0.0.1"
        parts.hub.subscribe(other)
        return read(function)

    monkeypatch.setattr(parts, "read", while_another_comes)
    answer = app.test_client().get("/api/stream?replay=1", headers={"Accept": "*/*"})
    assert answer.status_code == status
    assert len(parts.hub) == 1


def test_a_stop_that_begins_while_a_replay_is_looked_up_is_reported(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = services_of(app)
    read = parts.read

    def while_a_stop_begins(function: Any) -> Any:
        parts.draining = True
        return read(function)

    monkeypatch.setattr(parts, "read", while_a_stop_begins)
    (only,) = frames(app, "/api/stream?replay=1", 1)
    assert (only["type"], only["reason"]) == ("goodbye", "draining")
    assert len(parts.hub) == 0


def test_few_replays_are_looked_up_at_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = services_of(app)
    most = under_way = 0
    counting, all_in, too_many = threading.Lock(), threading.Event(), threading.Event()

    def look_up(*_arguments: Any) -> None:
        nonlocal most, under_way
        with counting:
            under_way += 1
            most = max(most, under_way)
            if most == LOOK_UPS:
                all_in.set()
            if most > LOOK_UPS:
                too_many.set()
        all_in.wait(PATIENCE)
        too_many.wait(0.1)
        with counting:
            under_way -= 1

    def ask() -> None:
        app.test_client().get("/api/stream?replay=1", buffered=False).close()

    monkeypatch.setattr(parts.history, "position_before", look_up)
    readers = [threading.Thread(target=ask) for _ in range(LOOK_UPS + 2)]
    for one in readers:
        one.start()
    for one in readers:
        one.join(PATIENCE)
    assert most == LOOK_UPS
