"""The nginx configuration of docs/guides/deployment.md, with a hub behind it."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.kit.hub import Hub
from tests.kit.process import ROOT, SECONDS, free_port
from tests.kit.sse import of_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = {
    "STREAM_PUBLISH_KEYS": "a-publish-key",
    "STREAM_SUBSCRIBE_KEYS": "a-subscribe-key",
    "STREAM_OPERATOR_KEYS": "an-operator-key",
    "STREAM_TRUSTED_PROXIES": "127.0.0.1",
}
MAIN = """
daemon off; master_process off; error_log stderr; pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {server}
}}
"""


def documented_server(port: int, hub_port: int) -> str:
    """The document's `server` block, on a port of ours and without TLS."""
    text = (ROOT / "docs" / "guides" / "deployment.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```nginx\n(.*?)```", text, flags=re.DOTALL)
    block = re.sub(r"listen 443[^;]*;", f"listen 127.0.0.1:{port};", block)
    block = re.sub(r"ssl_certificate\w*[^;]*;", "", block)
    assert "proxy_buffering off;" in block
    return block.replace("http://127.0.0.1:5000", f"http://127.0.0.1:{hub_port}")


@pytest.fixture
def keyed_hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path, STREAM_HISTORY="memory://", **KEYS) as running:
        yield running


@pytest.fixture
def proxy(keyed_hub: Hub, tmp_path: Path) -> Iterator[str]:
    """The address of nginx in front of the hub."""
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx)")
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(MAIN.format(folder=tmp_path, server=documented_server(port, keyed_hub.port)))
    log = tmp_path / "nginx.log"
    with log.open("wb") as out:
        process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(config)], stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(url, process, log)
        yield url
    finally:
        process.kill()
        process.wait(SECONDS)


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        try:
            if requests.get(f"{url}/api/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            assert time.monotonic() < deadline, log.read_text()


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name]}"}


def test_events_pass_one_by_one(proxy: str) -> None:
    with requests.get(
        f"{proxy}/api/stream", headers=bearer("STREAM_SUBSCRIBE_KEYS"), stream=True, timeout=SECONDS
    ) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        events = (event for event in of_lines(stream.iter_lines()) if event["type"] != "heartbeat")
        assert next(events)["type"] == "connected"
        for n in range(3):
            posted = requests.post(
                f"{proxy}/api/agent/data",
                json={"type": "test", "n": n},
                headers=bearer("STREAM_PUBLISH_KEYS"),
                timeout=SECONDS,
            )
            assert posted.json()["clients_notified"] == 1
            # The next one is posted only when this one has come through: nothing waits for a full buffer.
            assert next(events)["n"] == n


def test_without_a_key_every_request_is_refused(proxy: str) -> None:
    for ask, path in ((requests.get, "/api/events"), (requests.post, "/api/agent/start")):
        answer: Any = ask(proxy + path, timeout=SECONDS)
        assert answer.status_code == 401
        assert answer.headers["Content-Type"] == "application/problem+json"
