"""The streaming guide's own lines, word for word; only the port differs.

Covers streaming_hub.web.shortcut, over HTTP.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.streaming_hub.server.wire import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.hub import Hub

CURL_STREAM = "curl -N http://localhost:5000/api/stream"
CURL_SEND = """curl -X POST http://localhost:5000/api/agent/data \\
  -H "Content-Type: application/json" \\
  -d '{"type":"test","message":"Hello from curl"}'
"""
PYTHON = """import requests
import json
import time

# Send test events
def send_test_event():
    response = requests.post('http://localhost:5000/api/agent/data', 
        json={
            "type": "test_transcript",
            "text": "This is a test message",
            "timestamp": time.time()
        })
    print(f"Sent event, notified {response.json()['clients_notified']} clients")

# Listen to stream
def listen_to_stream():
    response = requests.get('http://localhost:5000/api/stream', stream=True)
    for line in response.iter_lines():
        if line.startswith(b'data: '):
            data = json.loads(line[6:])  # Remove 'data: ' prefix
            print(f"Received: {data}")

# Run listener in separate thread
import threading
threading.Thread(target=listen_to_stream, daemon=True).start()

# Send some test events
for i in range(5):
    send_test_event()
    time.sleep(2)
"""  # noqa: W291 - the guide has this blank at a line's end, too
EXAMPLES = [
    {
        "type": "transcript",
        "text": "Hello, how can I help you?",
        "participant": "agent_123",
        "timestamp": 1695123456.789,
    },
    {
        "type": "transcript",
        "text": "User said something",
        "participant": "voice_assistant_user_1234",
        "timestamp": 1695123456.789,
    },
    {"type": "agent_speech_started", "timestamp": 1695123456.789},
    {"type": "agent_speech_finished", "timestamp": 1695123456.789},
    {"type": "agent_ready", "message": "Voice agent is ready and listening"},
]


class Listener:
    """A program whose output is read line by line."""

    def __init__(self, arguments: list[str], **options: Any) -> None:
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, env=environ, start_new_session=True, **options
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.decode())
                self._news.notify_all()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until a text has been printed `count` times."""
        with self._news:
            found = self._news.wait_for(lambda: "".join(self.lines).count(text) >= count, PATIENCE)
        assert found, f"no {text!r} in {self.lines}"

    def end(self) -> None:
        """End it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    """What is ended after the test."""
    started: list[Listener] = []
    yield started
    for one in started:
        one.end()


def here(text: str, server: Hub) -> str:
    """The guide's text for this server."""
    assert ":5000" in text
    return text.replace(":5000", f":{server.port}")


def test_the_curl_lines(hub_server: Hub, listeners: list[Listener]) -> None:
    stream = Listener(["bash", "-c", here(CURL_STREAM, hub_server)], stderr=subprocess.DEVNULL)
    listeners.append(stream)
    stream.wait_for('"type":"connected"')
    sent = subprocess.run(["bash", "-c", here(CURL_SEND, hub_server)], capture_output=True, check=True)
    answer = json.loads(sent.stdout)
    assert answer["status"] == "ok"
    assert answer["clients_notified"] == 1
    stream.wait_for('"message":"Hello from curl"')
    stream.wait_for('"type":"heartbeat"')
    line = next(line for line in stream.lines if "Hello from curl" in line)
    event = json.loads(line.removeprefix("data: "))
    assert set(event) == {"type", "message", "id", "timestamp"}
    assert event["id"] == answer["id"]


def test_the_python_listener(hub_server: Hub, listeners: list[Listener]) -> None:
    # Its pauses would be ten seconds of waiting: the clock runs faster, the text does not differ.
    hurry = (
        "import time as _clock; _sleep = _clock.sleep; _clock.sleep = lambda seconds: _sleep(seconds / 10)\n"
    )
    program = Listener([sys.executable, "-c", hurry + here(PYTHON, hub_server)])
    listeners.append(program)
    program.wait_for("Received: {'type': 'connected'")
    program.wait_for("Received: ", 5)
    assert program.process.wait(PATIENCE) == 0
    program.wait_for("Sent event, notified 1 clients", 4)
    program.wait_for("'text': 'This is a test message'", 4)


def test_the_python_listener_sees_an_event_at_once(hub_server: Hub, listeners: list[Listener]) -> None:
    """iter_lines waits for 512 bytes unless the body is chunked: then it would see it only with later heartbeats."""
    only_listen = PYTHON.split("# Run listener", maxsplit=1)[0] + "\nlisten_to_stream()\n"
    program = Listener([sys.executable, "-c", here(only_listen, hub_server)])
    listeners.append(program)
    program.wait_for("'connected'")
    hub_server.post({"type": "tiny"})
    began = time.monotonic()
    program.wait_for("'type': 'tiny'")
    assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize(
    "event", EXAMPLES, ids=lambda event: f"{event['type']}-{event.get('participant', '')}"
)
def test_each_event_of_the_guide_is_taken(hub_server: Hub, event: dict[str, Any]) -> None:
    answer = hub_server.post(event).json()
    assert answer["status"] == "ok"
    stored = hub_server.get(f"/api/events?limit=1&type={event['type']}&after={previous(answer['id'])}").json()
    (read,) = stored["events"]
    assert {name: read[name] for name in event} == event
    assert set(read) - set(event) <= {"id", "timestamp"}


def previous(event_id: str) -> str:
    """The position before an event."""
    epoch, seq = event_id.split("-")
    return f"{epoch}-{int(seq) - 1}"
