"""The command as a user starts it: what it prints, refuses, and how it ends.

Covers streaming_hub.__main__ and streaming_hub.command.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from streaming_hub import __version__
from streaming_hub.settings import AGENT_TABLE, TABLE
from tests.kit.hub import Hub
from tests.kit.process import ROOT, SECONDS, environ, free_port
from tests.kit.wait import until
from tests.streaming_hub.server.test_listening import has_ipv6

if TYPE_CHECKING:
    from collections.abc import Callable


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "flask_server.py"), *arguments],
        cwd=folder,
        env=environ(**{"STREAM_HISTORY": f"sqlite:///{folder / 'events.db'}", **settings}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture
def start(tmp_path: Path, hubs: list[Hub]) -> Callable[..., Hub]:
    """Start the command on a free port; ends it."""

    def begin(*options: str, port: int | None = None, **settings: str) -> Hub:
        history = {"STREAM_HISTORY": f"sqlite:///{tmp_path / 'events.db'}"}
        hubs.append(Hub(tmp_path, port=port, options=options, **history | settings).start())
        # The last line of what it prints.
        hubs[-1].wait_for("  Keys  ")
        return hubs[-1]

    return begin


def test_version(tmp_path: Path) -> None:
    ran = run(tmp_path, "--version")
    assert (ran.returncode, ran.stdout.strip()) == (0, __version__)


def test_help_names_every_setting(tmp_path: Path) -> None:
    ran = run(tmp_path, "--help")
    assert ran.returncode == 0
    for name in (*(setting.name for setting in TABLE), *AGENT_TABLE, "--host", "--port"):
        assert name in ran.stdout


def test_it_prints_the_page_the_next_command_and_the_mode(start: Callable[..., Hub]) -> None:
    server = start()
    block = server.log
    assert f"curl -X POST {server.url}/api/agent/start" in block
    assert "rehearsal mode: LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET and OPENAI_API_KEY (or" in block
    assert requests.get(f"{server.url}/", timeout=SECONDS).headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("name", ["STREAM_OPERATOR_KEYS", "STREAM_JWT_SECRET"])
def test_with_keys_the_next_command_has_a_place_for_one(start: Callable[..., Hub], name: str) -> None:
    secret = "an-operators-secret-of-40-characters-000"
    server = start(**{name: secret})
    command = f'curl -X POST {server.url}/api/agent/start -H "X-API-Key: KEY"\n'
    assert command in server.log
    assert secret not in server.log


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "not required on this machine: none is set"),
        (
            {"STREAM_SUBSCRIBE_KEYS": "hunter2"},
            "not required for publishing and operating on this machine: STREAM_PUBLISH_KEYS and "
            "STREAM_OPERATOR_KEYS are not set",
        ),
        (
            {"STREAM_SUBSCRIBE_KEYS": "hunter2", "STREAM_OPERATOR_KEYS": "hunter3"},
            "not required for publishing on this machine: STREAM_PUBLISH_KEYS is not set",
        ),
        (
            {"STREAM_PUBLISH_KEYS": "hunter2", "STREAM_OPERATOR_KEYS": "hunter3", "STREAM_ALLOW_OPEN": "1"},
            "not required for reading from any machine: STREAM_SUBSCRIBE_KEYS is not set",
        ),
        ({"STREAM_JWT_SECRET": "hunter2" * 5}, "required for publishing, reading and operating"),
    ],
)
def test_it_says_what_needs_no_key(start: Callable[..., Hub], settings: dict[str, str], said: str) -> None:
    block = start(**settings).log
    assert f"\n  Keys        {said}\n" in block
    assert "hunter" not in block


def test_a_misspelt_setting_is_reported_before_the_server_listens(start: Callable[..., Hub]) -> None:
    before, _, _ = start(STREAM_SUBSCRIBE_KEY="hunter2").log.partition("Live page")
    assert "WARNING streaming_hub.command: STREAM_SUBSCRIBE_KEY is not a known setting" in before
    assert "Did you mean STREAM_SUBSCRIBE_KEYS?" in before
    assert "hunter2" not in before


def test_a_malformed_line_of_a_file_keeps_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / ".env.local").write_text("STREAM_PORT=0\nSTREAM_OPERATOR_KEYS: hunter2\n")
    ran = run(tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == "flask_server.py: .env.local, line 2: expected NAME=value, or a comment.\n"


def test_with_livekit_and_a_model_it_says_livekit(start: Callable[..., Hub]) -> None:
    given = {"LIVEKIT_URL": "ws://localhost:7880", "OPENAI_BASE_URL": "http://localhost:1/v1"}
    server = start(**given, LIVEKIT_API_KEY="devkey", LIVEKIT_API_SECRET="secret")
    assert "livekit mode: LIVEKIT_URL is ws://localhost:7880.\n" in server.log
    server = start(**given, LIVEKIT_API_KEY="devkey", STREAM_HISTORY="memory://")
    assert (
        "livekit mode: LIVEKIT_URL is ws://localhost:7880, but the agent cannot start: LIVEKIT_API_SECRET is not set"
        in server.log
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_it_serves_on_when_nothing_takes_its_output(tmp_path: Path) -> None:
    port = free_port()
    reader, writer = os.pipe()
    os.close(reader)
    log = tmp_path / "log"
    with Path("/dev/full").open("wb") as full, os.fdopen(writer, "wb") as broken, log.open("wb") as errors:
        for out in (full, broken):
            process = subprocess.Popen(
                [sys.executable, str(ROOT / "flask_server.py"), "--port", str(port)],
                cwd=tmp_path,
                env=environ(STREAM_HISTORY=f"sqlite:///{tmp_path / 'events.db'}", PYTHONUNBUFFERED="1"),
                stdout=out,
                stderr=errors,
            )
            try:
                until(lambda: "standard output cannot be written" in log.read_text(), SECONDS)
                assert requests.get(f"http://127.0.0.1:{port}/api/health", timeout=SECONDS).ok
                process.terminate()
                assert process.wait(SECONDS) == 0
            finally:
                process.kill()
                process.wait(SECONDS)
            assert "Traceback" not in log.read_text()
            log.write_bytes(b"")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"STREAM_HISTORY": "sqlite:///data/x.db", "STREAM_ARCHIVE": "sqlite:///data/x.db"},
            "STREAM_ARCHIVE",
        ),
        ({"STREAM_PUBLISH_KEYS": ","}, "STREAM_PUBLISH_KEYS"),
        ({"STREAM_HEARTBEAT": "soon"}, "STREAM_HEARTBEAT='soon': expected seconds"),
        ({"STREAM_HISTORY": "sqlite:////proc/nowhere/x.db"}, "STREAM_HISTORY"),
        ({"STREAM_REDACT": "nowhere:clean"}, "STREAM_REDACT='nowhere:clean'"),
        ({"STREAM_HOST": "0.0.0.0"}, "STREAM_PUBLISH_KEYS, STREAM_SUBSCRIBE_KEYS, STREAM_OPERATOR_KEYS"),
        ({"STREAM_JWT_SECRET": "short-but-secret"}, "STREAM_JWT_SECRET=(not shown)"),
    ],
)
def test_what_keeps_it_from_starting_is_named(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    ran = run(tmp_path, "--port", "0", **settings)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "short-but-secret" not in ran.stderr


def test_open_to_others_only_on_request(start: Callable[..., Hub]) -> None:
    server = start("--host", "0.0.0.0", STREAM_ALLOW_OPEN="1")
    assert requests.get(f"{server.url}/api/health", timeout=SECONDS).ok


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = run(tmp_path, "--port", port)
    assert ran.returncode == 2
    assert f"127.0.0.1:{port} is in use by " in ran.stderr
    assert "--port" in ran.stderr


def test_a_second_server_in_one_folder_names_file_and_port(tmp_path: Path, start: Callable[..., Hub]) -> None:
    server = start()
    port = server.url.rpartition(":")[2]
    ran = run(tmp_path, "--port", port)
    assert ran.returncode == 2
    assert "another server has this history open" in ran.stderr
    assert f"127.0.0.1:{port} is in use by " in ran.stderr
    assert "--port" in ran.stderr
    with_another_port = run(tmp_path, "--port", "0")
    assert "another server has this history open" in with_another_port.stderr
    assert "in use by" not in with_another_port.stderr


@pytest.mark.skipif(not has_ipv6(), reason="needs ::1")
def test_both_loopback_addresses_are_served(start: Callable[..., Hub]) -> None:
    server = start()
    other = server.url.replace("127.0.0.1", "[::1]")
    for url in (server.url, other, server.url.replace("127.0.0.1", "localhost")):
        assert requests.get(f"{url}/api/health", timeout=SECONDS).ok
    # Open to this machine, whichever of its addresses is used; and one hub behind both.
    posted = requests.post(f"{other}/api/agent/data", json={"type": "note"}, timeout=SECONDS)
    assert posted.ok
    with requests.get(f"{other}/api/stream?replay=1", stream=True, timeout=SECONDS) as stream:
        assert b'"note"' in next(line for line in stream.iter_lines() if b'"note"' in line)
    assert requests.get(f"{server.url}/api/events", timeout=SECONDS).json()["events"][0]["type"] == "note"


@pytest.mark.skipif(not has_ipv6(), reason="needs ::1")
def test_a_taken_ipv6_address_is_a_warning(start: Callable[..., Hub]) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        server = start(port=port)
        assert server.url == f"http://127.0.0.1:{port}"
        assert f"[::1]:{port} is in use by " in server.log
        assert requests.get(f"{server.url}/api/health", timeout=SECONDS).ok


def test_settings_come_from_files_and_the_environment_wins(tmp_path: Path, start: Callable[..., Hub]) -> None:
    (tmp_path / ".env").write_text("STREAM_HEARTBEAT=1\nSTREAM_QUEUE_SIZE=nonsense\n")
    (tmp_path / ".env.local").write_text("STREAM_HEARTBEAT=2\nSTREAM_QUEUE_SIZE=16\n")
    server = start(STREAM_QUEUE_SIZE="32")
    assert heartbeat_of(server) == 2.0


def heartbeat_of(server: Hub) -> Any:
    with requests.get(f"{server.url}/api/stream", stream=True, timeout=SECONDS) as stream:
        line = next(line for line in stream.iter_lines() if line.startswith(b"data: "))
    found = re.search(rb'"heartbeat":([\d.]+)', line)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_says_goodbye(start: Callable[..., Hub], number: signal.Signals) -> None:
    server = start(STREAM_DRAIN="0.2")
    with requests.get(f"{server.url}/api/stream", stream=True, timeout=SECONDS) as stream:
        lines = stream.iter_lines()
        assert b"connected" in next(lines)
        server.process.send_signal(number)
        server.process.send_signal(number)  # the terminal and `uv run` both send it
        assert any(b'"goodbye"' in line for line in lines)
    assert server.process.wait(10) == 0
    server.wait_for("shutting down: closing 1 open stream. Signal again to exit at once")


def test_importing_it_patches_nothing() -> None:
    program = "import flask_server; from gevent import monkey; print(monkey.is_module_patched('socket'))"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.stdout.strip() == "False", ran.stderr
