"""A real redis-server for tests: on a Unix socket and, where asked for, a port; killed, paused, started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.process import free_port

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "redis-server"


def needs_redis() -> str:
    """Return the program, or skip."""
    found = shutil.which(PROGRAM)
    if found is None:
        pytest.skip("redis-server is not installed")
    return found


class RedisServer:
    """One process. Its data lie in `folder`.

    Args:
        folder: for data and the Unix socket.
        options: of redis-server's configuration, without the dashes.
        tcp: whether it listens on a port as well.
        tls: a certificate and its key; then the port speaks TLS.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tcp: bool = False,
        tls: tuple[Path, Path] | None = None,
        **options: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port() if tcp else 0
        self.path = folder / "s"
        self.options = {"save": "", "appendonly": "no", **options}
        if tls is not None:
            self.options |= {
                "tls-port": str(self.port),
                "tls-cert-file": str(tls[0]),
                "tls-key-file": str(tls[1]),
                "tls-auth-clients": "no",
            }
        self._plain_port = 0 if tls is not None else self.port
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{self.path}"

    def start(self) -> None:
        """Start it with the data in its folder."""
        arguments = [
            needs_redis(),
            "--port",
            str(self._plain_port),
            "--bind",
            "127.0.0.1",
            "--unixsocket",
            str(self.path),
        ]
        arguments += ["--dir", str(self.folder), "--daemonize", "no", "--loglevel", "warning"]
        for name, value in self.options.items():
            arguments += [f"--{name.replace('_', '-')}", value]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                if self.call("PING") == "PONG":
                    return
            except (OSError, RuntimeError):
                time.sleep(0.02)
        raise AssertionError("redis-server does not answer")

    def call(self, *command: str | int) -> Any:
        """Send one command over the Unix socket; errors are raised."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(self.path))
            with sock.makefile("rb") as reader:
                if password := self.options.get("requirepass"):
                    sock.sendall(_packed("AUTH", password))
                    _reply(reader)
                sock.sendall(_packed(*command))
                return _reply(reader)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Pause it: it answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it."""
        self.kill()


def _packed(*command: str | int) -> bytes:
    parts = [str(part).encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in parts)


def _reply(reader: Any) -> Any:
    line = reader.readline()
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b":":
        return int(rest)
    if kind == b"$":
        size = int(rest)
        return None if size < 0 else reader.read(size + 2)[:-2].decode("utf-8", "surrogateescape")
    if kind == b"*":
        return None if int(rest) < 0 else [_reply(reader) for _ in range(int(rest))]
    if not line:
        raise OSError("closed")
    raise RuntimeError(rest.decode())
