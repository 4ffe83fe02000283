"""Pages of history from the disk, read in threads so that the loop never waits for it.

Readers that want the same page share one read. Runs on the loop's thread; only `hub.fetch` runs elsewhere.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.threadpool import ThreadPool

from streaming_hub.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.events.interest import Interest
    from streaming_hub.stream.hub import Hub
    from streaming_hub.stream.subscriber import Subscriber

log = logging.getLogger("streaming_hub.stream")

AT_ONCE: Final = 3
"""Concurrent reads; each has a thread."""
RETRY: Final = 1.0
"""Seconds until a failed read is tried again."""


class DiskReader:
    """Reads pages for subscribers.

    Args:
        hub: where pages come from, and are kept.
        resume: called for each subscriber when its page is there.
    """

    def __init__(self, hub: Hub, resume: Callable[[Subscriber], None]) -> None:
        self._hub = hub
        self._resume = resume
        self._wanted: dict[tuple[Interest, int], list[Subscriber]] = {}
        self._queue: deque[tuple[Interest, int]] = deque()
        self._under_way = 0
        # Others fill gevent's own pool, and asking a full one waits, which the loop cannot.
        self._threads = ThreadPool(AT_ONCE)

    def ask(self, subscriber: Subscriber) -> None:
        """Fetch the page that follows the subscriber's position."""
        key = (subscriber.interest, subscriber.position)
        waiting = self._wanted.get(key)
        if waiting is None:
            self._wanted[key] = [subscriber]
            self._queue.append(key)
            self._begin()
        elif subscriber not in waiting:
            waiting.append(subscriber)

    def _begin(self) -> None:
        while self._queue and self._under_way < AT_ONCE:
            key = self._queue.popleft()
            self._under_way += 1
            result = self._threads.spawn(self._hub.fetch, *key)
            result.rawlink(lambda done, key=key: self._done(key, done))

    def _done(self, key: tuple[Interest, int], result: Any) -> None:
        self._under_way -= 1
        if result.successful():
            self._hub.keep(*key, result.value)
            self._hand_over(key)
        else:
            self._log(result.exception)
            gevent.spawn_later(RETRY, self._hand_over, key)
        self._begin()

    def _hand_over(self, key: tuple[Interest, int]) -> None:
        for subscriber in self._wanted.pop(key, ()):
            self._resume(subscriber)

    def _log(self, error: BaseException) -> None:
        detail = error.detail if isinstance(error, HubError) else repr(error)
        log.warning("a page of history could not be read, and is tried again in %g s: %s", RETRY, detail)
