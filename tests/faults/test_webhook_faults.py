"""Webhooks among crashes, dead receivers and names that change: real processes and sockets."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from bench import webhook_receivers
from tests.faults.load import ROOMS, Load, seq
from tests.kit.hub import Hub
from tests.kit.process import ROOT, free_port, needs_proc
from tests.kit.redis_server import RedisServer
from tests.streaming_hub.outlets.webhooks.hub import LOCAL, WebhookHub, note, webhook_pid
from tests.streaming_hub.outlets.webhooks.receiving import Receiver, receiver
from tests.streaming_hub.web.api.archiving import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SECONDS = 90.0
"""How long to wait for what must happen."""
KILLS = 6
ENDPOINTS = 1000
LIVING = 100
ROUNDS = 6


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., WebhookHub]]:
    hubs: list[WebhookHub] = []

    def begin(port: int | None = None, before: Sequence[str] = (), **settings: str) -> WebhookHub:
        hubs.append(WebhookHub(tmp_path, port=port, before=before, **(LOCAL | settings)))
        return hubs[-1].start()

    yield begin
    for hub in hubs:
        hub.kill()


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def numbered(number: int) -> dict[str, Any]:
    return note(f"r{number % ROOMS}", number)


def stored(folder: Path, name: str) -> tuple[int, set[int], int]:
    """What a killed hub has left: the position, which events are deliveries, and how many were counted as missed."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "outlets.db", timeout=20)) as db:
        place = db.execute("SELECT seq FROM webhook_position").fetchone()[0]
        rows = db.execute("SELECT event_id FROM webhook_deliveries WHERE endpoint = ?", (name,)).fetchall()
        missed = db.execute("SELECT missed FROM webhook_endpoints WHERE id = ?", (name,)).fetchone()[0]
    return place, {seq(row[0]) for row in rows}, missed


def check_order(hook: Receiver) -> None:
    """Check that no event of a room arrived for the first time after a newer one."""
    for number in range(ROOMS):
        arrived = [seq(got.id) for got in list(hook.got) if got.event["data"]["room"] == f"r{number}"]
        first = list(dict.fromkeys(arrived))
        assert first == sorted(first), f"r{number} is out of order"


@needs_proc
def test_kills_at_random_moments_lose_nothing_and_keep_the_order_of_each_room(
    start: Callable[..., WebhookHub], hook: Receiver, tmp_path: Path
) -> None:
    port = free_port()
    chance = random.Random(os.urandom(8))
    hub = start(port)
    name = hub.create(hook.url, types=["note"])["id"]
    load = Load(hub.url, numbered)
    try:
        for turn in range(KILLS):
            time.sleep(chance.uniform(0.2, 0.9))
            if turn % 3 == 0:
                os.kill(webhook_pid(hub), signal.SIGKILL)
                continue
            # The hub alone: its process sees the line close. Or both, in the middle of whatever they do.
            if turn % 3 == 1:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(webhook_pid(hub), signal.SIGKILL)
            hub.kill()
            known = set(map(seq, list(load.acknowledged)))
            place, delivered, missed = stored(tmp_path, name)
            lacking = {one for one in known if one <= place} - delivered
            assert not lacking, f"the position is {place}, and {sorted(lacking)[:5]} are no deliveries"
            assert missed == 0
            hub = start(port)
    finally:
        sent = load.end(SECONDS)
    assert len(sent) > 50
    eventually(lambda: set(sent) - set(hook.ids), set(), SECONDS)
    check_order(hook)
    assert hub.one(name)["missed"] == 0
    eventually(lambda: hub.deliveries(name, "?state=pending"), [], SECONDS)


def test_another_node_delivers_once_the_one_that_did_is_killed(hook: Receiver, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path, tcp=True, appendonly="yes")
    settings = {
        **LOCAL,
        "STREAM_HISTORY": redis.url,
        "STREAM_ARCHIVE": f"sqlite:///{tmp_path}/archive.db",
    }
    try:
        with Hub(tmp_path / "a", **settings) as a, Hub(tmp_path / "b", **settings) as b:
            wanted = {"url": hook.url, "types": ["note"]}
            # Whichever node is asked delivers.
            status, _, body = a.request("POST", "/api/webhooks", wanted)
            assert status == 201, body
            sent = a.json("POST", "/api/agent/data", [note("r0", -1)])["ids"]
            eventually(lambda: hook.ids, sent, SECONDS)
            load = Load(b.url, numbered)
            try:
                time.sleep(2)
                a.kill()
                killed = len(load.acknowledged)
                eventually(lambda: len(load.acknowledged) > killed + 100, wanted=True, seconds=SECONDS)
            finally:
                sent += load.end(SECONDS)
            eventually(lambda: set(sent) - set(hook.ids), set(), SECONDS)
            check_order(hook)
            (found,) = b.json("GET", "/api/webhooks")["webhooks"]
            assert found["missed"] == 0
    finally:
        redis.stop()


@pytest.fixture
def crowd() -> Iterator[dict[str, int]]:
    """Quick and dead receivers in a process of their own; gives their ports."""
    command = [sys.executable, "-m", "bench.webhook_receivers"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.kill()


def test_nine_hundred_dead_endpoints_cost_the_living_ones_nothing(
    start: Callable[..., WebhookHub], crowd: dict[str, int]
) -> None:
    hub = start(STREAM_WEBHOOK_RETRIES="1,1,2,4,8,16,32,64,128")
    session = requests.Session()

    def create(kind: str, path: str) -> str:
        body = {"url": webhook_receivers.url(crowd, kind, path), "types": ["note"]}
        answer = session.post(f"{hub.url}/api/webhooks", json=body, timeout=SECONDS)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    dead = [
        create(webhook_receivers.DEAD[number % len(webhook_receivers.DEAD)], f"/{number}")
        for number in range(ENDPOINTS - LIVING)
    ]
    living = [create("living", f"/{number}") for number in range(LIVING)]
    for number in range(ROUNDS):
        hub.publish(note(f"r{number % 2}", number, sent=time.time()))
        time.sleep(1)
    place = webhook_receivers.url(crowd, "living", "/got")

    def arrived() -> dict[str, list[list[float]]]:
        return dict(session.get(place, timeout=SECONDS).json())

    got = eventually(arrived, lambda got: sum(map(len, got.values())) >= LIVING * ROUNDS, SECONDS)
    assert set(got) == {f"/{number}" for number in range(LIVING)}
    for events in got.values():
        for room in (0, 1):
            assert [one[0] for one in events if one[0] % 2 == room] == list(range(room, ROUNDS, 2))
    late = [one[1] for events in got.values() for one in events]
    # How late on a quiet machine is measured by bench/webhook_figures.py; a dead one's 15 s would show here.
    assert sorted(late)[len(late) * 9 // 10] < 15
    states = {name: {one["state"] for one in hub.deliveries(name)} for name in (*dead[:12], *living[:3])}
    assert {state for name in living[:3] for state in states[name]} == {"delivered"}
    assert {state for name in dead[:12] for state in states[name]} == {"pending"}
    assert hub.one(dead[0])["missed"] == 0


def test_a_receiver_that_accepts_and_dies_gets_the_rest_once_it_is_back(
    start: Callable[..., WebhookHub],
) -> None:
    hub = start(STREAM_WEBHOOK_RETRIES=",".join(["0.3"] * 60))
    port = free_port()
    requests_seen: list[str] = []

    def accept_one(answer: bytes) -> None:
        """Take one request, answer, and close everything."""
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(SECONDS)
            connection, _ = server.accept()
        with connection:
            connection.settimeout(SECONDS)
            data = b""
            while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < length(data):
                data += connection.recv(65_536)
            requests_seen.append(json.loads(data.partition(b"\r\n\r\n")[2])["data"]["id"])
            connection.sendall(answer)

    name = hub.create(f"http://127.0.0.1:{port}/", types=["note"])["id"]
    ids = hub.publish(note("a", 1), note("a", 2))
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    # An answer that breaks off is none, whatever its status: the event is sent again.
    accept_one(whole[:-1])
    accept_one(whole)
    eventually(lambda: [one["state"] for one in hub.deliveries(name)], ["pending", "delivered"], SECONDS)
    time.sleep(0.5)
    accept_one(whole)
    eventually(lambda: [one["state"] for one in hub.deliveries(name)], ["delivered"] * 2, SECONDS)
    assert requests_seen == [ids[0], ids[0], ids[1]]


def length(data: bytes) -> int:
    head = data.partition(b"\r\n\r\n")[0].lower()
    return int(head.partition(b"content-length:")[2].split(b"\r\n")[0])


PRIVATE = [
    "127.0.0.1",
    "10.0.0.8",
    "169.254.169.254",
    "100.64.1.1",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
]


def test_a_name_that_changes_to_a_private_address_is_not_connected_to(
    start: Callable[..., WebhookHub], hook: Receiver, tmp_path: Path
) -> None:
    table = tmp_path / "names"
    folders = os.pathsep.join((str(ROOT / "tests/faults/resolving"), str(ROOT)))

    def means(**names: str) -> None:
        draft = table.with_suffix(".new")
        draft.write_text("".join(f"{name}.example {address}\n" for name, address in names.items()))
        draft.replace(table)

    means(hook="8.8.8.8", **{f"n{number}": address for number, address in enumerate(PRIVATE)})
    variables = ("env", f"PYTHONPATH={folders}", f"RESOLVING={table}")
    hub = start(before=variables, STREAM_WEBHOOK_ALLOW_PRIVATE="0")
    port = hook.url.rpartition(":")[2]
    for number, address in enumerate(PRIVATE):
        answer = hub.ask("POST", "", {"url": f"https://n{number}.example:{port}/"})
        assert (answer.status_code, answer.json()["field"]) == (422, "url"), address
        assert "STREAM_WEBHOOK_ALLOW_PRIVATE" in answer.json()["detail"]
    name = hub.create(f"https://hook.example:{port}/", types=["note"])["id"]
    means(hook="127.0.0.1")
    hub.publish(note("a", 1))
    (delivery,) = eventually(
        lambda: hub.deliveries(name), lambda found: found and len(found[0]["attempts"]) > 1, SECONDS
    )
    assert {one["status"] for one in delivery["attempts"]} == {None}
    assert all("127.0.0.1 is a loopback address" in one["error"] for one in delivery["attempts"])
    answer = hub.ask("PATCH", f"/{name}", {"url": f"https://hook.example:{port}/other"})
    assert (answer.status_code, answer.json()["field"]) == (422, "url")
    assert hub.one(name)["url"] == f"https://hook.example:{port}/"
    assert hub.ask("POST", f"/{name}/test").json()["status"] is None
    assert hook.got == []
