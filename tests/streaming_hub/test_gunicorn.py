"""The same application under gunicorn: one worker serves as the hub itself does, two are refused."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.streaming_hub.server.wire import open_stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kit.hub import Hub

COMMAND = [
    *(sys.executable, "-m", "gunicorn", "-k", "streaming_hub.gunicorn.Worker", "-b", "127.0.0.1:0"),
    "flask_server:create_app()",
]


@pytest.fixture
def start(start_server: Callable[..., Hub]) -> Callable[..., Hub]:
    """Starts gunicorn with a number of workers."""
    return lambda workers, **settings: start_server(command=[*COMMAND, "-w", str(workers)], **settings)


def test_one_worker_serves_and_drains(start: Callable[..., Hub]) -> None:
    server = start(1, STREAM_DRAIN="1").wait_until_up()
    streams = [open_stream(server.port) for _ in range(3)]
    assert streams[0].chunked
    answer = server.post([{"type": "a"}, {"type": "b"}]).json()
    assert answer["clients_notified"] == 3
    for one in streams:
        found = one.until_type("b")
        assert [frame["type"] for frame in found if frame["type"] != "heartbeat"] == ["connected", "a", "b"]
    streams[2].sock.close()
    server.wait_for_clients(2)
    streams[0].until_type("heartbeat")
    server.signal(signal.SIGTERM)
    for one in streams[:2]:
        assert one.until_type("goodbye")[-1]["reason"] == "draining"
        one.rest()
        assert one.ended
    assert server.wait() == 0
    assert "Traceback" not in server.log


def test_many_streams_do_not_hold_the_worker(start: Callable[..., Hub]) -> None:
    server = start(1, STREAM_HISTORY="memory://").wait_until_up()
    streams = [open_stream(server.port) for _ in range(100)]
    event = server.post({"type": "a"}).json()
    assert event["clients_notified"] == 100
    for one in streams:
        assert event["id"] in [frame.get("id") for frame in one.until_type("a")]


def test_a_worker_that_crashed_is_replaced(start: Callable[..., Hub], tmp_path: Path) -> None:
    server = start(1, folder=tmp_path).wait_until_up()
    stored = server.post({"type": "a"}).json()["id"]
    os.kill(int(server.wait_for_line(r"Booting worker with pid: (\d+)")[1]), signal.SIGKILL)
    server.wait_for_line(r"(?s)Booting worker.*Booting worker")
    answer = open_stream(server.port, "?replay=1")
    assert stored in [frame.get("id") for frame in answer.until_type("a")]


def test_two_workers_are_refused(start: Callable[..., Hub]) -> None:
    server = start(2, STREAM_HISTORY="memory://")
    server.wait_for_line("Use -w 1")
    assert server.wait() != 0


def test_an_open_hub_off_loopback_is_refused(start_server: Callable[..., Hub]) -> None:
    command = [part if part != "127.0.0.1:0" else "0.0.0.0:0" for part in COMMAND]
    server = start_server(command=command, STREAM_HISTORY="memory://")
    server.wait_for_line("STREAM_PUBLISH_KEYS")
    assert server.wait() != 0
