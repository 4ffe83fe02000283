"""Where the server listens: both loopback addresses on one port, and the message if one is in use."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from streaming_hub.errors import SettingsError
from streaming_hub.server import listening
from streaming_hub.server.listening import listen_at, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="needs ::1")


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port of 127.0.0.1 that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def places(listeners: list[socket.socket]) -> list[tuple[str, int]]:
    found = [listener.getsockname()[:2] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


@needs_ipv6
@pytest.mark.parametrize("host", [None, "localhost", "LOCALHOST"])
def test_both_addresses_share_a_port(host: str | None) -> None:
    (first, port), (second, same) = places(listen_at(host, 0))
    assert (first, second, same) == ("127.0.0.1", "::1", port)
    assert places(listen_at(host, port)) == [("127.0.0.1", port), ("::1", port)]


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_missing_ipv6_is_not_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    refuse_ipv6(monkeypatch, number)
    ((host, _),) = places(listen_at(None, 0))
    assert host == "127.0.0.1"
    assert caplog.text == ""


def refuse_ipv6(monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let ::1 fail with an error; return the ports that were tried there."""
    listen, tried = listening.listen, []

    def without(host: str, port: int) -> socket.socket:
        if host == "::1":
            tried.append(port)
            raise OSError(number, os.strerror(number))
        return listen(host, port)

    monkeypatch.setattr(listening, "listen", without)
    return tried


def test_a_free_port_is_sought_until_both_addresses_have_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = refuse_ipv6(monkeypatch, errno.EADDRINUSE)
    assert len(places(listen_at(None, 0))) == 1
    assert len(tried) == listening.TRIES
    assert len(caplog.records) == 1


def test_one_address_alone_where_it_is_named() -> None:
    ((host, _),) = places(listen_at("127.0.0.1", 0))
    assert host == "127.0.0.1"


def test_a_taken_port_names_its_holder_and_the_way_out(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    for host in (None, "127.0.0.1"):
        with pytest.raises(SettingsError) as refused:
            listen_at(host, port)
        said = str(refused.value)
        assert said.startswith(f"127.0.0.1:{port} is in use by ")
        assert f"(process {os.getpid()})" in said
        assert "--port" in said
    assert why_not(None, port) == said


@needs_ipv6
def test_where_only_ipv6_is_taken_it_serves_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        assert places(listen_at(None, port)) == [("127.0.0.1", port)]
    (record,) = caplog.records
    said = record.getMessage()
    assert f"[::1]:{port} is in use by " in said
    assert f"(process {os.getpid()})" in said
    assert f"http://127.0.0.1:{port}" in said
    assert "--port" in said


def test_nothing_is_kept_of_a_port_that_is_free() -> None:
    ((_, port), *_) = places(listen_at(None, 0))
    assert why_not(None, port) is None
    assert why_not(None, port) is None


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^192\.0\.2\.1:5000: .*--host\.$"):
        listen_at("192.0.2.1", 5000)
