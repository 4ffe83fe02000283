"""A real nginx in front, on the same machine: remote clients must not count as local."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import requests

from tests.kit.process import free_port
from tests.streaming_hub.server.wire import PATIENCE, open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kit.hub import Hub

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

FAR = "203.0.113.9"
CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    # The client's address as nginx sees it: in this test, as a header says.
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Test-Client;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{hub};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {headers}
        }}
    }}
}}
"""
APPENDING = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
ONLY_REAL_IP = "proxy_set_header X-Real-IP $remote_addr;"


@contextlib.contextmanager
def nginx(folder: Path, hub: int, headers: str) -> Iterator[int]:
    """Run nginx in front of a hub; yields its port."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, hub=hub, headers=headers))
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < deadline, "nginx does not listen"
        yield port
    finally:
        process.kill()
        process.wait()


def status(port: int, client: str | None = None, **headers: str) -> int:
    """What a client that reads events through nginx gets."""
    who = {"X-Test-Client": client} if client else {}
    return requests.get(
        f"http://127.0.0.1:{port}/api/events", headers={**who, **headers}, timeout=PATIENCE
    ).status_code


@pytest.mark.parametrize("headers", [APPENDING, ONLY_REAL_IP])
def test_a_proxy_that_is_not_named_opens_nothing(
    start_server: Callable[..., Hub], tmp_path: Path, headers: str
) -> None:
    hub = start_server().wait_until_up()
    with nginx(tmp_path, hub.port, headers) as port:
        assert status(port, FAR) == 401
        assert status(port) == 401
        assert status(port, FAR, **{"X-Forwarded-For": "127.0.0.1"}) == 401
    assert hub.get("/api/events").status_code == 200


def test_only_a_named_proxy_is_trusted(start_server: Callable[..., Hub], tmp_path: Path) -> None:
    hub = start_server(STREAM_TRUSTED_PROXIES="127.0.0.1").wait_until_up()
    with nginx(tmp_path, hub.port, APPENDING) as port:
        assert status(port) == 200
        assert status(port, FAR) == 401
        assert status(port, FAR, **{"X-Forwarded-For": "127.0.0.1"}) == 401
        assert status(port, FAR, Forwarded="for=127.0.0.1") == 401


def test_limits_count_the_clients_behind_it_one_by_one(
    start_server: Callable[..., Hub], tmp_path: Path
) -> None:
    hub = start_server(
        STREAM_TRUSTED_PROXIES="127.0.0.1", STREAM_SUBSCRIBE_KEYS="key", STREAM_MAX_CLIENTS_PER_ADDRESS="1"
    ).wait_until_up()
    with nginx(tmp_path, hub.port, APPENDING) as port:
        key = {"Authorization": "Bearer key"}
        # Bytes come through at once, though nginx buffers by default.
        first = open_stream(port, X_Test_Client=FAR, **key)
        other = open_stream(port, X_Test_Client="198.51.100.1", **key)
        refused = requests.get(
            f"http://127.0.0.1:{port}/api/stream", headers={"X-Test-Client": FAR, **key}, timeout=PATIENCE
        )
        assert refused.status_code == 429
        assert hub.post({"type": "note"}).status_code == 200
        for stream in (first, other):
            stream.until_type("note")
