"""What both ways of watching sockets must do, each a function that runs in a patched Python (see `child`)."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import gevent

from streaming_hub import portability
from streaming_hub.stream import readiness
from streaming_hub.stream.readiness import (
    HANG_UP,
    READ,
    WRITE,
    EpollReadiness,
    WatcherReadiness,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming_hub.stream.readiness import Readiness


def both() -> Iterator[Readiness]:
    """Each way that this system supports."""
    epoll = readiness._epoll_type()
    if epoll is not None:
        yield EpollReadiness(epoll)
    yield WatcherReadiness()


def told(watched: Readiness) -> list[tuple[int, int]]:
    """What is ready after one turn of the loop."""
    calls: list[list[tuple[int, int]]] = []
    watched.start(lambda: calls.append(list(watched.poll())))
    gevent.sleep(0.02)
    return calls[0] if calls else []


def the_best_way_is_taken() -> None:
    """Epoll where it is, unless it is hidden."""
    made = readiness.make()
    assert isinstance(made, WatcherReadiness) == (portability.FORCED or portability.MACOS)


def a_quiet_socket_is_not_ready() -> None:
    """Neither is one that has room, unless room is asked for."""
    for watched in both():
        ours, theirs = socket.socketpair()
        watched.register(ours.fileno())
        assert told(watched) == []
        watched.want_write(ours.fileno(), wanted=True)
        assert told(watched) == [(ours.fileno(), WRITE)]
        watched.want_write(ours.fileno(), wanted=False)
        watched.poll()
        gevent.sleep(0)
        list(watched.poll())
        assert told(watched) == []
        watched.close()
        theirs.close()


def words_and_hang_ups_are_noticed() -> None:
    """A hang-up is readable everywhere; epoll names it as well."""
    for watched in both():
        with closing(watched):
            ours, theirs = socket.socketpair()
            watched.register(ours.fileno())
            theirs.send(b"x")
            assert told(watched) == [(ours.fileno(), READ)]
            ours.recv(1)
            theirs.close()
            ((descriptor, event),) = told(watched)
            assert descriptor == ours.fileno()
            assert event & READ
            assert bool(event & HANG_UP) == isinstance(watched, EpollReadiness)


def what_was_not_served_is_told_again() -> None:
    """Also where the caller stops in the middle; no stream is skipped permanently."""
    for watched in both():
        with closing(watched):
            pairs = [socket.socketpair() for _ in range(5)]
            for ours, theirs in pairs:
                watched.register(ours.fileno())
                theirs.send(b"x")
            seen: list[int] = []

            def serve(watched: Readiness = watched, seen: list[int] = seen) -> None:
                descriptor, _ = next(watched.poll())
                seen.append(descriptor)
                os.read(descriptor, 1)

            watched.start(serve)
            deadline = gevent.Timeout.start_new(10)
            while set(seen) != {ours.fileno() for ours, _ in pairs}:
                gevent.sleep(0.001)
            deadline.close()


def one_that_is_gone_is_not_told() -> None:
    """It may have ended in the middle of a round, and its number may be another socket's already."""
    for watched in both():
        with closing(watched):
            pairs = [socket.socketpair() for _ in range(2)]
            for ours, theirs in pairs:
                watched.register(ours.fileno())
                theirs.send(b"x")
            calls: list[int] = []

            def serve(watched: Readiness = watched, calls: list[int] = calls) -> None:
                for descriptor, _ in watched.poll():
                    calls.append(descriptor)
                    watched.unregister(descriptor)

            watched.start(serve)
            gevent.sleep(0.05)
            assert sorted(calls) == sorted(ours.fileno() for ours, _ in pairs)


def a_number_that_is_another_socket_s_by_now_tells_nothing_old() -> None:
    """A ready socket that was released says nothing about the next one with its number."""
    for watched in both():
        with closing(watched):
            ours, theirs = socket.socketpair()
            watched.register(ours.fileno())
            watched.start(lambda: None)
            theirs.send(b"x")
            gevent.sleep(0.02)
            watched.unregister(ours.fileno())
            assert list(watched.poll()) == []
