"""`follow`: a stream of the hub's events that reconnects and resumes by itself. The shell of `stream` over `requests`.

May touch the network and the clock, and starts one thread a connection, which ends it when it is silent.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests
import urllib3

from streaming_hub_client.route import route_to
from streaming_hub_client.stream import (
    HEARTBEAT,
    MOST_READ,
    SILENCE,
    Gap,
    Item,
    Refused,
    Secret,
    Stream,
    Trouble,
    failure,
    is_stream,
    origin,
    query_of,
    retry_after,
)

if TYPE_CHECKING:
    from typing_extensions import Self

CONNECT_TIMEOUT = 10.0
REDIRECTS = 10
BUFFER = 64 * 1024

Filter = str | Iterable[str] | None


def follow(
    url: str,
    *,
    key: Secret = None,
    ticket: Secret = None,
    room: Filter = None,
    types: Filter = None,
    participant: Filter = None,
    session_id: Filter = None,
    since: str | None = None,
    replay: int | None = None,
    snapshot: bool = False,
) -> Follow:
    """Follow the hub's events until it is closed or refused.

    Args:
        url: The hub, such as `http://localhost:5000`, or the stream itself where it has a path.
        key: A subscribe key, or a function that is called for one before every connection.
        ticket: The same, sent in the URL.
        room: Only this room, or these; likewise `types`, `participant`, `session_id`.
        types: See `room`.
        participant: See `room`.
        session_id: See `room`.
        since: The `position` to resume after; from now on without it.
        replay: Begin with this many past events.
        snapshot: Begin with the rooms' present state.

    Returns:
        An iterator of events and gaps. It raises `Refused` if the hub does not want this client.

    Raises:
        ValueError: The URL cannot be used.
    """
    filters = {"room": room, "type": types, "participant": participant, "session_id": session_id}
    query = query_of(url, filters=filters, replay=replay, snapshot=snapshot)
    return Follow(Stream(query, resume=since or "", ticket_is_fixed=isinstance(ticket, str)), key, ticket)


class Follow(Iterator[dict[str, Any] | Gap]):
    """What `follow` returns. One thread iterates; any may close it.

    Attributes:
        position: Pass it as `since` to resume after the item last handed out; None before the first connection.
    """

    def __init__(self, stream: Stream, key: Secret, ticket: Secret) -> None:
        self.position: str | None = stream.resume or None
        self._stream = stream
        self._key = key
        self._ticket = ticket
        self._closed = threading.Event()
        self._answer: requests.Response | None = None
        self._reading_since: float | None = None
        self._items = self._run()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any] | Gap:
        for item in self._items:
            if self._closed.is_set():
                break
            self.position = item.position or self.position
            if item.value is not None:
                return item.value
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration, and the connection."""
        self._closed.set()
        self._interrupt()

    def _run(self) -> Iterator[Item]:
        stream = self._stream
        while not self._closed.is_set():
            began = time.monotonic()
            asked = 0.0
            try:
                with requests.Session() as session, closing(self._open(session)) as answer:
                    asked = retry_after(answer.headers.get("Retry-After"), time.time())
                    yield from self._read(answer)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                stream.error = Trouble(str(error))
            except Trouble as error:
                stream.error = error
            if isinstance(stream.error, Refused) and not self._closed.is_set():
                raise stream.error
            pause = stream.pause(lived=time.monotonic() - began, asked=asked, chance=random.random())
            self._closed.wait(pause)

    def _open(self, session: requests.Session) -> requests.Response:
        url, headers = self._stream.connect(_ask(self._key), _ask(self._ticket))
        # Nothing from .netrc: its passwords are not the hub's.
        session.trust_env = False
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
            target = urljoin(url, answer.headers["Location"])
            if origin(target) != origin(url):
                headers.pop("Authorization", None)
            answer.close()
            url = target
        raise Trouble(f"redirected more than {REDIRECTS} times")

    def _read(self, answer: requests.Response) -> Iterator[Item]:
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
            while stream.error is None and not self._closed.is_set():
                self._reading_since = time.monotonic()
                chunk = answer.raw.read1(BUFFER)
                self._reading_since = None
                if not chunk:
                    stream.error = Trouble("The stream ended.")
                    return
                yield from stream.receive(chunk)
        finally:
            over.set()
            self._reading_since = self._answer = None

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(min(1.0, self._stream.silence / 8)):
            since = self._reading_since
            if since is not None and time.monotonic() - since > self._stream.silence:
                self._interrupt()

    def _interrupt(self) -> None:
        """Make a read that blocks in another thread return."""
        answer = self._answer
        if answer is not None:
            with suppress(OSError, ValueError, RuntimeError):  # it has ended by itself meanwhile
                answer.raw.shutdown()


def _ask(secret: Secret) -> str | None:
    return secret() if callable(secret) else secret
