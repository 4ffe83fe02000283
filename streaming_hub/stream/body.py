"""A stream's body: handed over to the writer if the server can do that, else a generator over the same subscriber.

The generator occupies the greenlet or thread that iterates it. It is for Flask's test client and other WSGI servers,
and yields byte for byte what the writer sends without chunks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from streaming_hub.stream.frames import goodbye, heartbeat
from streaming_hub.stream.hub import Wait
from streaming_hub.stream.pauses import NAP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming_hub.stream.hub import Hub
    from streaming_hub.stream.subscriber import Subscriber


class StreamBody:
    """The body of one stream.

    Args:
        hub: the hub that the subscriber belongs to.
        subscriber: not yet subscribed.
        heartbeat: seconds between two heartbeats.
    """

    def __init__(self, hub: Hub, subscriber: Subscriber, *, heartbeat: float) -> None:
        self.hub = hub
        self.subscriber = subscriber
        self._heartbeat = heartbeat

    def __iter__(self) -> Iterator[bytes]:
        hub, subscriber = self.hub, self.subscriber
        hub.subscribe(subscriber)
        try:
            while not self._expired():
                with hub.lock:
                    pulled = hub.pull(subscriber)
                if pulled is Wait.DISK:
                    position = subscriber.position
                    hub.keep(subscriber.interest, position, hub.fetch(subscriber.interest, position))
                elif pulled is Wait.TURN:
                    time.sleep(NAP)
                elif isinstance(pulled, bytes):
                    yield pulled
                elif not subscriber.wait(self._patience()) and not self._expired():
                    yield heartbeat(hub.clock(), hub.place(subscriber), chunked=False)
            yield goodbye("credential_expired", 1000, chunked=False)
        finally:
            hub.unsubscribe(subscriber)

    def close(self) -> None:
        """Remove the subscriber, even if the body was not read to its end; WSGI servers call this (PEP 3333)."""
        if self.subscriber.stream is None:
            self.hub.unsubscribe(self.subscriber)

    def _patience(self) -> float:
        """Seconds until the next heartbeat, or until the credential expires."""
        expires_at = self.subscriber.expires_at
        if expires_at is None:
            return self._heartbeat
        return min(self._heartbeat, max(0.0, expires_at - self.hub.clock()) + 0.001)

    def _expired(self) -> bool:
        expires_at = self.subscriber.expires_at
        return expires_at is not None and expires_at <= self.hub.clock()
