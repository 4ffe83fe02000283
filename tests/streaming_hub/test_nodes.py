"""Two nodes that are one hub, as clients of both see it. Real processes on a real redis-server.

Covers streaming_hub.agents.hub_agent, streaming_hub.cluster.secret and streaming_hub.stream.shared, too.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.faults.crowd import Crowd
from tests.kit.hub import Hub
from tests.kit.redis_server import RedisServer
from tests.kit.wait import until
from tests.streaming_hub.outlets.webhooks.receiving import receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

FAKE = str(Path(__file__).parent / "agents" / "fake_agent.py")
AGENT = [sys.executable, FAKE, "ready", "drain"]
DATA = "/api/agent/data"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), tcp=True, appendonly="yes")
    yield server
    server.stop()


def made(folder: Path, redis: RedisServer, name: str, prefix: str, **settings: str) -> Hub:
    return Hub(
        folder / name,
        agent=AGENT,
        STREAM_HISTORY=redis.url,
        STREAM_REDIS_PREFIX=prefix,
        STREAM_NODE=name,
        STREAM_ARCHIVE=f"sqlite:///{folder}/archive.db",
        **settings,
    )


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[tuple[Hub, Hub]]:
    """Two nodes that the tests here share."""
    folder = tmp_path_factory.mktemp("nodes")
    private = {"STREAM_WEBHOOK_ALLOW_PRIVATE": "1"}
    with made(folder, redis, "a", "hub", **private) as a, made(folder, redis, "b", "hub", **private) as b:
        yield a, b


def publish(server: Hub, **fields: Any) -> str:
    """Publish one event; return its id."""
    answer: str = server.json("POST", DATA, {"type": "note", **fields})["id"]
    return answer


def calls(redis: RedisServer, command: str) -> int:
    """Return how often the server was sent a command."""
    found = re.search(rf"cmdstat_{command}:calls=(\d+)", redis.call("INFO", "commandstats"))
    return int(found[1]) if found else 0


def test_each_node_names_itself(nodes: tuple[Hub, Hub]) -> None:
    for server, name in zip(nodes, "ab", strict=True):
        assert server.json("GET", "/api/health")["node"] == name
        assert server.json("GET", "/api/health")["history"] == "ok"
        assert f'hub_build_info{{node="{name}"' in server.request("GET", "/metrics")[2].decode()


def test_what_one_acknowledged_the_other_reads_at_once(nodes: tuple[Hub, Hub]) -> None:
    for turn in range(50):
        writer, reader = nodes if turn % 2 else nodes[::-1]
        told = publish(writer, room=f"r{turn}")
        assert reader.json("GET", "/api/events?last=1")["events"][0]["id"] == told
        assert reader.json("GET", f"/api/rooms/r{turn}")["room"] == f"r{turn}"


def test_an_event_id_is_known_on_every_node(nodes: tuple[Hub, Hub]) -> None:
    a, b = nodes
    first = publish(a, event_id="once")
    again = b.json("POST", DATA, [{"type": "note", "event_id": "once"}, {"type": "note"}])
    assert again["ids"][0] == first
    assert again["duplicates"] == 1


def test_a_stream_continues_at_another_node(nodes: tuple[Hub, Hub]) -> None:
    a, b = nodes
    ids = [publish(nodes[turn % 2], turn=turn) for turn in range(6)]
    with Crowd(b.host, b.port) as crowd:
        clients = crowd.add(1, f"?last_event_id={ids[2]}")
        # Just acknowledged elsewhere: this node may not have heard of it.
        newest = crowd.add(1, f"?last_event_id={publish(a)}")
        head = int(publish(a).split("-")[1])
        crowd.until_at(head)
        assert (clients[0].checker.received, newest[0].checker.received) == (5, 1)
        assert not [client.checker.resets for client in crowd.clients if client.checker.resets]
        assert crowd.errors() == []


def test_a_ticket_of_one_node_opens_a_stream_on_another(nodes: tuple[Hub, Hub]) -> None:
    a, b = nodes
    ticket = a.json("POST", "/api/stream/ticket")["ticket"]
    with Crowd(b.host, b.port) as crowd:
        client = crowd.add(1, f"?ticket={ticket}")[0]
        crowd.until_open()
        crowd.until_at(int(publish(a).split("-")[1]))
        assert client.checker.errors == []
        refused = b.request("GET", f"/api/stream?ticket={ticket[:-4]}AAAA")
        assert refused[0] == 401


def test_limits_count_over_all_nodes(redis: RedisServer, tmp_path: Path) -> None:
    limit = {"STREAM_RATE_LIMIT": "6/minute"}
    with (
        made(tmp_path, redis, "a", "limited", **limit) as a,
        made(tmp_path, redis, "b", "limited", **limit) as b,
    ):
        answers = [(a, b)[turn % 2].request("POST", DATA, {"type": "x"}) for turn in range(8)]
        # The window may end in between, but not often.
        statuses = [status for status, _, _ in answers]
        assert statuses == [200] * 6 + [429] * 2, statuses
        assert int(answers[-1][1]["retry-after"]) <= 60


def test_other_settings_are_reported(redis: RedisServer, tmp_path: Path) -> None:
    with (
        made(tmp_path, redis, "a", "differ") as a,
        made(tmp_path, redis, "b", "differ", STREAM_HISTORY_MAX_EVENTS="50"),
    ):
        until(lambda: "other settings" in a.log, 20, what=lambda: a.log)
        assert "STREAM_HISTORY_MAX_EVENTS=50" in a.log


def test_erasing_reaches_the_memory_of_every_node(nodes: tuple[Hub, Hub], redis: RedisServer) -> None:
    a, b = nodes
    secret = "the-words-that-must-be-gone"
    for server in nodes:
        publish(server, room="private", session_id="s-private", text=secret)
    # Both have it in memory and in their states of the rooms.
    for server in nodes:
        assert server.json("GET", "/api/rooms/private")["room"] == "private"
        assert secret in str(server.stored())
    until(lambda: redis.call("EXISTS", "{hub}:lease:archive"), 20)
    assert b.json("DELETE", "/api/rooms/private/events")["erased"] == 2
    for server in nodes:
        assert server.request("GET", "/api/rooms/private")[0] == 404
        assert secret not in str(server.stored())
        # 503 while the archive changes hands.
        until(lambda server=server: server.request("GET", "/api/sessions/s-private")[0] == 404, 20)
    # What memory has is asked for, too: a stream that begins before it reads no further than that.
    with Crowd(a.host, a.port) as crowd:
        crowd.add(1, "?replay=1000", name="replay", whole=False)
        crowd.until_open()
        crowd.until_at(int(publish(a).split("-")[1]))
        assert crowd.errors() == []
    files = [path for path in redis.folder.rglob("*") if path.is_file()]
    until(lambda: not [path for path in files if path.exists() and secret.encode() in path.read_bytes()], 30)


def test_an_erasure_says_that_a_node_did_not_confirm_it(redis: RedisServer, tmp_path: Path) -> None:
    with (
        made(tmp_path, redis, "a", "stuck") as a,
        made(tmp_path, redis, "b", "stuck") as b,
    ):
        publish(a, room="private")
        until(lambda: len(b.stored()) == 1, 20)
        until(lambda: redis.call("ZCARD", "{stuck}:nodes") == 2, 20)
        os.kill(b.pid, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(a.ask, "DELETE", "/api/rooms/private/events")
                until(lambda: redis.call("ZSCORE", "{stuck}:acts", "a"), 20)
                # The erasure asks for the nodes fifty times a second while it waits; a sign of life asks once.
                asked = calls(redis, "zrange")
                until(lambda: calls(redis, "zrange") >= asked + 3, 20)
                # As if it had been silent for long: it may be slow all the same, and still hold the events.
                redis.call("ZREM", "{stuck}:nodes", "b")
                status, headers, body = answer.result()
            assert (status, "retry-after" in headers) == (503, True), body
            assert b"not confirmed by b" in body
        finally:
            os.kill(b.pid, signal.SIGCONT)
        assert a.json("DELETE", "/api/rooms/private/events")["erased"] == 0
        until(lambda: b.request("GET", "/api/rooms/private")[0] == 404, 20)


def test_the_archive_has_one_writer_and_many_readers(nodes: tuple[Hub, Hub]) -> None:
    for number in range(10):
        nodes[number % 2].json(
            "POST",
            DATA,
            [
                {"type": kind, "session_id": f"call-{number}", "room": "calls"}
                for kind in ("session_started", "session_ended")
            ],
        )
    for server in nodes:

        def ended(server: Hub = server) -> bool:
            found = server.json("GET", "/api/sessions?room=calls")["sessions"]
            return sorted(one["session_id"] for one in found if one["state"] == "ended") == [
                f"call-{number}" for number in range(10)
            ]

        until(ended, 30, what=lambda server=server: server.log)
    reports = [
        event for event in nodes[0].stored() if event["type"] == "session_report" and event["room"] == "calls"
    ]
    until(
        lambda: (
            len([e for e in nodes[0].stored() if e["type"] == "session_report" and e["room"] == "calls"])
            == 10
        ),
        30,
        what=lambda: reports,
    )


def test_a_webhook_made_on_one_node_gets_the_events_of_both_and_is_managed_on_any(
    nodes: tuple[Hub, Hub],
) -> None:
    a, b = nodes
    with receiver() as got:
        wanted = {"url": got.url, "types": ["*"], "rooms": ["hooked"]}
        status, _, body = a.request("POST", "/api/webhooks", wanted)
        assert status == 201, body
        made = json.loads(body)
        for number in range(10):
            publish(nodes[number % 2], room="hooked", n=number)
        until(lambda: len(got.ids) >= 10, 30, what=lambda: a.log + b.log)
        assert [one.event["data"]["n"] for one in got.got[:10]] == list(range(10))
        assert [one["id"] for one in b.json("GET", "/api/webhooks")["webhooks"]] == [made["id"]]
        # The other node delivers now, each event once more or less: no event is left out, in order.
        for number in range(10, 20):
            publish(nodes[number % 2], room="hooked", n=number)
        until(lambda: got.got[-1].event["data"]["n"] == 19, 30, what=lambda: a.log + b.log)
        assert list(dict.fromkeys(one.event["data"]["n"] for one in got.got)) == list(range(20))
        path = f"/api/webhooks/{made['id']}/deliveries"
        assert len(a.json("GET", path)["deliveries"]) == 20
        assert b.request("DELETE", "/api/rooms/hooked/events")[0] == 200
        assert a.json("GET", path)["deliveries"] == []
        assert b.request("DELETE", f"/api/webhooks/{made['id']}")[0] == 204


def test_a_lease_renewed_anywhere_keeps_a_session_and_one_node_ends_it(nodes: tuple[Hub, Hub]) -> None:
    a, b = nodes
    publish(a, type="session_started", session_id="leased", room="l", lease=2)
    until_at = time.monotonic() + 5
    while time.monotonic() < until_at:
        answer = b.request(
            "POST", "/api/agent/lease", {"sessions": [{"session_id": "leased", "room": "l"}], "lease": 2}
        )
        assert answer[0] == 200, answer
        time.sleep(0.3)

    def ends() -> list[dict[str, Any]]:
        return [e for e in a.stored() if e["type"] == "session_ended" and e.get("session_id") == "leased"]

    assert ends() == []
    until(ends, 30)
    assert [event["reason"] for event in ends()] == ["lease_expired"]
    time.sleep(1.5)
    assert len(ends()) == 1


def test_one_agent_for_the_whole_hub(nodes: tuple[Hub, Hub]) -> None:
    a, b = nodes
    started = a.json("POST", "/api/agent/start", {"mode": "rehearsal", "room": "r", "wait": 20})
    assert (started["node"], started.get("already_running")) == ("a", None)
    again = b.json("POST", "/api/agent/start", {"mode": "rehearsal", "room": "r"})
    assert (again["node"], again["already_running"], again["pid"]) == ("a", True, started["pid"])
    until(lambda: b.json("GET", "/api/agent/status")["state"] == "ready", 20)
    status = b.json("GET", "/api/agent/status")
    assert (status["node"], status["pid"], status["mode"], status["room"]) == (
        "a",
        started["pid"],
        "rehearsal",
        "r",
    )
    stopped = b.json("POST", "/api/agent/stop")
    assert stopped["state"] == "stopped"
    assert a.json("GET", "/api/agent/status")["state"] == "stopped"
    elsewhere = b.json("POST", "/api/agent/start", {"mode": "rehearsal", "wait": 20})
    assert elsewhere["node"] == "b"
    assert a.json("POST", "/api/agent/stop")["state"] == "stopped"


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_another_node_takes_the_agent_over(redis: RedisServer, tmp_path: Path, how: str) -> None:
    with made(tmp_path, redis, "a", how) as a, made(tmp_path, redis, "b", how) as b:
        a.json("POST", "/api/agent/start", {"mode": "rehearsal", "room": "kept", "wait": 20})
        a.json("POST", DATA, {"type": "note"})
        until(lambda: redis.call("ZCARD", f"{{{how}}}:nodes") == 2, 20)
        begun = time.monotonic()
        if how == "killed":
            a.kill()
        else:
            a.stop()

        def taken_over() -> bool:
            status = b.json("GET", "/api/agent/status")
            return status["node"] == "b" and status["state"] == "ready"

        until(taken_over, 30, what=lambda: b.log)
        took = time.monotonic() - begun
        assert took < 30
        status = b.json("GET", "/api/agent/status")
        assert (status["mode"], status["room"]) == ("rehearsal", "kept")
        assert b.json("POST", "/api/agent/stop")["state"] == "stopped"
        # `stop` means stop: no node starts it again.
        time.sleep(3)
        assert b.json("GET", "/api/agent/status")["state"] == "stopped"


def test_what_the_server_must_be_is_said_at_the_start(redis: RedisServer, tmp_path: Path) -> None:
    secret = "pass-word"
    server = Hub(tmp_path / "x", STREAM_HISTORY=f"redis://:{quote(secret)}@127.0.0.1:{redis.port}/0")
    assert server.spawn().wait() == 2
    assert "password" in server.log
    assert secret not in server.log
