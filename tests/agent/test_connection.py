"""The sentences that say why livekit mode does not come up."""

from __future__ import annotations

import logging

import pytest

from agent.connection import ConnectionWatch, explain

URL = "ws://127.0.0.1:7880"


class StatusError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"{status}, message='Invalid response status'")
        self.status = status


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_secret_is_told_at_once(status: int) -> None:
    reason = explain(StatusError(status), 1, URL) or ""
    assert "LIVEKIT_API_SECRET" in reason
    assert str(status) in reason


def test_a_server_that_is_none_is_told_at_once() -> None:
    assert "check LIVEKIT_URL" in (explain(StatusError(404), 1, URL) or "")


def test_an_unreachable_server_gets_a_second_chance() -> None:
    error = ConnectionRefusedError("refused")
    assert explain(error, 1, URL) is None
    reason = explain(error, 2, URL) or ""
    assert URL in reason
    assert "refused" in reason


class Watched:
    """A logger with the watch on it, and what it called."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.full: list[str] = []
        self.watch = ConnectionWatch(URL, self.failures.append, self.full.append)
        self.logger = logging.Logger("livekit.agents", logging.INFO)
        self.logger.addHandler(self.watch)

    def fail(self, attempt: int, error: object) -> None:
        extra = {"retry_count": attempt, "max_retry": 16, "error": error}
        self.logger.warning("failed to connect to livekit, retrying in %ds", 0, extra=extra)


def test_the_watch_reads_livekits_own_warning() -> None:
    watched = Watched()
    watched.fail(1, StatusError(401))
    assert len(watched.failures) == 1
    assert "401" in watched.failures[0]


def test_after_the_registration_retries_are_livekits_business() -> None:
    watched = Watched()
    watched.watch.registered = True
    watched.fail(9, StatusError(401))
    assert watched.failures == []


def test_full_capacity_is_told() -> None:
    watched = Watched()
    watched.logger.info(
        "worker is at full capacity, marking as unavailable", extra={"load": 0.93, "threshold": 0.7}
    )
    assert "0.93" in watched.full[0]
    assert "AGENT_LOAD_THRESHOLD" in watched.full[0]


def test_other_lines_mean_nothing() -> None:
    watched = Watched()
    watched.logger.info("registered worker")
    assert (watched.failures, watched.full) == ([], [])
