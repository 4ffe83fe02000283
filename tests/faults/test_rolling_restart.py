"""Two nodes behind a load balancer, restarted one after the other under load.

nginx is configured as in compose.nodes.yaml, Caddy as in docs/guides/scaling.md.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.faults.crowd import Crowd
from tests.faults.nodes import published
from tests.faults.publishers import Publisher, assert_all_right, assert_all_stored
from tests.kit.hub import Hub
from tests.kit.process import ROOT, free_port
from tests.kit.redis_server import RedisServer
from tests.kit.wait import let_pass, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GUIDE = ROOT / "docs" / "guides" / "scaling.md"
pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def settings() -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((ROOT / "compose.nodes.yaml").read_text())
    return found


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis", tcp=True)
    yield server
    server.stop()


class Behind(Hub):
    """A node as clients see it: through the load balancer."""

    def __init__(self, port: int) -> None:
        self.host, self.port, self.url = "127.0.0.1", port, f"http://127.0.0.1:{port}"


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def nginx(folder: Path, port: int, nodes: dict[str, int]) -> list[str]:
    """Return the command of nginx with the configuration that compose.nodes.yaml has, on ports of this machine."""
    configs: dict[str, dict[str, str]] = settings()["configs"]  # type: ignore[assignment]
    text = configs["nginx"]["content"].replace("$$", "$").replace("listen 8080", f"listen 127.0.0.1:{port}")
    for name, node_port in nodes.items():
        assert f"server {name}:5000" in text
        text = text.replace(f"server {name}:5000", f"server 127.0.0.1:{node_port}")
    temporary = " ".join(
        f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = text.replace("http {", f"http {{ access_log off; keepalive_timeout 0; {temporary}", 1).replace(
        "worker_rlimit_nofile 65536;", ""
    )
    text = text.replace("worker_connections 32768", "worker_connections 2000")
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n{text}"
    )
    return [program("nginx"), "-p", str(folder), "-c", str(config)]


def caddy(folder: Path, port: int, nodes: dict[str, int]) -> list[str]:
    """Return the command of Caddy with the configuration that the guide has, on ports of this machine."""
    (text,) = re.findall(r"```caddyfile\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert "hub.example.com {" in text
    text = text.replace("hub.example.com {", f"http://localhost:{port} {{\n  bind 127.0.0.1")
    for given, node_port in zip(("127.0.0.1:5000", "127.0.0.1:5001"), nodes.values(), strict=True):
        assert given in text
        text = text.replace(given, f"127.0.0.1:{node_port}")
    config = folder / "Caddyfile"
    config.write_text(f"{{\n  admin off\n  auto_https off\n}}\n{text}")
    return [program("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("balancer", [nginx, caddy])
def test_no_client_loses_an_event_and_none_reconnects_more_than_twice(
    tmp_path: Path, redis: RedisServer, balancer: Callable[[Path, int, dict[str, int]], list[str]]
) -> None:
    environment = {
        "STREAM_HISTORY": redis.url,
        "STREAM_DRAIN": "2",
        "STREAM_TRUSTED_PROXIES": "127.0.0.1",
        "STREAM_ARCHIVE": "off",
    }
    with Hub(tmp_path / "1", **environment) as one, Hub(tmp_path / "2", **environment) as other:
        port = free_port()
        command = balancer(tmp_path, port, {"hub-1": one.port, "hub-2": other.port})
        log = (tmp_path / "balancer.log").open("wb")
        home = {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        process = subprocess.Popen(command, env={**os.environ, **home}, stdout=log, stderr=log)
        log.close()
        try:
            until(
                lambda: answers(port) or process.poll() is not None, 20, what="the balancer does not listen"
            )
            assert process.poll() is None, (tmp_path / "balancer.log").read_text()
            with Crowd("127.0.0.1", port) as crowd, contextlib.ExitStack() as stack:
                crowd.add(30, name="whole")
                crowd.until_open()
                # A balancer that buffers keeps it: nothing follows that would fill its buffer.
                alone = published(Behind(port), {"type": "note", "text": "alone"})
                crowd.until_at(int(alone["id"].rpartition("-")[2]))
                first = stack.enter_context(Publisher(Behind(port), "a", pause=0.01))
                second = stack.enter_context(Publisher(Behind(port), "b", batch=5, pause=0.01))
                for node in (one, other):
                    # Longer than fail_timeout and fail_duration: the restarted node is tried again.
                    let_pass(3)
                    code, seconds = node.stop()
                    assert (code, seconds < 12) == (0, True)
                    node.start()
                    crowd.until_open()
                let_pass(1)
                for publisher in (first, second):
                    publisher.stop()
                crowd.until_at(max(first.head, second.head))
                assert_all_right([first, second], crowd.errors())
                assert not [client.checker.resets for client in crowd.clients if client.checker.resets]
                assert max(client.connections for client in crowd.clients) <= 1 + 2
                assert_all_stored(one, [first, second])
                assert_all_stored(other, [first, second])
        finally:
            process.terminate()
            process.wait()


def test_the_composition_is_whole() -> None:
    found = settings()
    services: dict[str, dict[str, object]] = found["services"]  # type: ignore[assignment]
    assert set(services) == {"hub-1", "hub-2", "redis", "postgres", "proxy"}
    names = set()
    for name in ("hub-1", "hub-2"):
        environment: dict[str, str] = services[name]["environment"]  # type: ignore[assignment]
        assert environment["STREAM_HISTORY"].startswith("redis://")
        assert environment["STREAM_ARCHIVE"].startswith("postgresql+psycopg://")
        names.add(environment["STREAM_NODE"])
    assert len(names) == 2
    assert "noeviction" in services["redis"]["command"]  # type: ignore[operator]
