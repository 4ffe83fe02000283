"""Which sockets are ready: by epoll, or by gevent's own watchers where the system has no epoll.

Both are level-triggered: a socket that is ready but was not served is reported again. Both are written by hand
because gevent cannot poll a set of sockets at once, and one watcher per socket costs more than one epoll.
Runs on the loop's thread only.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any, Final, Protocol

import gevent
from gevent import monkey

from streaming_hub import portability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READ: Final = 1
WRITE: Final = 2
HANG_UP: Final = 4
"""The peer has disconnected or shut down its side. Only epoll reports it; elsewhere a read finds out."""

_MOST: Final = 1024


class Readiness(Protocol):
    """A set of descriptors that is watched. Reading and hang-ups always are, writing on request."""

    def start(self, on_ready: Callable[[], None]) -> None:
        """Call `on_ready` whenever `poll` has something to return."""

    def register(self, descriptor: int) -> None:
        """Watch a descriptor.

        Raises:
            OSError: it cannot be watched.
        """

    def want_write(self, descriptor: int, *, wanted: bool) -> None:
        """Report room for writing as well, or no longer."""

    def unregister(self, descriptor: int) -> None:
        """Stop watching a descriptor; call this before closing it."""

    def poll(self) -> Iterator[tuple[int, int]]:
        """Yield what is ready: descriptors with `READ`, `WRITE` and `HANG_UP`. Need not be read to the end."""

    def close(self) -> None:
        """Stop watching."""


class EpollReadiness:
    """Linux: one descriptor on the loop for all sockets.

    Args:
        epoll: the `select.epoll` type that does not wait by gevent.
    """

    def __init__(self, epoll: Any) -> None:
        self._epoll = epoll()
        self._watcher = gevent.get_hub().loop.io(self._epoll.fileno(), 1)
        self._reading = select.EPOLLIN | select.EPOLLRDHUP
        self._writing = self._reading | select.EPOLLOUT
        self._gone = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP

    def start(self, on_ready: Callable[[], None]) -> None:
        """See `Readiness`."""
        self._watcher.start(on_ready)

    def register(self, descriptor: int) -> None:
        """See `Readiness`."""
        self._epoll.register(descriptor, self._reading)

    def want_write(self, descriptor: int, *, wanted: bool) -> None:
        """See `Readiness`."""
        self._epoll.modify(descriptor, self._writing if wanted else self._reading)

    def unregister(self, descriptor: int) -> None:
        """See `Readiness`."""
        self._epoll.unregister(descriptor)

    def poll(self) -> Iterator[tuple[int, int]]:
        """See `Readiness`."""
        for descriptor, event in self._epoll.poll(0, _MOST):
            yield (
                descriptor,
                (READ if event & select.EPOLLIN else 0)
                | (WRITE if event & select.EPOLLOUT else 0)
                | (HANG_UP if event & self._gone else 0),
            )

    def close(self) -> None:
        """See `Readiness`."""
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()


class WatcherReadiness:
    """Portable: one of gevent's watchers per socket, whatever the loop is built on."""

    def __init__(self) -> None:
        self._loop = gevent.get_hub().loop
        self._watchers: dict[int, Any] = {}
        self._ready: dict[int, int] = {}
        self._on_ready: Callable[[], None] | None = None
        self._called = False

    def start(self, on_ready: Callable[[], None]) -> None:
        """See `Readiness`."""
        self._on_ready = on_ready

    def register(self, descriptor: int) -> None:
        """See `Readiness`."""
        watcher = self._watchers[descriptor] = self._loop.io(descriptor, READ)
        watcher.start(self._note, descriptor, pass_events=True)

    def want_write(self, descriptor: int, *, wanted: bool) -> None:
        """See `Readiness`."""
        watcher = self._watchers[descriptor]
        # The events of a running watcher cannot be changed.
        watcher.stop()
        watcher.events = READ | WRITE if wanted else READ
        watcher.start(self._note, descriptor, pass_events=True)

    def unregister(self, descriptor: int) -> None:
        """See `Readiness`."""
        # The number may soon belong to another socket.
        self._ready.pop(descriptor, None)
        watcher = self._watchers.pop(descriptor)
        watcher.stop()
        watcher.close()

    def poll(self) -> Iterator[tuple[int, int]]:
        """See `Readiness`. First come, first served: the rest is first the next time."""
        for _ in range(min(_MOST, len(self._ready))):
            # Serving one may have ended the next.
            if not self._ready:
                return
            descriptor = next(iter(self._ready))
            yield descriptor, self._ready.pop(descriptor)

    def close(self) -> None:
        """See `Readiness`."""
        for descriptor in list(self._watchers):
            self.unregister(descriptor)
        self._on_ready = None

    def _note(self, events: int, descriptor: int) -> None:
        self._ready[descriptor] = self._ready.get(descriptor, 0) | events & (READ | WRITE)
        if not self._called:
            # First all watchers of one poll of the sockets; then as many as a turn allows are served.
            self._called = True
            self._loop.run_callback(self._call)

    def _call(self) -> None:
        self._called = False
        if self._on_ready is not None:
            self._on_ready()


def make() -> Readiness:
    """Return the best set of descriptors that the system has."""
    epoll = _epoll_type()
    return WatcherReadiness() if epoll is None else EpollReadiness(epoll)


def _epoll_type() -> Any:
    """Return the real `select.epoll`: gevent hides it when it patches."""
    if portability.FORCED:
        return None
    try:
        return monkey.get_original("select", "epoll")
    except AttributeError:
        return None
