"""The real hub as a child process that tests kill, stop, restart and look into."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
OWN_SETTINGS = ("STREAM_", "LIVEKIT_", "OPENAI_", "AGENT_")
"""Settings that whoever runs the tests may have set, and that must not reach the hub."""
START_SECONDS = 30.0


def free_port() -> int:
    """Return a free port below those that outgoing connections use, so that none of them takes it during a restart."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """One hub, across restarts. A context manager that leaves nothing behind.

    Args:
        folder: where its database and its log are.
        changes: constants of its code, as `module:NAME` -> value.
        descriptors: its limit of open files.
        agent: what runs as the agent process; the real worker by default.
        host: where it listens.
        before: what its command begins with.
        **settings: environment variables.
    """

    def __init__(
        self,
        folder: Path,
        *,
        changes: dict[str, Any] | None = None,
        descriptors: int | None = None,
        agent: Sequence[str] | None = None,
        host: str = "127.0.0.1",
        before: Sequence[str] = (),
        **settings: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = host
        self.port = free_port()
        self.url = f"http://{host}:{self.port}"
        self.database = folder / "data" / "events.db"
        self.starts = 0
        self._counts = folder / "counts.json"
        self._settings = {"STREAM_HISTORY": f"sqlite:///{self.database}", **settings}
        own = [f"--set={place}={json.dumps(value)}" for place, value in (changes or {}).items()]
        own += [f"--descriptors={descriptors}"] if descriptors else []
        own += [f"--agent={json.dumps(list(agent))}"] if agent else []
        own.append(f"--counts={self._counts}")
        arguments = ["-m", "tests.faults.launcher", *own, "--", f"--host={host}", f"--port={self.port}"]
        self._command = [*before, sys.executable, *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self.process is not None
        return self.process.pid

    @property
    def log_file(self) -> Path:
        """What it wrote since the first start."""
        return self.folder / "server.log"

    def spawn(self) -> None:
        """Start the process, and do not wait for it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
        self.starts += 1
        with self.log_file.open("ab") as out:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,  # the project's own may have a `.env.local`
                env={**inherited, "PYTHONPATH": str(ROOT), **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> float:
        """Start, and wait until it answers; return the seconds until then."""
        begun = time.monotonic()
        self.spawn()
        until(self._is_healthy, START_SECONDS, what=self.log)
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(START_SECONDS)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15.0) -> tuple[int, float]:
        """End it by a signal; return the exit code and how long it took."""
        assert self.process is not None
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(seconds), time.monotonic() - begun

    def log(self) -> str:
        """Return its output."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def ask(
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
        status, _, answer = self.ask(method, path, body)
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
        lines = self.ask("GET", "/metrics")[2].decode().splitlines()
        found = [line.rsplit(" ", 1)[1] for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        assert found, f"no metric {name}"
        return sum(map(float, found))

    def memory_kib(self) -> int:
        """Return its resident memory."""
        return int(self._status("VmRSS"))

    def peak_kib(self) -> int:
        """Return the most memory that it ever had."""
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
        assert self.process is not None
        self._counts.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        until(self._counts.exists, 20, what=self.log)
        counts: dict[str, int] = json.loads(self._counts.read_text())
        return counts

    def _status(self, name: str) -> str:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return text.split(f"{name}:")[1].split()[0]

    def _is_healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the hub ended at once:\n{self.log()}"
        try:
            return self.ask("GET", "/api/health")[0] == 200
        except OSError:
            return False
