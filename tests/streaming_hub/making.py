"""Small makers of events, histories and hubs for the core's tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from streaming_hub.events.interest import EVERYTHING
from streaming_hub.events.posted import parse_one
from streaming_hub.history.memory import MemoryHistory
from streaming_hub.stream.hub import Hub, Wait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming_hub.events.interest import Interest
    from streaming_hub.events.posted import Event
    from streaming_hub.history import History
    from streaming_hub.stream.subscriber import Subscriber

NOW = 1_700_000_000.0


def posted(kind: str = "note", **fields: Any) -> Event:
    """An event as if it had been posted."""
    return parse_one(json.dumps({"type": kind, **fields}).encode())


def interim(segment: str, text: str = "", **fields: Any) -> Event:
    """An interim transcript."""
    return posted("transcript", is_final=False, segment_id=segment, text=text, **fields)


def memory(max_events: int = 1000, max_age: float = 1e6) -> MemoryHistory:
    """A history in memory."""
    return MemoryHistory(max_events, max_age)


def hub_over(history: History | None = None, queue_size: int = 256) -> Hub:
    """A hub whose clock stands still and whose deliveries wait for `deliver_pending`."""
    hub = Hub(history or memory(), queue_size=queue_size, clock=lambda: NOW)
    hub.schedule = lambda: None
    return hub


def reader(
    hub: Hub, position: int | None = None, interest: Interest = EVERYTHING, *, chunked: bool = False
) -> Subscriber:
    """A subscribed reader; it begins at the head by default."""
    start = hub.history.bounds.head if position is None else position
    subscriber = hub.new_subscriber(interest, start, chunked=chunked, expires_at=None)
    hub.subscribe(subscriber)
    return subscriber


def pull_all(hub: Hub, subscriber: Subscriber) -> bytes:
    """Everything that is sent now to a reader whose socket always has room."""
    sent = b""
    while (pulled := hub.pull(subscriber)) is not Wait.EVENT:
        if pulled is Wait.DISK:
            place = subscriber.position
            hub.keep(subscriber.interest, place, hub.fetch(subscriber.interest, place))
        elif isinstance(pulled, bytes):
            sent += pulled
    return sent


def seqs_of(entries: Iterable[Any]) -> list[int]:
    """Sequence numbers of entries."""
    return [entry.seq for entry in entries]
