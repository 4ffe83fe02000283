"""Records what a real agent uploads: a call in a real room, every request kept as it came.

    uv run python -m tests.uploads.record FOLDER [redacted]

Writes `uploads.jsonl.gz` (one request a line: path, headers, body in base64), `attached.jsonl` (the events that
`attach` sent of the same call) and `session.jsonl.gz` (what a watcher sees of it). Needs livekit-server and espeak-ng
on PATH. AGENT_PYTHON names the Python of another version of the SDK; AGENT_NODE a folder in which npm has installed
`@livekit/agents` and its plugins openai and silero. The tests read what it has written, in
tests/uploads/recorded/VERSION.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.kit.process import Program
from tests.kit.wait import until as wait_until
from tests.livekit.participant import Participant
from tests.livekit.processes import ROOT as CHECKOUT
from tests.livekit.processes import LiveKitServer
from tests.stubs.openai_stub import OpenAIStub
from tests.stubs.script import Rule
from tests.uploads.watch import Recorder

ROOM = "support-7"
HELLO = "Hello there."
TIME = "What is the current time in London?"
STORY = "Tell me a long story about the sea."
STOP = "Stop please."
LONG = (
    "Once upon a time there was a small boat that sailed over the wide blue sea, past seven islands and "
    "through three storms, until it came to a harbour where nobody had ever seen a boat before."
)
AUDIO_BYTES = 16_384
KEPT = ("content-type", "content-encoding", "transfer-encoding", "authorization", "user-agent")


class Receiver:
    """Takes uploads and posted events, and answers 200 to both."""

    def __init__(self) -> None:
        self.uploads: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = outer.body_of(self)
                answer = b""
                if self.path.startswith("/api/"):
                    answer = b'{"status":"ok","ended":[]}'
                if self.path.startswith("/observability/"):
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    kept = {name: headers[name] for name in KEPT if name in headers}
                    outer.uploads.append(
                        {"at": time.time(), "path": self.path, "headers": kept, "body": body}
                    )
                elif body and self.path == "/api/agent/data":
                    found = json.loads(body)
                    several = isinstance(found, list)
                    outer.events += found if several else [found]
                    # Without an id for each event, the client takes the answer for another server's, and repeats them.
                    ids = [f"e-{len(outer.events)}"] * (len(found) if several else 1)
                    given = {"ids": ids} if several else {"id": ids[0]}
                    answer = json.dumps({"status": "ok", "clients_notified": 0, **given}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def until(self, kind: str, count: int) -> None:
        """Wait for `count` events of a type."""
        wait_until(
            lambda: sum(one["type"] == kind for one in self.events) >= count,
            seconds=60,
            what=f"{count} {kind}",
        )

    @staticmethod
    def body_of(request: BaseHTTPRequestHandler) -> bytes:
        if "chunked" not in request.headers.get("Transfer-Encoding", ""):
            return request.rfile.read(int(request.headers.get("Content-Length", 0)))
        body = b""
        while size := int(request.rfile.readline().split(b";")[0], 16):
            body += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return body


def talk(folder: Path, python: str, redacted: str) -> tuple[Receiver, Recorder]:
    """Hold one call; return what was received, and what a watcher saw."""
    receiver = Receiver()
    with LiveKitServer(folder) as livekit, OpenAIStub() as stub:
        for phrase in (HELLO, TIME, STORY, STOP):
            stub.learn(phrase)
        stub.script.add(
            Rule(
                "time", tool="current_time", arguments={"time_zone": "Europe/London"}, text="It is {output}."
            )
        )
        stub.script.add(Rule("story", text=LONG))
        settings = {
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": stub.base_url,
            "LIVEKIT_OBSERVABILITY_URL": receiver.url,
            "STREAM_URL": receiver.url,
            "RECORD": redacted,
        }
        agent = Program(command(python), **livekit.environment, **settings)
        try:
            agent.wait_for("registered worker", 60)
            with Participant(livekit.url, livekit.token(ROOM, "alice"), "alice") as alice:
                recorder = Recorder(livekit.url, ROOM)
                alice.wait_for_agent()
                until(alice, "finished", 1)
                for number, phrase in enumerate((HELLO, TIME), 2):
                    time.sleep(0.8)
                    alice.say(phrase)
                    until(alice, "finished", number)
                time.sleep(0.8)
                alice.say(STORY)
                until(alice, "started", 4)
                time.sleep(2)
                alice.say(STOP)
                until(alice, "finished", 5)
                time.sleep(1)
            wait_until(
                lambda: any(one["path"].endswith("/recordings/v0") for one in receiver.uploads),
                seconds=90,
                what="the recording",
            )
            time.sleep(4)
        finally:
            agent.stop(30)
            print(agent.log[-1500:], file=sys.stderr)
    recorder.join()
    return receiver, recorder


def command(python: str) -> list[str]:
    """Return what runs the agent."""
    node = os.environ.get("AGENT_NODE")
    if not node:
        return [python, "-m", "livekit.agents", "start", "tests/uploads/agent.py"]
    script = Path(node) / "agent.mjs"
    script.write_bytes((CHECKOUT / "tests/uploads/node_agent.mjs").read_bytes())
    return ["node", str(script), "start"]


def until(alice: Participant, what: str, count: int) -> None:
    """Wait until the agent has started or finished speaking this many times, by its own attribute."""

    def told() -> bool:
        states = ["", *(state for _, state in alice.agent_states.all())]
        pairs = list(pairwise(states))
        begun, ended = (
            sum(pair[place] == "speaking" != pair[1 - place] for pair in pairs) for place in (1, 0)
        )
        return (begun if what == "started" else ended) >= count

    wait_until(told, seconds=60, what=f"the agent has {what} speaking {count} times")


def scrubbed(upload: dict[str, Any]) -> bytes:
    """Return a body without this machine's paths (others of the same length), its audio cut to a few pages."""
    body, packed = upload["body"], upload["headers"].get("content-encoding") == "gzip"
    body = gzip.decompress(body) if packed else body
    for path in (str(CHECKOUT), sys.base_prefix, str(Path(tempfile.gettempdir())), str(Path.home())):
        if len(path) > 1:
            body = body.replace(path.encode(), ("/" + "a" * (len(path) - 1)).encode())
    if upload["path"].endswith("/recordings/v0"):
        boundary = b"\r\n--" + upload["headers"]["content-type"].partition("boundary=")[2].encode()
        parts = body.split(boundary)
        parts = [part[:AUDIO_BYTES] if b"audio/ogg" in part[:300] else part for part in parts]
        body = boundary.join(parts)
    return gzip.compress(body, mtime=0) if packed else body


def main(folder: Path, redacted: str) -> None:
    """Record one call."""
    with tempfile.TemporaryDirectory() as place:
        receiver, recorder = talk(Path(place), os.environ.get("AGENT_PYTHON", sys.executable), redacted)
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "uploads.jsonl.gz", "wt") as out:
        for one in receiver.uploads:
            body = base64.b64encode(scrubbed(one)).decode()
            out.write(json.dumps({**one, "body": body}) + "\n")
    with (folder / "attached.jsonl").open("w") as out:
        for event in receiver.events:
            out.write(json.dumps(event, ensure_ascii=False) + "\n")
    recorder.write(folder)
    print(len(receiver.uploads), "uploads,", len(receiver.events), "events")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
