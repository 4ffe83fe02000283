"""Leases: the hub regularly learns that a session is alive."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from streaming_hub_client.leases import LEASE_SECONDS, Leases
from streaming_hub_client.poster import LEASE_PATH, Poster
from streaming_hub_client.retry import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTED = {"type": "session_started", "session_id": "s1", "room": "hall"}
ENDED = {"type": "session_ended", "session_id": "s1", "reason": "bye"}


def test_session_is_held_from_its_start_to_its_end() -> None:
    leases = Leases()
    assert leases.renewal() is None
    assert leases.note(STARTED) == STARTED | {"lease": LEASE_SECONDS}
    assert leases.renewal() == {
        "sessions": [{"session_id": "s1", "room": "hall"}],
        "lease": LEASE_SECONDS,
    }
    assert leases.note(ENDED) == ENDED
    assert leases.renewal() is None


def test_process_of_the_hubs_own_says_so() -> None:
    assert Leases(supervised=True).note(STARTED)["supervised"] is True


def test_event_that_is_passed_on_is_not_changed() -> None:
    leases = Leases()
    given = dict(STARTED)
    leases.note(given)
    assert given == STARTED
    for other in ({"type": "transcript", "session_id": "s1"}, {"type": "session_started"}, {}):
        assert leases.note(other) is other


class Hub(ThreadingHTTPServer):
    """Keeps what is posted, and lets tests wait for it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.renewals: list[Any] = []
        self.arrived = threading.Condition()
        self.hang_ups = 0

    def wait(self, count: int) -> list[Any]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.renewals) >= count, 10), self.renewals
            return list(self.renewals)


class _Keep(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == LEASE_PATH:
            with self.server.arrived:
                self.server.renewals.append((self.headers.get("Authorization"), body))
                self.server.arrived.notify_all()
                if self.server.hang_ups:
                    self.server.hang_ups -= 1
                    self.close_connection = True
                    return
        answer = b'{"status":"ok"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def test_poster_renews_while_the_session_lives(hub: Hub) -> None:
    poster = Poster(f"http://127.0.0.1:{hub.server_address[1]}", "k3y", pace=Pace(renew_leases=0.01))
    poster.post(STARTED)
    told = hub.wait(3)
    assert told[0] == ("Bearer k3y", {"sessions": [{"session_id": "s1", "room": "hall"}], "lease": 15.0})
    poster.post(ENDED)
    poster.post(STARTED | {"session_id": "s2"})
    after = hub.wait(len(hub.renewals) + 3)[-1]
    assert [held["session_id"] for held in after[1]["sessions"]] == ["s2"]
    poster.close(5)


def test_hub_that_is_away_does_not_end_the_renewals(hub: Hub) -> None:
    poster = Poster(f"http://127.0.0.1:{hub.server_address[1]}", pace=Pace(renew_leases=0.01))
    poster.post(STARTED)
    before = len(hub.wait(1))
    with hub.arrived:
        hub.hang_ups = 3
    hub.wait(before + 6)
    assert hub.hang_ups == 0, "renewals went unanswered, and others came after them"
    poster.close(5)


def test_poster_finds_out_from_the_environment_who_watches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("AGENT_SPOOL_DIR", raising=False)
    for value, supervised in (("1", True), ("", False)):
        monkeypatch.setenv("AGENT_SUPERVISED", value)
        poster = Poster.from_env()
        assert ("supervised" in poster._leases.note(STARTED)) is supervised
        poster.close(0.1)
