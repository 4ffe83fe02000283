"""The hub as a process: started as a user starts it, asked, crashed, restarted, with constants of its code changed."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import requests

from tests.kit.process import ROOT, SECONDS, Program, environ, free_port
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Sequence


class Hub(Program):
    """One hub, across restarts; its output is that of all runs. A context manager that leaves nothing behind.

    Args:
        folder: its working directory, where `data/` and `.env` are looked for.
        host: where it listens; loopback by default.
        port: where it listens, in every run; None takes a free one.
        options: further words of its command line.
        command: what runs instead; its output must name an address as `http://127.0.0.1:PORT`.
        before: the beginning of its command.
        changes: constants of its code, as `module:NAME` -> value.
        descriptors: its limit of open files.
        agent: what runs as the agent process; the real worker by default.
        counted: whether `counts` is used.
        **settings: environment variables besides those of this machine that are not settings.

    Attributes:
        url: its address.
        database: its history, unless a setting names another.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str | None = None,
        port: int | None = None,
        options: Sequence[str] = (),
        command: Sequence[str] | None = None,
        before: Sequence[str] = (),
        changes: dict[str, Any] | None = None,
        descriptors: int | None = None,
        agent: Sequence[str] | None = None,
        counted: bool = False,
        **settings: str,
    ) -> None:
        self._prepare()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = host or "127.0.0.1"
        self.database = folder / "data" / "events.db"
        self._finds_port = command is not None
        self._at(port or (0 if self._finds_port else free_port()))
        self._counts = folder / "counts.json"
        self._settings = settings
        altered = [f"--set={place}={json.dumps(value)}" for place, value in (changes or {}).items()]
        altered += [f"--descriptors={descriptors}"] if descriptors else []
        altered += [f"--agent={json.dumps(list(agent))}"] if agent else []
        altered += [f"--counts={self._counts}"] if counted else []
        program = ["-m", "tests.kit.launcher", *altered, "--"] if altered else [str(ROOT / "flask_server.py")]
        where = [*([f"--host={host}"] if host else []), f"--port={self.port}"]
        usual = [sys.executable, *program, *where, *options]
        self._command = [*before, *(usual if command is None else command)]

    def _at(self, port: int) -> None:
        self.port = port
        self.url = f"http://{self.host}:{port}"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> Self:
        """Start, and wait until it answers."""
        return self.spawn().wait_until_up()

    def spawn(self) -> Self:
        """Start the process, and do not wait for it."""
        # In its own folder, as the project's may have a `.env.local`.
        own = environ(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1", **self._settings)
        self._launch(self._command, self.folder, own)
        return self

    def wait_until_up(self) -> Self:
        """Wait until it accepts requests."""
        if self._finds_port:
            self._at(int(self.wait_for_line(r"http://127\.0\.0\.1:(\d+)")[1]))
        until(self._is_healthy, SECONDS, lambda: f"the hub is not healthy:\n{self.log}")
        return self

    def _is_healthy(self) -> bool:
        assert self.process.poll() is None, f"the hub ended at once:\n{self.log}"
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{self.url}/api/health", headers={"Host": "localhost"}, timeout=20).ok
        return False

    def kill(self) -> None:
        """End it as a crash does: what it started may still run for a moment."""
        if hasattr(self, "process"):
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(SECONDS)

    def get(self, path: str, **headers: str) -> requests.Response:
        """Ask for a page."""
        return requests.get(f"{self.url}{path}", headers=headers, timeout=SECONDS)

    def post(self, body: Any, **headers: str) -> requests.Response:
        """Publish an event or a batch."""
        return requests.post(f"{self.url}/api/agent/data", json=body, headers=headers, timeout=SECONDS)

    def publish(self, body: Any, **headers: str) -> dict[str, Any]:
        """Publish an event or a batch, and return the answer.

        Raises:
            requests.HTTPError: it was refused.
        """
        answer = self.post(body, **headers)
        answer.raise_for_status()
        decoded: dict[str, Any] = answer.json()
        return decoded

    def wait_for_clients(self, count: int) -> None:
        """Wait until this number of streams is open, by its own count."""
        until(lambda: self.clients() == count, SECONDS, lambda: f"{self.clients()} streams, not {count}")

    def agent(self) -> dict[str, Any]:
        """Return the agent's status."""
        return self.json("GET", "/api/agent/status")

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request on a connection of its own; return status, headers (lower case) and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        sent = {"Host": "localhost", "Content-Type": "application/json", **(headers or {})}
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), sent)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, fields, answer.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send one request that must succeed, and return its answer."""
        status, _, answer = self.request(method, path, body)
        assert status == 200, answer
        decoded: dict[str, Any] = json.loads(answer)
        return decoded

    def stored(self) -> list[dict[str, Any]]:
        """Return every stored event."""
        events: list[dict[str, Any]] = []
        after = ""
        while page := self.json("GET", f"/api/events?limit=1000{after}")["events"]:
            events += page
            after = f"&after={page[-1]['id']}"
        return events

    def clients(self) -> int:
        """Return how many streams it counts."""
        return int(self.json("GET", "/api/health")["clients"])

    def metric(self, name: str) -> float:
        """Return one figure of /metrics, or the sum of all its labels."""
        lines = self.request("GET", "/metrics")[2].decode().splitlines()
        found = [line.rsplit(" ", 1)[1] for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        assert found, f"no metric {name}"
        return sum(map(float, found))

    def memory_kib(self) -> int:
        """Return its resident memory."""
        return int(self._status("VmRSS"))

    def peak_kib(self) -> int:
        """Return its peak resident memory."""
        return int(self._status("VmHWM"))

    def threads(self) -> int:
        """Return its number of threads."""
        return int(self._status("Threads"))

    def descriptors(self) -> int:
        """Return its number of open files, without the idle connections to its database."""
        return len(self._files()) - self.database_descriptors()

    def database_descriptors(self) -> int:
        """Return how often its database is open: as many threads as read at once have had a connection each."""
        return len([name for name in self._files() if name.startswith(str(self.database))])

    def _files(self) -> list[str]:
        names = []
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                names.append(str(entry.readlink()))
        return names

    def counts(self) -> dict[str, int]:
        """Return how many greenlets, subscribers and streams live in it."""
        self._counts.unlink(missing_ok=True)
        self.signal(signal.SIGUSR1)
        until(self._counts.exists, 20, what=lambda: self.log)
        counts: dict[str, int] = json.loads(self._counts.read_text())
        return counts

    def _status(self, name: str) -> str:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return text.split(f"{name}:")[1].split()[0]
