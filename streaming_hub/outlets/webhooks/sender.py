"""Sends a webhook over HTTP, to checked addresses only. Connections are pooled.

Uses aiohttp: thousands of receivers may hang at the same time, and a waiting coroutine costs next to nothing, while a
thread costs a stack. Its `socket_factory` gets the address of every connection, so a name that resolves differently
later is refused as well. Redirects, proxy variables and cookies are ignored. TLS verifies the name in the URL.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from streaming_hub.outlets.webhooks import addresses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.abc import AbstractResolver

SECONDS: Final = 15.0
"""From connecting to the end of the response."""
ANSWER_BYTES: Final = 1024
IDLE_SECONDS: Final = 15.0
"""How long an idle connection stays open."""
MOST_ERROR: Final = 300
HEADERS: Final = {
    "content-type": "application/json",
    "user-agent": "streaming-hub",
    "accept-encoding": "identity",
}
"""Headers of every request, besides those with the signature."""


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of a request.

    Attributes:
        duration: seconds.
        status: of the response; None without one.
        answer: the first `ANSWER_BYTES` of its body.
        retry_after: its `Retry-After`.
        error: what went wrong, if there is no complete response.
    """

    duration: float
    status: int | None = None
    answer: str = ""
    retry_after: str | None = None
    error: str | None = None


class Sender:
    """Sends webhooks, any number at a time, from one event loop.

    Args:
        allow_private: STREAM_WEBHOOK_ALLOW_PRIVATE.
        resolver: resolves names; the system's by default.
        seconds: see `SECONDS`.
    """

    def __init__(
        self, *, allow_private: bool, resolver: AbstractResolver | None = None, seconds: float = SECONDS
    ) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._seconds = seconds
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send a request and return its outcome, which includes errors on the way."""
        begun = time.monotonic()
        status, retry_after, answer, error = None, None, b"", None
        try:
            addresses.check_url(url, allow_private=self._allow_private)
            session = self._session(urlsplit(url).scheme)
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status, retry_after = response.status, response.headers.get("retry-after")
                answer = await _first_bytes(response.content, ANSWER_BYTES + 1)
                if len(answer) > ANSWER_BYTES:
                    # The rest may be endless; a new connection is cheaper than reading it.
                    response.close()
        except addresses.Forbidden as refused:
            error = str(refused)
        except TimeoutError:
            status, error = None, f"no complete answer within {self._seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            status, error = None, _text_of(failed)
        text = answer[:ANSWER_BYTES].decode("utf-8", "replace")
        return Outcome(time.monotonic() - begun, status, text, retry_after, error)

    async def check(self, url: str, seconds: float) -> None:
        """Resolve the host of a URL and check its addresses.

        Args:
            url: one that `addresses.check_url` accepts.
            seconds: how long resolving may take.

        Raises:
            Forbidden: none of its addresses may be connected to.
        """
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                found = await loop.getaddrinfo(parts.hostname, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            # A name that is not found (or not in time: TimeoutError is an OSError) may be found when sending.
            return
        refused: addresses.Forbidden | None = None
        for one in found:
            try:
                self._check(parts.scheme, one[4][0])
            except addresses.Forbidden as error:
                refused = addresses.Forbidden(f"{parts.hostname}: {error}")
            else:
                return
        if refused is not None:
            raise refused

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        session = self._sessions.get(scheme)
        if session is None:
            session = self._sessions[scheme] = self._open(scheme)
        return session

    def _open(self, scheme: str) -> aiohttp.ClientSession:
        def connect_to(address: Any) -> socket.socket:
            family, kind, protocol, _, place = address
            try:
                self._check(scheme, place[0])
            except addresses.Forbidden as refused:
                # After an OSError aiohttp tries the name's next address.
                raise OSError(str(refused)) from refused
            return socket.socket(family, kind, protocol)

        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=_ssl_context(),
            resolver=self._resolver,
            keepalive_timeout=IDLE_SECONDS,
            socket_factory=connect_to,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            headers=HEADERS,
        )

    def _check(self, scheme: str, address: Any) -> None:
        # A link-local address may include the name of its interface.
        found = ipaddress.ip_address(str(address).partition("%")[0])
        addresses.check_address(found, scheme=scheme, allow_private=self._allow_private)


async def _first_bytes(stream: aiohttp.StreamReader, count: int) -> bytes:
    parts: list[bytes] = []
    while count > 0 and (part := await stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _text_of(error: Exception) -> str:
    """Return an error's text without the URL, whose path may be a secret."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is not trusted: {error.certificate_error}"[:MOST_ERROR]
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error}"[:MOST_ERROR]
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is not valid HTTP"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the receiver closed the connection without an answer"
    return f"the connection broke ({type(error).__name__})"


def _ssl_context() -> ssl.SSLContext:
    own = os.environ.get("REQUESTS_CA_BUNDLE")
    if not own:
        return ssl.create_default_context()
    if Path(own).is_dir():
        return ssl.create_default_context(capath=own)
    return ssl.create_default_context(cafile=own)
