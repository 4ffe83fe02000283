"""The agent process as the hub starts it: the failures that it reports, and its end."""

from __future__ import annotations

import signal
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from agent.service import (
    CLOSE_SECONDS,
    FLUSH_SECONDS,
    FULL_LOAD,
    READY_MESSAGE,
    ROUTINE,
    TASKS_SECONDS,
    _make_server,
    _reported_load,
)
from agent.settings import Settings
from streaming_hub.services import AGENT_BUDGET
from tests.agent.receiver import Receiver
from tests.agent.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livekit.agents import AgentServer


def settings(receiver: Receiver, **changes: str) -> dict[str, str]:
    complete = {
        "STREAM_URL": receiver.url,
        "AGENT_MODE": "livekit",
        "LIVEKIT_URL": "ws://127.0.0.1:9",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "a_secret_of_at_least_32_bytes_____",
        "OPENAI_API_KEY": "sk-test",
    }
    return {**complete, **changes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


class _Refuser(BaseHTTPRequestHandler):
    """What livekit-server answers to a worker with a wrong secret."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def refusing_livekit() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refuser)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"ws://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def failure(worker: WorkerProcess) -> str:
    """Return the reason it reports; it has to end by itself without having been ready."""
    reason: str = worker.wait_for_state("failed")["reason"]
    assert worker.process.wait(30) == 1
    assert [message["state"] for message in worker.messages] == ["failed"]
    assert reason in worker.log
    return reason


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"OPENAI_API_KEY": ""}, "OPENAI_API_KEY is not set"),
        ({"LIVEKIT_URL": ""}, "LIVEKIT_URL is not set"),
        ({"AGENT_MODE": "rehersal"}, "AGENT_MODE is 'rehersal'"),
    ],
)
def test_a_setting_that_is_wrong_is_named(receiver: Receiver, changes: dict[str, str], named: str) -> None:
    with WorkerProcess(**settings(receiver, **changes)) as worker:
        assert named in failure(worker)


def test_a_server_that_cannot_be_reached(receiver: Receiver) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        with WorkerProcess(**settings(receiver, LIVEKIT_URL=url)) as worker:
            reason = failure(worker)
    assert "cannot be reached" in reason
    assert url in reason
    assert receiver.of_type("agent_ready") == []


@pytest.mark.faults
def test_a_secret_that_livekit_refuses(receiver: Receiver, refusing_livekit: str) -> None:
    with WorkerProcess(**settings(receiver, LIVEKIT_URL=refusing_livekit)) as worker:
        reason = failure(worker)
    assert "LIVEKIT_API_SECRET" in reason
    assert receiver.of_type("agent_ready") == []


def test_a_recording_that_is_missing(receiver: Receiver, tmp_path: Any) -> None:
    changes = {"AGENT_MODE": "rehearsal", "AGENT_REHEARSAL_AUDIO": str(tmp_path)}
    with WorkerProcess(**settings(receiver, **changes)) as worker:
        assert "question.wav" in failure(worker)


def test_a_stop_ends_the_session_and_sends_its_last_events(receiver: Receiver) -> None:
    with WorkerProcess(**settings(receiver, AGENT_MODE="rehearsal")) as worker:
        worker.wait_for_state("running")
        receiver.wait_for(lambda _events: receiver.of_type("agent_speech_started"))
        assert f"INFO agent.service: {READY_MESSAGE}\n" in worker.log
        assert "INFO livekit.agents: starting worker\n" in worker.log
        assert not [words for words in ROUTINE if words in worker.log]
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0
        worker.wait_for_state("draining")
        assert worker.messages[-1] == {"state": "draining"}
    kinds = [event["type"] for event in receiver.events]
    assert kinds[-1] == "session_ended"
    assert receiver.events[-1]["reason"] == "agent_stopped"
    assert kinds.count("agent_speech_finished") == kinds.count("agent_speech_started")


@pytest.mark.faults
def test_the_end_of_the_hub_ends_a_running_agent(receiver: Receiver) -> None:
    with WorkerProcess(**settings(receiver, AGENT_MODE="rehearsal")) as worker:
        worker.wait_for_state("running")
        worker.hub_end.shutdown(socket.SHUT_RDWR)
        assert worker.process.wait(30) == -signal.SIGKILL


def test_the_last_words_fit_into_what_the_stopping_hub_grants() -> None:
    assert CLOSE_SECONDS + TASKS_SECONDS + FLUSH_SECONDS <= AGENT_BUDGET - 0.4, (
        "leaving the interpreter takes time"
    )


def test_the_key_and_the_room_are_used_and_ctrl_c_ends_it(receiver: Receiver) -> None:
    changes = {"AGENT_MODE": "rehearsal", "STREAM_PUBLISH_KEY": "sesame", "AGENT_ROOM": "lobby"}
    with WorkerProcess(**settings(receiver, **changes)) as worker:
        receiver.wait_for(lambda _events: receiver.of_type("session_started"))
        worker.process.send_signal(signal.SIGINT)
        assert worker.process.wait(30) == 0
    assert receiver.keys == {"Bearer sesame"}
    assert receiver.of_type("session_started")[0]["room"] == "lobby"


def test_livekit_is_reported_a_load_at_which_it_continues_giving_rooms() -> None:
    server = _make_server(Settings.from_env({}), "thread")
    assert server.load_fnc is _reported_load
    busy = [SimpleNamespace(active_jobs=[None] * jobs) for jobs in (0, 2, 500)]
    assert [_reported_load(cast("AgentServer", one)) for one in busy] == [0.0, 0.02, 0.5]


def test_a_threshold_is_where_livekit_too_calls_the_worker_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.service.WorkerOptions.load_fnc", lambda _server: 0.9)
    settings = replace(Settings.from_env({}), load_threshold=0.9)
    server = _make_server(settings, "thread")
    told: Any = server.load_fnc
    assert told(server) == pytest.approx(FULL_LOAD)
    assert server._load_threshold == FULL_LOAD
