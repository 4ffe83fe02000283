"""Nodes on one real redis-server, as the fault tests start and watch them."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from tests.faults.crowd import Crowd
from tests.faults.publishers import Publisher, assert_all_right, assert_all_stored
from tests.kit.hub import Hub
from tests.kit.redis_server import RedisServer
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def redis_at(folder: Path, **options: Any) -> Iterator[RedisServer]:
    server = RedisServer(folder / "redis", tcp=True, **options)
    try:
        yield server
    finally:
        server.stop()


def node(folder: Path, name: str, url: str, **settings: str) -> Hub:
    return Hub(folder / name, STREAM_HISTORY=url, STREAM_NODE=name, STREAM_HEARTBEAT="1", **settings)


@contextlib.contextmanager
def two_nodes(
    folder: Path,
    url: str,
    *,
    a_url: str | None = None,
    of_a: dict[str, Any] | None = None,
    whole: int = 5,
    filtered: str = "",
    pause: float | None = None,
    batch: int = 1,
    **settings: Any,
) -> Iterator[tuple[Hub, Hub, list[Crowd], list[Publisher]]]:
    """Run two nodes, `a` and `b`, with clients at both and, with a pause, a publisher at each.

    Args:
        folder: where they run.
        url: Redis.
        a_url: Redis as `a` reaches it, if not by the same address.
        of_a: settings of `a` alone.
        whole: how many clients at each node read everything.
        filtered: the query of two further clients at each node; none without it.
        pause: seconds between two requests of a publisher; None for no publishers.
        batch: events of a request of the second publisher.
        **settings: of both nodes.
    """
    with contextlib.ExitStack() as stack:
        a = stack.enter_context(node(folder, "a", a_url or url, **settings, **(of_a or {})))
        b = stack.enter_context(node(folder, "b", url, **settings))
        crowds = [stack.enter_context(Crowd(server.host, server.port)) for server in (a, b)]
        for crowd in crowds:
            crowd.add(whole, name="whole")
            if filtered:
                crowd.add(2, filtered, name="filtered", whole=False)
            crowd.until_open()
        publishers = (
            []
            if pause is None
            else [
                stack.enter_context(Publisher(a, "a", pause=pause)),
                stack.enter_context(Publisher(b, "b", pause=pause, batch=batch)),
            ]
        )
        yield a, b, crowds, publishers


def until_more(publishers: list[Publisher], count: int = 0) -> None:
    """Wait until each publisher has published more than this number of events from now on."""
    before = [len(one.ids) for one in publishers]
    until(
        lambda: all(len(one.ids) > n + count for one, n in zip(publishers, before, strict=True)),
        30,
        what=lambda: (before, [len(one.ids) for one in publishers]),
    )


def health(server: Hub) -> dict[str, Any]:
    return server.json("GET", "/api/health")


def until_away(*servers: Hub) -> None:
    for server in servers:
        until(
            lambda server=server: health(server)["history"] == "away",
            20,
            what=lambda server=server: server.log,
        )


def until_ok(*servers: Hub) -> None:
    for server in servers:
        until(
            lambda server=server: health(server)["history"] == "ok", 20, what=lambda server=server: server.log
        )


def until_all_at(crowds: list[Crowd], seq: int) -> None:
    for crowd in crowds:
        crowd.until_at(seq)


def assert_nothing_was_missed(publishers: list[Publisher], crowds: list[Crowd], server: Hub) -> None:
    """Stop the publishers; every client gets all they published over one connection, and a node has stored it."""
    for publisher in publishers:
        publisher.stop()
    until_all_at(crowds, max(publisher.head for publisher in publishers))
    assert_all_right(publishers, [error for crowd in crowds for error in crowd.errors()])
    for crowd in crowds:
        assert {client.connections for client in crowd.clients} == {1}
        assert not [client.checker.resets for client in crowd.clients if client.checker.resets]
    assert_all_stored(server, publishers)


def published(server: Hub, body: Any) -> Any:
    """Publish, again for as long as the answer is that it has to wait; return what is answered then."""
    answers: list[tuple[int, dict[str, str], bytes]] = []

    def accepted() -> bool:
        answers.append(server.request("POST", "/api/agent/data", body))
        status, headers, _ = answers[-1]
        assert status == 200 or (status == 503 and "retry-after" in headers), answers[-1]
        return status == 200

    until(accepted, 20, what=lambda: answers[-1])
    return json.loads(answers[-1][2])
