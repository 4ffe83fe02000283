"""The two servers as processes: livekit-server on loopback, and the hub as a user starts it."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests
from livekit import api

from tests.kit.hub import Hub
from tests.kit.process import Program, free_port
from tests.kit.wait import until
from tests.livekit.waiting import Growing

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "devkey"
API_SECRET = "a_secret_of_at_least_32_bytes_____"


class LiveKitServer(Program):
    """livekit-server on loopback only; a context manager.

    Args:
        folder: Where its configuration goes.
        webhook: An address for its webhooks.

    Attributes:
        url: For clients and workers.
    """

    def __init__(self, folder: Path, webhook: str | None = None) -> None:
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self._config = folder / "livekit.yaml"
        # JSON is YAML, and needs no library. Every address is loopback: --dev would open UDP and TCP ports
        # on all interfaces.
        settings: dict[str, Any] = {
            "port": self.port,
            "bind_addresses": ["127.0.0.1"],
            "keys": {API_KEY: API_SECRET},
            "rtc": {
                "tcp_port": 0,
                "udp_port": free_port(socket.SOCK_DGRAM),
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,
                "interfaces": {"includes": ["lo"]},
            },
        }
        if webhook is not None:
            settings["webhook"] = {"api_key": API_KEY, "urls": [webhook]}
        self._config.write_text(json.dumps(settings))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, or start it again on the same port, and wait until it answers."""
        program = shutil.which("livekit-server")
        if program is None:
            raise FileNotFoundError("livekit-server is not on PATH")
        super().__init__([program, "--config", str(self._config)])
        until(self._answers, seconds=15, what="livekit-server answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"livekit-server ended:\n{self.log}"
        return _get_ok(f"http://127.0.0.1:{self.port}/")

    def token(self, room: str, identity: str) -> str:
        """Return a token that may join the room; a worker without a name is dispatched by itself."""
        grants = api.VideoGrants(room_join=True, room=room)
        return api.AccessToken(API_KEY, API_SECRET).with_identity(identity).with_grants(grants).to_jwt()

    def ask(self, method: str, **question: str) -> dict[str, Any]:
        """Ask its API something, as an operator of the room named in the question."""
        grants = api.VideoGrants(room_admin=True, room_create=True, room=question["room"])
        token = api.AccessToken(API_KEY, API_SECRET).with_grants(grants).to_jwt()
        address = f"http://127.0.0.1:{self.port}/twirp/livekit.{method}"
        answer = requests.post(
            address, json=question, headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
        answer.raise_for_status()
        decoded: dict[str, Any] = answer.json()
        return decoded

    @property
    def environment(self) -> dict[str, str]:
        """LiveKit's settings for a hub that uses this server."""
        return {"LIVEKIT_URL": self.url, "LIVEKIT_API_KEY": API_KEY, "LIVEKIT_API_SECRET": API_SECRET}


class HubServer(Hub):
    """A hub and a reader of its stream; a context manager.

    Args:
        folder: Where it runs, and where the event store goes.
        environment: Settings besides the usual; they win over this machine's.
        port: The port on 127.0.0.1; None takes a free one.

    Attributes:
        stream: What its stream has shown since the start, as `Seen`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], port: int | None = None) -> None:
        usual = {
            "STREAM_HISTORY": f"sqlite:///{folder / 'events.db'}",
            "STREAM_HEARTBEAT": "2",
            "STREAM_DRAIN": "0",
        }
        super().__init__(folder, port=port, **{**usual, **environment})
        self.stream = EventStream(self.url)

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.stream.open()
        except BaseException:
            self.kill_group()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.stream.close()

    def post(self, path: str, body: dict[str, Any] | None = None, seconds: float = 30) -> dict[str, Any]:
        """POST and return the JSON answer.

        Raises:
            requests.HTTPError: The answer is not a success; its text is shown.
        """
        answer = requests.post(self.url + path, json=body, timeout=seconds)
        if not answer.ok:
            raise requests.HTTPError(f"{path}: {answer.status_code} {answer.text}", response=answer)
        decoded: dict[str, Any] = answer.json()
        return decoded

    def get(self, path: str) -> dict[str, Any]:
        """GET and return the JSON answer."""
        answer = requests.get(self.url + path, timeout=30)
        answer.raise_for_status()
        decoded: dict[str, Any] = answer.json()
        return decoded

    def start_agent(self, **options: Any) -> dict[str, Any]:
        """Start the agent in LiveKit mode and wait until it can take jobs."""
        return self.post("/api/agent/start", {"mode": "livekit", "wait": 30, **options}, seconds=60)

    def token(self, room: str, identity: str) -> tuple[str, str]:
        """Return livekit-server's address and a token, as LiveKit's own token sources ask for it."""
        answer = self.post("/api/token", {"room_name": room, "participant_identity": identity})
        return answer["server_url"], answer["participant_token"]


class Seen:
    """An event of the stream.

    Attributes:
        at: When it arrived, seconds since 1970.
        type: The event's type.
        fields: The whole event.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.at = time.time()
        self.type: str = fields["type"]
        self.fields = fields

    def __getitem__(self, name: str) -> Any:
        return self.fields.get(name)

    def __repr__(self) -> str:
        return f"{self.at % 1000:.2f} {json.dumps(self.fields)}"


class EventStream:
    """A reader of `/api/stream` in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._address = f"{url}/api/stream"
        self.events: Growing[Seen] = Growing("the stream")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="event-stream", daemon=True)

    def open(self) -> None:
        """Begin to read, and return when the stream has said `connected`."""
        self._thread.start()
        self.wait("connected", seconds=10)

    def close(self) -> None:
        """Stop at the next event or at the stream's end."""
        self._closing.set()
        self._thread.join(5)

    def _read(self) -> None:
        try:
            with requests.get(self._address, stream=True, timeout=(10, 60)) as answer:
                self._take(answer)
        except requests.RequestException as ended:
            self.events.add(Seen({"type": "stream_ended", "reason": str(ended)}))

    def _take(self, answer: requests.Response) -> None:
        waiting = b""
        for piece in answer.iter_content(chunk_size=None):
            waiting += piece
            *frames, waiting = waiting.split(b"\n\n")
            for frame in frames:
                data = [line[5:].strip() for line in frame.split(b"\n") if line.startswith(b"data:")]
                if data:
                    self.events.add(Seen(json.loads(b"\n".join(data))))
            if self._closing.is_set():
                return

    def wait(self, kind: str, *, seconds: float = 20, after: Seen | None = None, **fields: Any) -> Seen:
        """Return the first event of a type that has these field values, waiting for it if need be."""

        def fits(seen: Seen) -> bool:
            return seen.type == kind and all(seen[name] == value for name, value in fields.items())

        return self.events.wait(fits, seconds=seconds, text=f"{kind} {fields}", after=after)

    def wait_for_agent(self, state: str, why: str, *, seconds: float = 20, after: Seen | None = None) -> Seen:
        """Return the first `agent_process` of a state whose reason has these words; without words, no reason."""

        def fits(seen: Seen) -> bool:
            if (seen.type, seen["state"]) != ("agent_process", state):
                return False
            return why in (seen["reason"] or "") if why else seen["reason"] is None

        return self.events.wait(fits, seconds=seconds, text=f"agent_process {state}: {why}", after=after)

    def of_type(self, *kinds: str, **fields: Any) -> list[Seen]:
        """Return what has arrived so far of these types, with these field values."""
        return [
            seen
            for seen in self.events.all()
            if seen.type in kinds and all(seen[name] == value for name, value in fields.items())
        ]


def _get_ok(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False
