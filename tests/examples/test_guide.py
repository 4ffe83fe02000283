"""The lines of the streaming guide that this project was built from, as they stand there but for the port."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.examples.conftest import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.browser.hub_process import HubProcess

LISTENER = """
import requests
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
"""  # noqa: W291  # word for word

CURL_STREAM = "curl -N http://localhost:5000/api/stream"
CURL_SEND = r"""curl -X POST http://localhost:5000/api/agent/data \
  -H "Content-Type: application/json" \
  -d '{"type":"test","message":"Hello from curl"}'"""
CURL_TRANSCRIPT = r"""curl -X POST http://localhost:5000/api/agent/data -H "Content-Type: application/json" -d '{
  "type": "transcript",
  "text": "Hello, how can I help you?",
  "participant": "agent_123",
  "timestamp": 1695123456.789
}'"""
SECONDS = 30


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.kill()


def here(text: str, hub: HubProcess) -> str:
    assert "localhost:5000" in text
    return text.replace("localhost:5000", f"localhost:{hub.port}")


def test_the_python_listener(hub: HubProcess, tmp_path: Path, programs: list[Program]) -> None:
    script = tmp_path / "listener.py"
    script.write_text(here(LISTENER, hub))
    programs.append(Program([sys.executable, str(script)]))
    programs[0].wait_for("Received: {'type': 'connected'")
    programs[0].wait_for("Sent event, notified 1 clients")
    assert "'text': 'This is a test message'" in programs[0].wait_for("'type': 'test_transcript'")


def test_the_curl_lines(hub: HubProcess, programs: list[Program]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not on PATH (Debian: apt-get install curl)")
    programs.append(Program(["bash", "-c", f"exec {here(CURL_STREAM, hub)}"]))
    programs[0].wait_for('"type":"connected"')
    for command in (CURL_SEND, CURL_TRANSCRIPT):
        ran = subprocess.run(
            ["bash", "-c", here(command, hub)], capture_output=True, text=True, timeout=SECONDS, check=True
        )
        answer = json.loads(ran.stdout)
        assert (answer["status"], answer["clients_notified"]) == ("ok", 1)
    assert '"message":"Hello from curl"' in programs[0].wait_for("Hello from curl")
    assert '"timestamp": 1695123456.789' in programs[0].wait_for("how can I help you")
