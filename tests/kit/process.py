"""Real programs as child processes, and what the system says about them; the hub is in `hub`."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from signal import SIGTERM
from typing import IO, TYPE_CHECKING

import pytest

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

    process: subprocess.Popen[bytes]

    def __init__(self, command: Sequence[str], folder: Path = ROOT, **environment: str) -> None:
        self._prepare()
        self._launch(command, folder, {**os.environ, "PYTHONUNBUFFERED": "1", **environment})

    def _prepare(self) -> None:
        self.lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()

    def _launch(self, command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self._ended = False
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for line in output:
                with self._news:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            # An earlier run's last child may outlive the beginning of the next run.
            self._ended = self._ended or self._reader is threading.current_thread()
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

    def signal(self, number: int = SIGTERM) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def stop(self, number: int = SIGTERM, seconds: float = 15.0) -> tuple[int, float]:
        """End it by a signal, by force if it takes longer; return its exit code and the seconds that it took."""
        begun = time.monotonic()
        if self.process.poll() is None:
            self.signal(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill_group()
        took = time.monotonic() - begun
        return self.wait(), took

    def kill_group(self) -> None:
        """End it and its children as a crash of the machine does."""
        with contextlib.suppress(ProcessLookupError):  # all of them have ended
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


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
