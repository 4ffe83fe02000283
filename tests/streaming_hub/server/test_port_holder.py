"""Finding the program on a port, in both ways."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from streaming_hub import portability
from streaming_hub.server import port_holder as module
from streaming_hub.server.port_holder import UNKNOWN, port_holder

WAYS = [
    pytest.param(
        Path("/proc"),
        id="proc",
        marks=pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc"),
    ),
    pytest.param(None, id="lsof", marks=pytest.mark.skipif(not shutil.which("lsof"), reason="needs lsof")),
]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path | None:
    """The way that is taken."""
    folder: Path | None = request.param
    monkeypatch.setattr(portability, "proc", lambda: folder)
    return folder


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_this_process_is_found(way: Path | None, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"needs {address}")
    with server:
        asked = "::1" if ":" in address else "127.0.0.1"
        assert port_holder(asked, server.getsockname()[1]).endswith(f" (process {os.getpid()})")


def test_another_address_is_another_matter(way: Path | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port_holder("127.0.0.2", port) == UNKNOWN
        assert port_holder("::1", port) == UNKNOWN


def test_a_free_port_has_no_holder(way: Path | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert port_holder("127.0.0.1", port) == UNKNOWN


def test_airplay_is_called_what_settings_call_it(monkeypatch: pytest.MonkeyPatch) -> None:
    output = "p612\ncControlCenter\nf9\nn*:5000\nf10\nn*:5000\n"
    monkeypatch.setattr(portability, "proc", lambda: None)
    monkeypatch.setattr(module, "_from_lsof", lambda *where: module._parse_lsof(output, *where))
    assert "AirPlay Receiver" in port_holder("127.0.0.1", 5000)
    assert "AirPlay Receiver" in port_holder("::1", 5000)
    assert port_holder("127.0.0.1", 500) == UNKNOWN


def test_lsof_writes_odd_characters_as_numbers() -> None:
    output = "p7\ncMy\\x20App\nn[::1]:80\n"
    assert module._parse_lsof(output, "::1", 80) == ("My App", 7)


def test_without_proc_and_lsof_it_stays_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portability, "proc", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert port_holder("127.0.0.1", server.getsockname()[1]) == UNKNOWN


def test_a_name_of_several_lines_stays_in_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portability, "proc", lambda: None)
    monkeypatch.setattr(module, "_from_lsof", lambda _host, _port: ("my\nname", 4711))
    assert port_holder("127.0.0.1", 5000) == "my?name (process 4711)"
