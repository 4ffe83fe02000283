"""Clients that connect and disconnect, vanish, or are too many: nothing of them remains, and the others are served."""

from __future__ import annotations

import json
import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.faults.checker import split
from tests.faults.crowd import Client, Crowd
from tests.faults.publishers import Line, Publisher, assert_all_right
from tests.kit.hub import Hub
from tests.kit.wait import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CLIENTS = 1000
ROUNDS = 10
WARM_UP = 2
MOST_THREADS = 12
"""gevent's pool of ten, the main thread, and one to spare; the pool shrinks and grows."""
GROWTH_KIB = 15 * 1024
"""Half of what ten thousand leaked clients would hold; on a busy machine threads alone may hold 7 MiB."""


def test_nothing_stays_of_ten_rounds_of_a_thousand_clients(tmp_path: Path) -> None:
    with Hub(tmp_path, counted=True) as server, Crowd(server.host, server.port) as crowd:
        line = Line(server)
        before: tuple[int, dict[str, int]] | None = None
        memory = 0
        for round_ in range(WARM_UP + ROUNDS):
            if round_ == WARM_UP:
                before = (server.descriptors(), server.counts())
                memory = server.memory_kib()
            come_and_go(server, crowd, line, round_)
        assert before is not None
        assert before[1]["Subscriber"] == before[1]["Stream"] == 0
        until(
            lambda: server.descriptors() <= before[0] and server.counts() == before[1],
            what=lambda: (server.descriptors(), server.counts(), before),
        )
        assert server.threads() <= MOST_THREADS
        assert server.database_descriptors() <= 3 * MOST_THREADS
        assert server.memory_kib() - memory < GROWTH_KIB


def come_and_go(server: Hub, crowd: Crowd, line: Line, round_: int) -> None:
    """Let a thousand clients connect, see five events, and leave."""
    # A filter of their own, half of them: interests must not pile up either.
    crowd.add(CLIENTS // 2, name="whole")
    crowd.add(CLIENTS // 2, f"?type=test&room=round-{round_}&replay=3", name="filtered", whole=False)
    crowd.until_open()
    events = [
        {"type": "test", "room": f"round-{round_}", "p": "p", "n": round_ * 5 + number} for number in range(5)
    ]
    ids, _ = line.publish(events, single=False)
    crowd.until_at(int(ids[-1].rpartition("-")[2]))
    assert crowd.errors() == []
    assert {client.checker.received for client in crowd.clients} == {5}
    crowd.leave(crowd.clients)
    until(lambda: server.clients() == 0)


def test_hang_ups_are_noticed_without_a_publish_or_a_heartbeat(tmp_path: Path) -> None:
    with Hub(tmp_path, STREAM_HEARTBEAT="3600") as server, Crowd(server.host, server.port) as crowd:
        crowd.add(1)
        crowd.until_open()
        alone = server.descriptors()
        leaving = crowd.add(200)
        crowd.until_open()
        assert server.clients() == 201
        assert server.descriptors() >= alone + 200
        crowd.leave(leaving)
        until(lambda: server.clients() == 1 and server.descriptors() <= alone, what=server.clients)
        assert server.metric('hub_streams_ended_total{reason="hung_up"}') == 200
        # Half a hang-up is one, too: the client ends its side and still listens.
        half = socket.create_connection((server.host, server.port))
        half.sendall(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: server.clients() == 2)
        half.shutdown(socket.SHUT_WR)
        until(lambda: server.clients() == 1)
        half.close()


def test_too_many_clients_are_sent_away_in_their_own_way(tmp_path: Path) -> None:
    most = 50
    with (
        Hub(tmp_path, STREAM_MAX_CLIENTS=str(most)) as server,
        Crowd(server.host, server.port) as crowd,
        Publisher(server, "a", pause=0.01) as publisher,
    ):
        inside = crowd.add(most, name="inside")
        crowd.until_open()
        accept = ["Accept: text/event-stream", "Origin: http://localhost:8000"]
        browsers = crowd.add(20, name="browser", headers=accept, resumes=False)
        others = crowd.add(20, name="other", headers=["Accept: */*"], resumes=False)
        until(lambda: all(client.status and client.socket is None for client in (*browsers, *others)))

        assert {client.status for client in browsers} == {200}
        assert {client.head["access-control-allow-origin"] for client in browsers} == {accept[1][8:]}
        assert {client.checker.goodbyes[0][0] for client in browsers} == {"too_many_clients"}
        retries = {client.checker.goodbyes[0][1] for client in browsers}
        assert all(1_000 <= retry <= 600_000 for retry in retries)
        assert len(retries) > 10
        assert {client.status for client in others} == {503}
        assert all(1 <= int(client.head["retry-after"]) <= 600 for client in others)

        crowd.leave(inside[:10])
        until(lambda: server.clients() == most - 10)
        late = crowd.add(10, name="late")
        crowd.until_open(late)
        publisher.stop()
        crowd.until_at(publisher.head, [*inside[10:], *late])
        assert_all_right([publisher], crowd.errors())
        assert all(client.connections == 1 for client in inside[10:])


def test_without_descriptors_accepting_pauses_and_the_rest_continues(tmp_path: Path) -> None:
    with (
        Hub(tmp_path, descriptors=260) as server,
        Crowd(server.host, server.port) as crowd,
        Publisher(server, "a", pause=0.005) as publisher,
    ):
        inside = crowd.add(30, name="inside")
        crowd.until_open()
        connections = [socket.create_connection((server.host, server.port)) for _ in range(400)]
        until(lambda: server.descriptors() >= 255, what=server.descriptors)
        until(lambda: "no file descriptor is left" in server.log, what=lambda: server.log)
        # No connection is answered now; open ones continue.
        here = publisher.head
        until(lambda: publisher.head > here + 200)
        crowd.until_at(here + 200)
        assert asks_in_vain(server)
        for connection in connections:
            connection.close()
        late = crowd.add(5, name="late")
        crowd.until_open(late)
        publisher.stop()
        crowd.until_at(publisher.head)
        assert_all_right([publisher], crowd.errors())
        assert publisher.broken == 0
        assert all(client.connections == 1 for client in inside)


def asks_in_vain(server: Hub) -> bool:
    with socket.create_connection((server.host, server.port)) as connection:
        connection.settimeout(1)
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            return not connection.recv(1)
        except TimeoutError:
            return True


def is_back(client: Client, connections: int) -> bool:
    return client.connections == connections and client.is_open


def test_a_heartbeat_keeps_a_quiet_client_in_the_window(tmp_path: Path) -> None:
    """Events it may see are rare, others frequent: its position must stay within the window."""
    with (
        Hub(tmp_path, STREAM_HEARTBEAT="0.2", STREAM_HISTORY_MAX_EVENTS="200") as server,
        Crowd(server.host, server.port) as crowd,
    ):
        (quiet,) = crowd.add(query="?room=quiet", name="quiet", whole=False)
        crowd.until_open()
        line = Line(server)
        for number in range(3):
            line.publish([{"type": "test", "room": "quiet", "p": "q", "n": number}], single=True)
            for _ in range(20):
                line.publish([{"type": "noise", "room": "loud"}] * 50, single=False)
            _, _, page = server.request("GET", "/api/events?last&limit=1")
            crowd.until_at(split(json.loads(page)["events"][0]["id"])[1], [quiet])
            crowd.cut([quiet])
            until(partial(is_back, quiet, number + 2))
        assert crowd.errors() == []
        assert (quiet.checker.resets, quiet.checker.numbers) == ([], {"q": 2})
