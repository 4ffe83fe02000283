"""Proxies and certificate authorities from the environment, as users of requests expect them."""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from streaming_hub_client.poster import Poster
from streaming_hub_client.route import is_loopback, route_to

from tests.kit.fake_hub import DEADLINE, FakeHub
from tests.kit.wait import until
from tests.packages.python.test_poster import QUICK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ELSEWHERE = "http://hub.example:5000/api/agent/data"
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.endswith(("_CA_BUNDLE", "SSL_CERT_FILE")):
            monkeypatch.delenv(name)


def test_without_variables_the_way_is_direct() -> None:
    assert route_to(ELSEWHERE) == ({}, True)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_taken_but_for_hosts_that_are_left_out(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, PROXY)
    assert PROXY in route_to(ELSEWHERE).proxies.values()
    monkeypatch.setenv("NO_PROXY", "other.example,hub.example")
    assert PROXY not in route_to(ELSEWHERE).proxies.values()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "api.localhost", "127.0.0.1", "127.8.8.8", "[::1]"]
)
def test_loopback_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    assert route_to(f"http://{host}:5000/api/agent/data").proxies == {}


@pytest.mark.parametrize("host", ["localhost.example", "notlocalhost", "128.0.0.1", "[::2]", "10.0.0.1"])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(f"http://{host}:5000/")


def test_each_bundle_is_taken_those_of_requests_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, f"/{name}.pem")
        assert route_to("https://hub.example").verify == f"/{name}.pem"


def test_events_go_through_the_proxy_and_give_it_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub() as proxy:  # it takes a request for another host as a proxy does
        monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        poster = Poster("http://hub.example:5000", "our-key", pace=QUICK)
        poster.post({"type": "test", "n": 0})

        assert poster.close(DEADLINE)
        assert proxy.numbers() == [0]
        headers = proxy.requests[0].headers
        assert headers["Host"] == "hub.example:5000"
        assert headers["Proxy-Authorization"] == "Basic " + base64.b64encode(b"user:p@ss").decode()
        assert headers["Authorization"] == "Bearer our-key"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH")
    path = tmp_path / "hub.pem"
    names = ["-subj", "/CN=hub", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", str(path), "-out", f"{path}.crt"], check=True, capture_output=True)
    with path.open("ab") as file:
        file.write(path.with_name("hub.pem.crt").read_bytes())
    return path


@pytest.fixture
def tls_hub(certificate: Path) -> Iterator[FakeHub]:
    hub = FakeHub()
    hub.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    hub.tls.load_cert_chain(certificate)
    with hub:
        yield hub


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_hub_with_a_certificate_of_ones_own_is_reached(
    tls_hub: FakeHub, certificate: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(certificate))
    poster = Poster(f"https://127.0.0.1:{tls_hub.port}", pace=QUICK)
    poster.post({"type": "test", "n": 0})

    assert poster.close(DEADLINE)
    assert tls_hub.numbers() == [0]


def test_a_bundle_that_is_not_there_is_reported_and_loses_nothing(
    tls_hub: FakeHub, certificate: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = certificate.with_name("later.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    poster = Poster(f"https://127.0.0.1:{tls_hub.port}", pace=QUICK)
    poster.post({"type": "test", "n": 0})
    until(lambda: str(bundle) in caplog.text, what="the missing file in the log")
    assert "unexpected error" not in caplog.text
    shutil.copy(certificate, bundle)

    assert poster.close(DEADLINE)
    assert tls_hub.numbers() == [0]
