"""Pages of history from the disk, read in threads so that the loop never waits for it.

Readers that want the same page share one read. Runs on the loop's thread; only `hub.fetch` runs elsewhere. A history
that waits for the network instead is read in greenlets: its connections belong to the loop's thread.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

import gevent
from gevent.pool import Pool
from gevent.threadpool import ThreadPool

from streaming_hub.errors import HubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.events.interest import Interest
    from streaming_hub.stream.hub import Hub
    from streaming_hub.stream.pages import Fetched
    from streaming_hub.stream.subscriber import Subscriber

log = logging.getLogger(__name__)

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
        # Not gevent's own pool: other work may fill it, and the loop cannot wait for a free thread.
        self._threads = ThreadPool(AT_ONCE) if hub.history.on_disk else Pool()

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
            result = self._threads.spawn(self._fetch, *key)
            result.rawlink(lambda done, key=key: self._done(key, done.value))

    def _fetch(self, interest: Interest, position: int) -> Fetched | BaseException:
        try:
            return self._hub.fetch(interest, position)
        except Exception as error:  # noqa: BLE001 - logged by `_done`, on the loop's thread
            return error

    def _done(self, key: tuple[Interest, int], result: Fetched | BaseException) -> None:
        self._under_way -= 1
        if isinstance(result, BaseException):
            self._log(result)
            gevent.spawn_later(RETRY, self._hand_over, key)
        else:
            self._hub.keep(*key, result)
            self._hand_over(key)
        self._begin()

    def _hand_over(self, key: tuple[Interest, int]) -> None:
        for subscriber in self._wanted.pop(key, ()):
            self._resume(subscriber)

    def _log(self, error: BaseException) -> None:
        if self._hub.history.away is not None:
            # Its follower has reported this once; readers need not repeat it.
            return
        detail = error.detail if isinstance(error, HubError) else repr(error)
        log.warning("a page of history could not be read; retrying in %g s: %s", RETRY, detail)
