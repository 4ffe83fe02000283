"""The messages about why livekit mode does not start."""

from __future__ import annotations

import logging

import pytest

from agent.connection import ConnectionMonitor, explain

URL = "ws://127.0.0.1:7880"


class StatusError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"{status}, message='Invalid response status'")
        self.status = status


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_secret_is_reported_at_once(status: int) -> None:
    reason = explain(StatusError(status), 1, URL) or ""
    assert "LIVEKIT_API_SECRET" in reason
    assert str(status) in reason


def test_a_server_that_is_none_is_reported_at_once() -> None:
    assert "check LIVEKIT_URL" in (explain(StatusError(404), 1, URL) or "")


def test_an_unreachable_server_gets_a_second_chance() -> None:
    error = ConnectionRefusedError("refused")
    assert explain(error, 1, URL) is None
    reason = explain(error, 2, URL) or ""
    assert URL in reason
    assert "refused" in reason


class Watched:
    """A watched logger, and the calls it caused."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.troubles: list[str] = []
        self.watch = ConnectionMonitor(URL, self.failures.append, self.troubles.append)
        self.logger = logging.Logger("livekit.agents", logging.INFO)
        self.logger.addHandler(self.watch)

    def fail(self, attempt: int, error: object) -> None:
        extra = {"retry_count": attempt, "max_retry": 16, "error": error}
        self.logger.warning("failed to connect to livekit, retrying in %ds", 0, extra=extra)

    def register(self) -> None:
        self.watch.registered()

    def fill(self) -> None:
        extra = {"load": 0.93, "threshold": 0.7}
        self.logger.info("worker is at full capacity, marking as unavailable", extra=extra)

    def ease(self) -> None:
        self.logger.info("worker is below capacity, marking as available", extra={"load": 0.2})


def test_the_watch_reads_livekits_own_warning() -> None:
    watched = Watched()
    watched.fail(1, StatusError(401))
    assert len(watched.failures) == 1
    assert "401" in watched.failures[0]


def test_after_the_registration_a_lost_server_is_a_trouble_that_is_reported_once() -> None:
    watched = Watched()
    watched.register()
    for attempt in (1, 2, 3, 4):
        watched.fail(attempt, ConnectionRefusedError(f"refused {attempt}"))
    (told,) = watched.troubles
    assert "cannot be reached (refused 2)" in told
    assert "new rooms get no agent" in told
    watched.register()
    assert watched.troubles[1:] == [""]
    assert watched.failures == []


def test_a_connection_that_is_back_at_once_was_no_trouble() -> None:
    watched = Watched()
    watched.register()
    watched.fail(1, StatusError(-1))
    watched.register()
    assert watched.troubles == []


def test_full_capacity_and_its_end_are_reported() -> None:
    watched = Watched()
    watched.register()
    watched.fill()
    assert "full capacity" in watched.troubles[0]
    assert "AGENT_LOAD_THRESHOLD" in watched.troubles[0]
    watched.ease()
    assert watched.troubles[1:] == [""]


def test_a_worker_that_is_full_when_the_server_comes_back_is_full_still() -> None:
    watched = Watched()
    watched.register()
    watched.fill()
    watched.fail(2, ConnectionRefusedError("refused"))
    watched.register()
    full, away, again = watched.troubles
    assert full == again
    assert "cannot be reached" in away


def test_other_lines_mean_nothing() -> None:
    watched = Watched()
    watched.logger.info("connected")
    assert (watched.failures, watched.troubles) == ([], [])
