"""The servers that are measured: how each is started, and what the load generator has to say to it.

Every server listens on 127.0.0.1 only, gets a temporary folder of its own, and is ended by the process group
that was made for it here; nothing else is ever signalled.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import toolchain

from tests.kit.process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = toolchain.BENCH.parent
SERVER_CORE = 0
START_SECONDS = 120.0  # the first start of a peer may install it
STOP_SECONDS = 10.0
NCHAN_MODULES = ("/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/lib64/nginx/modules/ngx_nchan_module.so")
MERCURE_KEY = "a key for the benchmark on loopback only"
CENTRIFUGO_KEY = "benchmark"


@dataclass(frozen=True)
class Command:
    """What to run: arguments, and the environment's additions."""

    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """One kind of server.

    Attributes:
        key: Short name in the JSON.
        title: Name in tables and plots.
        absent: Returns why the server cannot run here, or None.
        command: Takes a temporary folder and a port.
        options: What the load generator needs to talk to it (see `load --help`).
        slow: It gets fewer events, so that a run ends in a time like the others'.
        asks_version: A command that prints the version.
    """

    key: str
    title: str
    absent: Callable[[], str | None]
    command: Callable[[Path, int], Command]
    options: tuple[str, ...] = ()
    slow: bool = False
    asks_version: tuple[str, ...] = ()

    def version(self) -> str:
        """Return what the server says of its version; empty if it is the project's own."""
        if not self.asks_version:
            return ""
        done = subprocess.run(
            self.asks_version, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir()
        )
        return (done.stdout or done.stderr).strip()


class StartError(RuntimeError):
    """A server did not come up."""


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Start processes on one core: they inherit it, and this process is set free again."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))


class Server:
    """A started peer; a context manager that ends it and removes its folder."""

    def __init__(self, peer: Peer, *, core: int | None = SERVER_CORE) -> None:
        self.peer = peer
        self.port = free_port()
        self._core = core
        self._folder = Path(tempfile.mkdtemp(prefix=f"bench-{peer.key}-"))
        self._log = self._folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        """Start the server and wait until it listens.

        Raises:
            StartError: If it ends early or does not listen in time; with the end of its log.
        """
        try:
            self._start()
            self._await_port()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the server's own process group and remove its folder."""
        if self._process is not None:
            self._end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)

    def pids(self) -> list[int]:
        """Return the server's processes."""
        return [] if self._process is None else list(family(self._process.pid))

    def _start(self) -> None:
        command = self.peer.command(self._folder, self.port)
        with self._log.open("wb") as log, pinned(self._core):
            self._process = subprocess.Popen(
                command.arguments,
                cwd=ROOT,
                env=clean_environment() | command.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _await_port(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        tail = self._log.read_text(errors="replace")[-2000:]
        raise StartError(f"{self.peer.title} does not listen on port {self.port}; its log ends with:\n{tail}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break  # the whole group has ended
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue  # it ignores the signal: the next one kills it
        process.wait()


def clean_environment() -> dict[str, str]:
    """Return the environment without settings that would change what is measured."""
    ours = ("STREAM_", "LIVEKIT_", "OPENAI_", "AGENT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _always() -> str | None:
    return None


def _on_path(program: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(program) else f"no {program} on PATH"


def _project_absent() -> str | None:
    return None if (ROOT / "flask_server.py").exists() else "flask_server.py does not exist"


def _project(folder: Path, port: int) -> Command:
    # A file-backed history, as in use; limits off, for a benchmark is one publisher with one address. No peer has an
    # archive; what that costs is measured by archive_figures.
    settings = {
        "STREAM_HISTORY": f"sqlite:///{folder / 'events.db'}",
        "STREAM_ARCHIVE": "off",
        "STREAM_MAX_CLIENTS": "12000",
        "STREAM_RATE_LIMIT": "",
        "STREAM_HOST": "127.0.0.1",
    }
    return Command([sys.executable, str(ROOT / "flask_server.py"), "--port", str(port)], settings)


def _floor(_folder: Path, port: int) -> Command:
    return Command([str(toolchain.build("floor")), str(port)])


def _empty_view(_folder: Path, port: int) -> Command:
    program = [sys.executable, str(toolchain.BENCH / "empty_view.py"), str(port)]
    return Command(program, {"PYTHONPATH": str(ROOT)})


def _nchan_module() -> str | None:
    return next((path for path in NCHAN_MODULES if Path(path).exists()), None)


def _nchan_absent() -> str | None:
    if shutil.which("nginx") is None:
        return "no nginx on PATH"
    return None if _nchan_module() else "nginx has no nchan module (Debian: libnginx-mod-nchan)"


def _nginx_user() -> str:
    """Return the directive that lets root's workers write into a folder that root made."""
    return "user root;" if os.geteuid() == 0 else ""


def _nchan(folder: Path, port: int) -> Command:
    config = folder / "nginx.conf"
    config.write_text(f"""
load_module {_nchan_module()};
{_nginx_user()}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 10000000;
    keepalive_timeout 300s;
    nchan_shared_memory_size 512M;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /subscribe {{
            nchan_subscriber eventsource;
            nchan_subscriber_first_message newest;
            nchan_channel_id bench;
        }}
        location = /publish {{
            nchan_publisher;
            nchan_channel_id bench;
            nchan_message_buffer_length 100;
            nchan_message_timeout 1m;
        }}
    }}
}}
""")
    return Command(["nginx", "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")])


def _sse_starlette(_folder: Path, port: int) -> Command:
    server = ["-m", "uvicorn", "--app-dir", str(toolchain.BENCH), "sse_starlette_app:app"]
    quiet = ["--host", "127.0.0.1", "--port", str(port), "--backlog", "4096", "--no-access-log"]
    return Command([*_UVICORN_PYTHON, *server, *quiet])


def _jwt(claims: dict[str, object], key: str) -> str:
    def encode(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    head = encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = encode(json.dumps(claims).encode())
    signature = hmac.new(key.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{encode(signature)}"


def _mercure(folder: Path, port: int) -> Command:
    config = folder / "Caddyfile"
    config.write_text(f"""
{{
    admin off
    auto_https off
    persist_config off
}}
http://127.0.0.1:{port} {{
    bind 127.0.0.1
    route {{
        mercure {{
            publisher_jwt "{MERCURE_KEY}"
            subscriber_jwt "{MERCURE_KEY}"
            anonymous
        }}
    }}
}}
""")
    return Command(["mercure", "run", "--config", str(config), "--adapter", "caddyfile"], {"GOMAXPROCS": "1"})


def _centrifugo(folder: Path, port: int) -> Command:
    config = folder / "config.json"
    settings = {
        "http_server": {"address": "127.0.0.1", "port": port},
        "client": {"insecure": True},
        "http_api": {"key": CENTRIFUGO_KEY},
        "uni_sse": {"enabled": True},
        "channel": {
            "without_namespace": {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}
        },
    }
    config.write_text(json.dumps(settings))
    return Command(["centrifugo", "--config", str(config)], {"GOMAXPROCS": "1"})


def _mercure_options() -> tuple[str, ...]:
    token = _jwt({"mercure": {"publish": ["*"]}}, MERCURE_KEY)
    paths = ["--subscribe", "/.well-known/mercure?topic=bench", "--publish", "/.well-known/mercure"]
    form = ["--content-type", "application/x-www-form-urlencoded", "--before", "topic=bench&data="]
    return (*paths, *form, "--publish-header", f"Authorization: Bearer {token}")


def _centrifugo_options() -> tuple[str, ...]:
    connect = urllib.parse.quote(json.dumps({"subs": {"bench": {}}}))
    paths = ["--subscribe", f"/connection/uni_sse?cf_connect={connect}", "--publish", "/api/publish"]
    around = ["--before", '{"channel":"bench","data":', "--after", "}"]
    return (*paths, *around, "--publish-header", f"X-API-Key: {CENTRIFUGO_KEY}")


_UVICORN_PYTHON = (
    *("uv", "run", "--quiet", "--no-project", "--with", "sse-starlette", "--with", "uvicorn"),
    "python",
)
_UVICORN_VERSIONS = "from importlib.metadata import version as v; print(v('sse-starlette'), v('uvicorn'))"
_PLAIN_PATHS = ("--subscribe", "/subscribe", "--publish", "/publish")

PROJECT = Peer("project", "this project", _project_absent, _project)
FLOOR = Peer("floor", "floor (C, one send each)", _always, _floor, _PLAIN_PATHS)
NCHAN = Peer("nchan", "nchan (nginx)", _nchan_absent, _nchan, _PLAIN_PATHS, asks_version=("nginx", "-v"))
STARLETTE = Peer(
    "starlette",
    "sse-starlette + uvicorn",
    _on_path("uv"),
    _sse_starlette,
    _PLAIN_PATHS,
    slow=True,
    asks_version=(*_UVICORN_PYTHON, "-c", _UVICORN_VERSIONS),
)
MERCURE = Peer(
    "mercure",
    "Mercure",
    _on_path("mercure"),
    _mercure,
    _mercure_options(),
    asks_version=("mercure", "version"),
)
CENTRIFUGO = Peer(
    "centrifugo",
    "Centrifugo",
    _on_path("centrifugo"),
    _centrifugo,
    _centrifugo_options(),
    asks_version=("centrifugo", "version"),
)
EMPTY_VIEW = Peer("empty", "empty Flask view", _project_absent, _empty_view)
PEERS = (PROJECT, FLOOR, NCHAN, STARLETTE, MERCURE, CENTRIFUGO)
