"""Sending webhooks: addresses, signatures, retries, and real receivers on loopback.

Covers

    streaming_hub.outlets.webhooks.addresses
    streaming_hub.outlets.webhooks.retries
    streaming_hub.outlets.webhooks.sender
    streaming_hub.outlets.webhooks.signing
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.abc import AbstractResolver
from standardwebhooks import Webhook, WebhookVerificationError

from streaming_hub.outlets.webhooks import addresses, retries, signing
from streaming_hub.outlets.webhooks.sender import ANSWER_BYTES, Outcome
from streaming_hub.outlets.webhooks.sender import Sender as Sending
from streaming_hub.settings.values import webhook_secret
from tests.streaming_hub.outlets.webhooks.receiving import Got, receiver

if TYPE_CHECKING:
    from pathlib import Path

NOT_PUBLIC = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),
    *("224.0.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::a00:1"),
    *("64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b:1::808:808", "fec0::1", "::7f00:1", "240.0.0.1"),
    *("192.0.0.192", "192.88.99.1", "168.63.129.16", "3fff::1", "2001::7f00:1", "::ffff:0:7f00:1"),
]


class Resolver(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in self.addresses
        ]

    async def close(self) -> None:
        return


class Sender:
    """A sender in a loop of its own."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.sender = Sending(**options)

    def send(self, url: str, body: bytes, headers: dict[str, str]) -> Outcome:
        return self.loop.run_until_complete(self.sender.send(url, body, headers))

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_error: object) -> None:
        self.loop.run_until_complete(self.sender.close())
        self.loop.close()


def send(url: str, body: bytes, headers: dict[str, str], **options: Any) -> Outcome:
    with Sender(**options) as sender:
        return sender.send(url, body, headers)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_way_into_networks_that_are_not_public(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(addresses.Forbidden):
        addresses.check_url(f"https://{host}/", allow_private=False)
    outcome = send("https://hook.example/", b"{}", {}, allow_private=False, resolver=Resolver(address))
    assert outcome.status is None
    assert "STREAM_WEBHOOK_ALLOW_PRIVATE" in (outcome.error or "")


@pytest.mark.parametrize(
    "url",
    [
        *("https://localhost./", "https://a.LocalHost/"),
        *("https://2130706433/", "https://0177.0.0.1/", "https://0x7f.1/", "https://127.1/"),
        *("https://u:p@hook.example/", "http://hook.example/", "ftp://hook.example/", "https:///x"),
        *("https://hook.example:99999/", "https://hook.example:0/", "https://hook.example/a b"),
        *("https://.hook.example/", "https://hook..example/", "https://-hook.example/", "https://[v1.x]/"),
        *("https://loc%61lhost/", f"https://{'a' * 64}.example/", f"https://{'a' * 60}{'.a' * 100}.example/"),
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(addresses.Forbidden):
        addresses.check_url(url, allow_private=False)


def test_a_refused_http_url_names_the_setting_that_allows_it() -> None:
    with pytest.raises(addresses.Forbidden, match="STREAM_WEBHOOK_ALLOW_PRIVATE=1"):
        addresses.check_url("http://localhost:9000/hook", allow_private=False)
    with pytest.raises(addresses.Forbidden, match=r"https:// or http://$"):
        addresses.check_url("ftp://localhost/hook", allow_private=True)


def test_public_addresses_and_names_are_allowed_and_http_only_in_private() -> None:
    names = ("hook.example", "a_b.hook.example.", "b\u00fccher.example", "xn--bcher-kva.example", "x")
    for url in (*(f"https://{name}/x" for name in names), "https://8.8.8.8/", "https://[2606:4700::1111]/"):
        addresses.check_url(url, allow_private=False)
    addresses.check_url("http://10.0.0.1/", allow_private=True)
    with pytest.raises(addresses.Forbidden, match="use https"):
        addresses.check_url("http://8.8.8.8/", allow_private=True)


def test_the_library_accepts_what_is_signed_with_either_secret() -> None:
    new, old, other = (signing.make_secret() for _ in range(3))
    body = '{"text":"ü"}'.encode()
    headers = signing.headers("1-2", body, [new, old], time.time())
    for key in (new, old):
        assert Webhook(key).verify(body, headers) == {"text": "ü"}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, headers)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "whsec_" + "A" * 88, "A" * 32, "whsec_" + "*" * 32]
)
def test_bad_secrets_are_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="not a secret"):
        webhook_secret(secret)
    webhook_secret(signing.make_secret())


def test_waits() -> None:
    def wait(
        attempts: int, status: int | None, after: str | None = None, chance: float = 0.5
    ) -> float | None:
        return retries.wait(attempts, status, after, waits=[10, 20, 30, 40], now=1000.0, chance=chance)

    assert [wait(count, 500) for count in (1, 4, 5)] == [10, 40, None]
    assert [wait(1, None, chance=chance) for chance in (0, 1)] == [8, 12]
    assert [wait(count, 404) for count in (2, 3)] == [20, None]
    assert [wait(4, status) for status in (408, 410, 425, 429, 302)] == [40] * 5
    assert [wait(1, 503, after) for after in ("5", "60", "9999999", formatdate(1090), "soon")] == [
        *(10, 60, 86_400, 90, 10)
    ]
    assert [retries.delivered(status) for status in (None, 199, 200, 299, 301)] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_a_connection_is_used_again() -> None:
    with receiver() as hook, Sender(allow_private=True) as sender:
        outcomes = [sender.send(f"{hook.url}/a", b'{"n":1}', {"webhook-id": "1-1"}) for _ in range(2)]
    assert [(one.status, one.answer, one.error) for one in outcomes] == [(200, "ok", None)] * 2
    first, second = hook.got
    assert (first.path, first.body, first.port) == ("/a", b'{"n":1}', second.port)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_and_proxies_not_used(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with receiver() as hook:
        hook.status, hook.headers = status, {"location": "/b", "retry-after": "7"}
        outcome = send(f"{hook.url}/a", b"{}", {}, allow_private=True)
    assert (outcome.status, outcome.retry_after, len(hook.got)) == (status, "7", 1)


def test_a_huge_answer_is_cut() -> None:
    def answer(handler: Any, _got: Got) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "5000000")
        handler.end_headers()
        handler.wfile.write(b"x" * 5_000_000)

    with receiver() as hook:
        hook.act = answer
        outcome = send(hook.url, b"{}", {}, allow_private=True)
    assert (outcome.status, outcome.answer) == (200, "x" * ANSWER_BYTES)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"hello", "the answer is not valid HTTP"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 7\r\n\r\nok",
            "the answer is not valid HTTP",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "the answer broke off"),
        (b"", "the receiver closed the connection without an answer"),
    ],
)
def test_an_answer_that_cannot_be_read_is_told_in_words(sent: bytes, error: str) -> None:
    def answer(handler: Any, _got: Got) -> None:
        handler.wfile.write(sent)
        handler.close_connection = True

    with receiver() as hook:
        hook.act = answer
        outcome = send(hook.url, b"{}", {}, allow_private=True)
    assert outcome.error == error


def test_no_program_listens() -> None:
    with receiver() as hook:
        pass
    outcome = send(hook.url, b"{}", {}, allow_private=True)
    assert outcome.status is None
    assert outcome.error


def test_an_answer_that_trickles_ends_in_time() -> None:
    def trickle(handler: Any, _got: Got) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    with receiver() as hook:
        hook.act = trickle
        outcome = send(hook.url, b"{}", {}, allow_private=True, seconds=0.5)
    assert outcome.status is None
    assert "within 0.5 s" in (outcome.error or "")
    assert outcome.duration < 5


def test_certificates_are_verified_by_the_name_in_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl on PATH")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key]
    command += ["-out", certificate, "-subj", "/CN=a", "-addext", "subjectAltName=DNS:hook.example"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def outcome(host: str) -> tuple[int | None, str]:
        found = send(f"https://{host}:{port}/", b"{}", {}, allow_private=True, resolver=Resolver("127.0.0.1"))
        return found.status, found.error or ""

    with receiver(context) as hook:
        port = hook.url.rpartition(":")[2]
        status, error = outcome("hook.example")
        assert (status, "certificate" in error) == (None, True)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
        assert outcome("hook.example") == (200, "")
        status, error = outcome("other.example")
        assert (status, "certificate" in error) == (None, True)
    assert len(hook.got) == 1


def test_a_name_with_a_public_and_a_private_address_is_never_sent_to_the_private_one() -> None:
    with receiver() as hook:
        port = hook.url.rpartition(":")[2]
        found = send(
            f"https://hook.example:{port}/",
            b"{}",
            {},
            allow_private=False,
            resolver=Resolver("127.0.0.1", "::1"),
        )
    assert (found.status, hook.got) == (None, [])
    assert "loopback" in (found.error or "")


def test_a_name_is_refused_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found)
    with (
        Sender(allow_private=False) as sender,
        pytest.raises(addresses.Forbidden, match=r"^hook\.example: 10\.0\.0\.1 is a private address"),
    ):
        sender.loop.run_until_complete(sender.sender.check("https://hook.example/", 20))
