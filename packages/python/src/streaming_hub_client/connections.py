"""Opens a stream's connections one after another, reads them, and waits between them. The shell of `stream`.

May touch the network (through `requests`) and the clock. Starts one thread per connection, which closes it when it goes
silent.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

from streaming_hub_client import clock
from streaming_hub_client.answers import BoundedSession
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
    from collections.abc import Generator

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
REDIRECTS = 10
BUFFER = 64 * 1024
SHUTDOWN_WAKES = os.name != "nt"
"""Whether `shutdown` ends a read that another thread waits in; on Windows only closing the socket does."""


class Connections:
    """A stream's connections. One thread iterates; any thread may close them."""

    def __init__(self, stream: Stream, key: Secret, ticket: Secret) -> None:
        self._stream = stream
        self._key = key
        self._ticket = ticket
        self._closed = threading.Event()
        self._answer: requests.Response | None = None
        self._reading_since: float | None = None
        self._was_silent = False

    def close(self) -> None:
        """End the iteration, and the connection."""
        self._closed.set()
        self._interrupt()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def batches(self) -> Generator[list[Item]]:
        """Yield the stream's items, those that arrived together in one list.

        Raises:
            Refused: The hub does not want this client.
        """
        stream = self._stream
        while not self.closed:
            began = time.monotonic()
            asked = 0.0
            try:
                with BoundedSession() as session, closing(self._open(session)) as answer:
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
                stream.error = Trouble(f"The stream was silent for {stream.silence:g} s.")
                self._was_silent = False
            if isinstance(stream.error, Refused):
                yield [Item(None, None, "refused")]
                raise stream.error
            yield [Item(None, None, "connecting")]
            lived = time.monotonic() - began
            # That a stream ends now and then is normal; that none can be opened is not.
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

    def _open(self, session: requests.Session) -> requests.Response:
        url, headers = self._stream.connect(_ask(self._key), _ask(self._ticket))
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
            body = answer.raw.read1(MOST_READ)
            kept = "Authorization" not in answer.request.headers and self._key is not None
            stream.error = failure(
                answer.status_code, answer.headers, body, url=str(answer.url), key_kept=kept
            )
            return
        stream.opened()
        self._answer = answer
        over = threading.Event()
        threading.Thread(target=self._watch, args=(over,), name="hub-stream-silence", daemon=True).start()
        try:
            while stream.error is None and not self.closed:
                self._reading_since = clock.seconds()
                chunk = answer.raw.read1(BUFFER)
                self._reading_since = None
                if not chunk:
                    stream.error = Trouble("The stream ended.")
                    return
                yield stream.receive(chunk)
        finally:
            over.set()
            self._reading_since = self._answer = None

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(min(1.0, self._stream.silence / 8)):
            since = self._reading_since
            if since is not None and clock.seconds() - since > self._stream.silence:
                self._was_silent = True
                self._interrupt()

    def _interrupt(self) -> None:
        """Make a read that blocks in another thread return."""
        answer = self._answer
        if answer is not None:
            with suppress(OSError, ValueError, RuntimeError):  # it has already ended
                answer.raw.shutdown()
            if not SHUTDOWN_WAKES:
                _close_socket(answer)


def _close_socket(answer: requests.Response) -> None:
    """Close the socket under its reader. Windows only: elsewhere the descriptor could by then belong to another file.

    Uses a private name of urllib3 (2.3 or later), which has no public way to the socket; a test fails if it goes.
    """
    connected = getattr(getattr(answer.raw, "_sock_shutdown", None), "__self__", None)
    if isinstance(connected, socket.socket):
        with suppress(OSError):  # closed meanwhile
            socket.close(connected.detach())


def _ask(secret: Secret) -> str | None:
    return secret() if callable(secret) else secret
