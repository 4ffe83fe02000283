"""Real programs as child processes: any program, the hub in three shapes, and what the system says about them.

`Program` is any of them; `ServerProcess` and `HubProcess` are one run of the hub, as a user starts it; `Server` is a
hub across crashes and restarts, with constants of its code changed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import requests

from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
OWN_SETTINGS = ("STREAM_", "LIVEKIT_", "OPENAI_", "AGENT_")
"""Settings of the machine that runs the tests, which must not reach the hub."""
SECONDS = 30.0
"""How long to wait for what must happen."""
OPEN_FILES = Path("/dev/fd")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def environ(**more: str) -> dict[str, str]:
    """Return this process's environment without the hub's settings, and more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}
    return kept | more


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a free port below those that outgoing connections use, so that none of them takes it during a restart."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket(type=kind) as probe, contextlib.suppress(OSError):  # taken: try another one
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


class Program:
    """A running program; a thread reads its output.

    Args:
        command: the program and its arguments.
        folder: its working directory.
        **environment: variables besides this process's own.
    """

    def __init__(self, command: Sequence[str], folder: Path = ROOT, **environment: str) -> None:
        self._launch(command, folder, {**os.environ, "PYTHONUNBUFFERED": "1", **environment})

    def _launch(self, command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self.lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """Its output so far."""
        return "".join(f"{line}\n" for line in list(self.lines))

    def wait_for_line(self, pattern: str, seconds: float = SECONDS) -> re.Match[str]:
        """Wait until its output has a pattern."""
        with self._news:
            found = self._news.wait_for(lambda: re.search(pattern, self.log) or self._ended, seconds)
            match = re.search(pattern, self.log)
        assert match, f"no {pattern!r} ({'it ended' if found else 'too slow'}):\n{self.log}"
        return match

    def wait_for(self, text: str, seconds: float = SECONDS) -> str:
        """Wait until a line with this text was printed, and return it."""
        return self.wait_for_line(f".*{re.escape(text)}.*", seconds)[0]

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def stop(self, seconds: float = 15.0) -> None:
        """End it as an operator does; by force if it takes longer."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill_group()
        self.kill()

    def kill_group(self) -> None:
        """End it and its children as a crash of the machine does."""
        with contextlib.suppress(ProcessLookupError):  # all of them have ended
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()


class ServerProcess(Program):
    """One run of `flask_server.py` on a free port.

    Args:
        folder: its working directory; `data/` and `.env` would be looked for there.
        command: what runs; its output must name an address as `http://127.0.0.1:PORT`.
        **settings: environment variables.
    """

    def __init__(self, folder: Path, command: list[str] | None = None, **settings: str) -> None:
        command = command or [sys.executable, str(ROOT / "flask_server.py"), "--port", "0"]
        self._launch(command, folder, environ(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1", **settings))

    def wait_until_up(self) -> ServerProcess:
        """Wait until it accepts requests."""
        self.port = int(self.wait_for_line(r"http://127\.0\.0\.1:(\d+)")[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def post(self, body: Any, **headers: str) -> requests.Response:
        """Publish an event or a batch."""
        return requests.post(f"{self.url}/api/agent/data", json=body, headers=headers, timeout=SECONDS)

    def get(self, path: str, **headers: str) -> requests.Response:
        """Ask for a page."""
        return requests.get(f"{self.url}{path}", headers=headers, timeout=SECONDS)

    def wait_for_clients(self, count: int) -> None:
        """Wait until this number of streams is open, by its own count."""

        def clients() -> int:
            return int(self.get("/api/health").json()["clients"])

        until(lambda: clients() == count, SECONDS, lambda: f"{clients()} streams are open, not {count}")

    def end(self) -> None:
        """Kill it."""
        self.kill()


class HubProcess(Program):
    """One run of `flask_server.py` on a port that is known before it starts.

    Args:
        port: where to listen; 0 takes a free one.
        settings: environment variables besides those of the machine's own.
        folder: where it runs; not the project's, which may have a `.env.local`.
    """

    def __init__(self, port: int, settings: dict[str, str], folder: Path) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        command = [sys.executable, str(ROOT / "flask_server.py"), "--port", str(self.port)]
        self._launch(command, folder, environ(**settings))

    def wait_until_healthy(self) -> None:
        """Wait until the server answers.

        Raises:
            AssertionError: it ended, or did not answer in time; the message holds its log.
        """
        until(self._is_healthy, SECONDS, lambda: f"the hub is not healthy:\n{self.log}")

    def _is_healthy(self) -> bool:
        assert self.process.poll() is None, f"the hub ended at once:\n{self.log}"
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{self.url}/api/health", timeout=5).ok
        return False

    def post(self, event: Any, **headers: str) -> dict[str, Any]:
        """Publish an event or a batch, and return the answer.

        Raises:
            requests.HTTPError: it was refused.
        """
        answer = requests.post(f"{self.url}/api/agent/data", json=event, headers=headers, timeout=10)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    def agent(self) -> dict[str, Any]:
        """Return the agent's status."""
        status: dict[str, Any] = requests.get(f"{self.url}/api/agent/status", timeout=10).json()
        return status

    def ask_to_end(self) -> None:
        """Send the signal that an operator sends, without waiting."""
        self.signal(signal.SIGTERM)

    def end(self) -> None:
        """End the server as an operator does; by force if it takes too long."""
        self.stop()


class Server:
    """One hub, across restarts. A context manager that leaves nothing behind.

    Args:
        folder: where its database and its log are.
        changes: constants of its code, as `module:NAME` -> value.
        descriptors: its limit of open files.
        agent: what runs as the agent process; the real worker by default.
        host: where it listens.
        before: the beginning of its command.
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
        self.starts += 1
        with self.log_file.open("ab") as out:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,  # the project's own may have a `.env.local`
                env=environ(PYTHONPATH=str(ROOT), **self._settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> float:
        """Start, and wait until it answers; return the seconds until then."""
        begun = time.monotonic()
        self.spawn()
        until(self._is_healthy, SECONDS, what=self.log)
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(SECONDS)

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


def is_running(pid: int) -> bool:
    """Whether a process lives. A zombie counts as gone: where nothing reaps orphans it stays in the table."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _asked(pid, "stat")[:1] not in ("", "Z")


def memory_of(pid: int) -> int:
    """Resident bytes of a process."""
    return int(_asked(pid, "rss")) * 1024


def open_files() -> int:
    """How many descriptors this process has, plus one for this look."""
    return len(list(OPEN_FILES.iterdir()))


def _asked(pid: int, column: str) -> str:
    ran = subprocess.run(
        ["ps", "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return ran.stdout.strip()
