"""`follow` and `afollow`: a stream of the hub's events that reconnects and resumes automatically.

Both read the same `Connections`. `afollow` does so in one thread per stream, because an asynchronous HTTP library would
handle proxies, certificates and redirects a second time, and need more packages than the rest of this client. The
thread calls into the event loop only to deliver what has arrived.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from streaming_hub_client.authorization import bearer
from streaming_hub_client.connections import Connections
from streaming_hub_client.stream import Gap, Item, Query, Reading, Secret, Stream, query_of

if TYPE_CHECKING:
    from typing_extensions import Self

Filter = str | Iterable[str] | None
Batch = list[Item] | None
"""Items that arrived together; None at the end."""
OnBatch = Callable[[Batch, Exception | None], None]


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
    """Follow the hub's events until the stream is closed or refused.

    Args:
        url: The hub, such as `http://localhost:5000`, or the stream itself if it has a path.
        key: A subscribe key, or a function that is called for one before every connection.
        ticket: A ticket in place of a key, sent in the URL.
        room: Only this room, or these rooms.
        types: Only these event types.
        participant: Only events of these identities.
        session_id: Only these sessions.
        since: The `position` to resume after; by default the stream begins with the next event.
        replay: Begin with this many past events.
        snapshot: Begin with the current state of the rooms.

    Returns:
        An iterator of events and gaps. It raises `Refused` if the hub refuses this client.

    Raises:
        ValueError: The URL, a filter, `since` or the key cannot be used. If `key` is a function, its key is checked,
            and this is raised, by the iterator.
    """
    filters = {"room": room, "type": types, "participant": participant, "session_id": session_id}
    query = query_of(url, filters=filters, replay=replay, snapshot=snapshot)
    return Follow(_connections(query, key, ticket, since), since)


def afollow(
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
) -> AFollow:
    """Follow the hub's events from asyncio. Arguments and errors are those of `follow`.

    A function given as `key` or `ticket` is called in the stream's thread, so it may block.

    Returns:
        An asynchronous iterator of events and gaps. It raises `Refused` if the hub refuses this client.

    Raises:
        ValueError: As for `follow`.
    """
    filters = {"room": room, "type": types, "participant": participant, "session_id": session_id}
    query = query_of(url, filters=filters, replay=replay, snapshot=snapshot)
    return AFollow(_connections(query, key, ticket, since), since)


def _connections(query: Query, key: Secret, ticket: Secret, since: str | None) -> Connections:
    if since is not None and not isinstance(since, str):
        raise ValueError(f"since: {since!r} is not a position; pass a stream's `position`")
    if isinstance(key, str):
        bearer(key)
    stream = Stream(query, resume=since or "", ticket_is_fixed=isinstance(ticket, str))
    return Connections(stream, key, ticket)


class Follow(Reading, Iterator[dict[str, Any] | Gap]):
    """The stream that `follow` returns. One thread iterates; any may close it. `Reading` describes the attributes."""

    def __init__(self, connections: Connections, position: str | None) -> None:
        super().__init__(position)
        self._connections = connections
        self._batches = connections.batches()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any] | Gap:
        while not self._connections.closed:
            value = self._take_next()
            if value is not None:
                return value
            batch = next(self._batches, None)
            if batch is None:
                break
            self._waiting.extend(batch)
        if self.status != "refused":
            self.status = "closed"
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration, and the connection."""
        self._connections.close()


class AFollow(Reading, AsyncIterator[dict[str, Any] | Gap]):
    """The stream that `afollow` returns, for one event loop and one task at a time. `Reading` describes the attributes.

    Cancelling a waiting task loses no events: the next one gets whatever has arrived.
    """

    def __init__(self, connections: Connections, position: str | None) -> None:
        super().__init__(position)
        self._connections = connections
        self._asked: queue.SimpleQueue[OnBatch | None] = queue.SimpleQueue()
        self._coming: asyncio.Future[Batch] | None = None
        self._thread: threading.Thread | None = None
        # Closes the stream even if it is garbage-collected without `aclose`.
        self._finish = weakref.finalize(self, _finish, connections, self._asked)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any] | Gap:
        while not self._connections.closed:
            value = self._take_next()
            if value is not None:
                return value
            coming = self._next_batch()
            await asyncio.wait([coming])
            if self._coming is not coming:
                continue  # Another task has taken the batch.
            self._coming = None
            batch = coming.result()
            if batch is None:
                break
            self._waiting.extend(batch)
        if self.status != "refused":
            self.status = "closed"
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the iteration, and the connection."""
        self._finish()
        if self._coming is not None:
            _settle(self._coming, None, None)

    def _next_batch(self) -> asyncio.Future[Batch]:
        if self._coming is None:
            loop = asyncio.get_running_loop()
            coming = self._coming = loop.create_future()

            def answer(batch: Batch, error: Exception | None) -> None:
                with suppress(RuntimeError):  # The loop is closed.
                    loop.call_soon_threadsafe(_settle, coming, batch, error)

            self._asked.put(answer)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_serve, args=(self._connections, self._asked), name="hub-stream", daemon=True
                )
                self._thread.start()
        return self._coming


def _serve(connections: Connections, asked: queue.SimpleQueue[OnBatch | None]) -> None:
    """Read a batch whenever one is requested, so that a slow reader holds the hub back."""
    with closing(connections.batches()) as batches:
        while (answer := asked.get()) is not None:
            try:
                batch = next(batches, None)
            except Exception as error:  # noqa: BLE001 - reraised in the reader
                answer(None, error)
            else:
                answer(batch, None)


def _settle(coming: asyncio.Future[Batch], batch: Batch, error: Exception | None) -> None:
    if coming.done():
        return
    if error is None:
        coming.set_result(batch)
    else:
        coming.set_exception(error)


def _finish(connections: Connections, asked: queue.SimpleQueue[OnBatch | None]) -> None:
    connections.close()
    asked.put(None)
