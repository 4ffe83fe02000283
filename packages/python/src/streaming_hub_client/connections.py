"""Opens a stream's connections one after another, reads them, and waits between them. The I/O shell around `stream`.

May touch the network (through `requests`) and the clock. Each connection has a thread that closes it if it is silent
for too long, including while it is being opened.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

from streaming_hub_client import clock
from streaming_hub_client.answers import BoundedAdapter, BoundedSession
from streaming_hub_client.retry import retry_after
from streaming_hub_client.route import route_to
from streaming_hub_client.stream import (
    HEARTBEAT,
    LONGEST_WAIT,
    MOST_READ,
    SILENCE,
    Item,
    Refused,
    Secret,
    Stream,
    Trouble,
    failure,
    is_stream,
    redirected,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from urllib3.connectionpool import HTTPConnectionPool

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
REDIRECTS = 10
REFUSAL_TIMEOUT = 5.0
"""Seconds to wait for the body of a response that is not a stream."""
BUFFER = 64 * 1024
SHUTDOWN_WAKES = os.name != "nt"
"""Whether `shutdown` unblocks a read in another thread; on Windows only closing the socket does."""


class Connections:
    """A stream's connections. One thread iterates; any thread may close them."""

    def __init__(self, stream: Stream, key: Secret, ticket: Secret) -> None:
        self._stream = stream
        self._key = key
        self._ticket = ticket
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._reading_since: float | None = None
        self._longest_read = 0.0
        self._was_silent = False
        self._warned: set[str] = set()

    def close(self) -> None:
        """End the iteration and close the connection."""
        self._closed.set()
        self._interrupt()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def batches(self) -> Generator[list[Item]]:
        """Yield the stream's items, in lists of those that arrived together.

        Raises:
            Refused: The hub refuses this client.
        """
        stream = self._stream
        while not self.closed:
            began = time.monotonic()
            asked = 0.0
            try:
                url, headers = stream.connect(_ask(self._key), _ask(self._ticket))
                with (
                    BoundedSession(_Adapter(self._take_socket)) as session,
                    self._watched(),
                    closing(self._open(session, url, headers)) as answer,
                ):
                    header = answer.headers.get("Retry-After")
                    asked = retry_after(header, time.time(), longest=LONGEST_WAIT)
                    yield from self._read(answer)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                stream.error = self._trouble(error)
            except Trouble as error:
                stream.error = error
            if self.closed:
                return
            if self._was_silent:
                what = "The stream was silent" if stream.is_open else "The hub did not answer"
                stream.error = Trouble(f"{what} for {stream.silence:g} s.")
                self._was_silent = False
            if isinstance(stream.error, Refused):
                yield [Item(None, None, "refused")]
                raise stream.error
            yield [Item(None, None, "connecting")]
            lived = time.monotonic() - began
            # A stream that ends after a while is normal; one that cannot be opened is not.
            level = logging.INFO if stream.has_worked(lived) else logging.WARNING
            pause = stream.pause(lived=lived, asked=asked, chance=random.random())
            log.log(level, "%s Trying again in %.1f s.", stream.error, pause)
            self._closed.wait(pause)

    def _trouble(self, error: Exception) -> Trouble:
        """Describe an error without the whole URL, which may contain a ticket."""
        kind = type(error).__name__
        if self._stream.is_open:
            return Trouble(f"The connection was lost ({kind}).")
        place = urlunsplit(urlsplit(self._stream.query.url)._replace(query=""))
        return Trouble(f"The hub cannot be reached at {place} ({kind}).")

    def _open(self, session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
        for _ in range(REDIRECTS):
            proxies, verify = route_to(url)
            answer = session.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                proxies=proxies,
                verify=verify,
                timeout=(CONNECT_TIMEOUT, SILENCE * HEARTBEAT),
            )
            if not (answer.is_redirect and "Location" in answer.headers):
                return answer
            answer.close()
            url = redirected(url, headers, answer.headers["Location"])
        raise Trouble(f"redirected more than {REDIRECTS} times")

    def _read(self, answer: requests.Response) -> Generator[list[Item]]:
        stream = self._stream
        if not is_stream(answer.status_code, answer.headers.get("Content-Type", "")):
            body = self._read_refusal(answer)
            kept = "Authorization" not in answer.request.headers and self._key is not None
            stream.error = failure(
                answer.status_code, answer.headers, body, url=str(answer.url), key_kept=kept
            )
            return
        stream.opened()
        while stream.error is None and not self.closed:
            self._reading_since, self._longest_read = clock.seconds(), stream.silence
            # Decoded, because some proxies compress event streams.
            chunk = answer.raw.read1(BUFFER, decode_content=True)
            self._reading_since = None
            if not chunk:
                stream.error = Trouble("The stream ended.")
                return
            items = stream.receive(chunk)
            self._warn()
            yield items

    def _read_refusal(self, answer: requests.Response) -> bytes:
        """Read the start of a response that is not a stream; stop without an error if it breaks off or stalls."""
        self._reading_since, self._longest_read = clock.seconds(), REFUSAL_TIMEOUT
        body = b""
        with suppress(urllib3.exceptions.HTTPError, OSError):  # The part that arrived explains the refusal.
            while len(body) < MOST_READ and (part := answer.raw.read1(MOST_READ, decode_content=True)):
                body += part
        self._reading_since = None
        self._was_silent = False
        return body

    def _warn(self) -> None:
        for warning in self._stream.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                log.warning("%s", warning)

    @contextmanager
    def _watched(self) -> Generator[None]:
        over = threading.Event()
        self._reading_since, self._longest_read = clock.seconds(), self._stream.silence
        threading.Thread(target=self._watch, args=(over,), name="hub-stream-silence", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            self._reading_since = self._socket = None

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(min(1.0, self._longest_read / 8)):
            since = self._reading_since
            if since is not None and clock.seconds() - since > self._longest_read:
                self._was_silent = True
                self._interrupt()

    def _take_socket(self, connected: socket.socket) -> None:
        self._socket = connected
        if self.closed:
            self._interrupt()

    def _interrupt(self) -> None:
        """Unblock a read in another thread."""
        connected = self._socket
        if connected is None:
            return
        with suppress(OSError):  # Already disconnected.
            # Bypass TLS: its own `shutdown` would make the reader's next call fail with a different error.
            socket.socket.shutdown(connected, socket.SHUT_RD)
        if not SHUTDOWN_WAKES:
            # Only on Windows: elsewhere the descriptor could be reused while the reader still has its number.
            with suppress(OSError):  # Closed in the meantime.
                socket.close(connected.detach())


class _Adapter(BoundedAdapter):
    """Reports each connection's socket when it connects; urllib3 makes it available only with the response."""

    def __init__(self, opened: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self._opened = opened

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*args, **options))
        opened = self._opened

        class Connection(pool.ConnectionCls):  # type: ignore[name-defined,misc]
            def connect(self) -> None:
                super().connect()
                opened(self.sock)

        pool.ConnectionCls = Connection
        return pool


def _ask(secret: Secret) -> str | None:
    return secret() if callable(secret) else secret
