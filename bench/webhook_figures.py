"""What webhooks cost and how quick they are: `uv run python -m bench.webhook_figures [--part NAME]`.

    stream   paired runs with and without a webhook that gets every event, alternating: deliveries/s, and how late the
             live stream is; the hub, the publisher and the reader have one core, deliveries and receivers another
             (`--shared`: all of them share what there is)
    dead     1,000 endpoints, of which 900 are dead in six ways: how late the events are at the living ones
    cost     CPU of the steps of delivering an event to 1,000 endpoints (SQLite), in this process

Prints one line of JSON for each figure, with the load average. The exit code is 1 if one is over its limit. Run it on a
quiet machine: hub, receivers, publisher and reader share it, and whatever else runs is in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests

from bench import webhook_receivers
from bench.archive_figures import ROOT, Hub, arrivals, keep_apart, quantile, resident, tell
from streaming_hub.outlets.webhooks import log, signing
from streaming_hub.outlets.webhooks.endpoints import DELIVERED, Endpoint, Secret
from streaming_hub.outlets.webhooks.messages import Ended, Line, Page, Tried
from streaming_hub.outlets.webhooks.sender import Sender
from streaming_hub.outlets.webhooks.store import Store
from streaming_hub.outlets.webhooks.tables import WEBHOOKS
from streaming_hub.sidecar.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streaming_hub.outlets.webhooks.messages import Queued

RATE: Final = 300
"""Events per second, each one delivery."""
BATCH: Final = 3
ROOMS: Final = 50
MOST_RATIO: Final = 1.2
LEAST_RATE: Final = 0.98 * RATE
ENDPOINTS: Final = 1000
LIVING: Final = 100
MOST_LATE: Final = 1.0
"""Seconds after the event, p99 of the living endpoints."""
AT_A_TIME: Final = 100
"""Requests at a time of the part `cost`."""
WARM_UP: Final = 0.2
"""Share of a run that is left out."""

Got = dict[str, list[tuple[int, float]]]


@contextmanager
def receivers() -> Iterator[tuple[dict[str, int], int]]:
    """Run the receivers in a process of their own; give their ports, and its id."""
    command = [sys.executable, "-m", "bench.webhook_receivers"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline()), process.pid
        process.kill()


def create(client: requests.Session, hub: Hub, url: str) -> None:
    """Make a webhook."""
    body = {"url": url, "types": ["transcript"]}
    answer = client.post(f"{hub.url}/api/webhooks", json=body, timeout=60)
    assert answer.status_code == 201, answer.text


def publish(hub: Hub, rate: float, seconds: float, batch: int) -> int:
    """Post numbered transcripts at a rate; return how many."""
    client, sent, begun = requests.Session(), 0, time.perf_counter()
    while sent < rate * seconds:
        wait = begun + sent / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        now = time.time()
        events = [
            {
                "type": "transcript", "timestamp": now, "sent": now, "number": sent + place,
                "room": f"room-{(sent + place) % ROOMS}", "role": "user", "participant": "alice",
                "text": "Could you move my appointment to Thursday afternoon, please?",
            }
            for place in range(batch)
        ]  # fmt: skip
        answer = client.post(f"{hub.url}/api/agent/data", json=events, timeout=30)
        assert answer.status_code == 200, answer.text
        sent += batch
    return sent


def arrived(ports: dict[str, int], count: int, seconds: float = 60.0) -> Got:
    """Wait until this many deliveries have arrived, and return them all; fewer where they take too long."""
    until = time.monotonic() + seconds
    while True:
        got: Got = requests.get(webhook_receivers.url(ports, "living", "/got"), timeout=60).json()
        if sum(map(len, got.values())) >= count or time.monotonic() > until:
            return got
        time.sleep(0.2)


def lateness(got: Got) -> list[float]:
    """Return how late events were, seconds, those of the first event first."""
    return [
        late
        for _, late in sorted((place, one[1]) for events in got.values() for place, one in enumerate(events))
    ]


def stream(pairs: int, seconds: float, *, shared: bool) -> bool:
    """Compare the stream's p99 with and without a webhook; return whether it is within the limits.

    Args:
        pairs: of runs.
        seconds: of a run.
        shared: whether deliveries and receivers may run on the hub's core.
    """
    late: dict[str, list[float]] = {"with": [], "without": []}
    hooks: list[float] = []
    rates: list[float] = []
    memory: list[int] = []
    lost = 0
    for pair in range(pairs):
        for state in ("with", "without") if pair % 2 else ("without", "with"):
            hub = Hub("", STREAM_WEBHOOK_ALLOW_PRIVATE="1")
            with receivers() as (ports, pid):
                if state == "with":
                    create(requests.Session(), hub, webhook_receivers.url(ports, "living", "/hook"))
                if not shared:
                    keep_apart(hub, pid)
                found: list[float] = []
                over = threading.Event()
                reader = threading.Thread(target=arrivals, args=(hub, found, over), daemon=True)
                reader.start()
                time.sleep(1.0)
                begun = time.time()
                count = publish(hub, RATE, seconds, BATCH)
                over.set()
                late[state].append(quantile(found[int(len(found) * WARM_UP) :], 0.99))
                if state == "with":
                    got = arrived(ports, count).get("/hook", [])
                    lost += count - len({number for number, _ in got})
                    rates.append(len(got) / (time.time() - begun))
                    hooks.append(quantile([one[1] for one in got[int(len(got) * WARM_UP) :]], 0.99) * 1000)
                    memory.append(resident(hub.process.pid))
                hub.end()
    ratios = [one / other for one, other in zip(late["with"], late["without"], strict=True)]
    ratio = statistics.median(ratios)
    tell(
        f"stream p99 with a webhook that gets {RATE} events/s, ms",
        with_ms=[round(one, 2) for one in late["with"]],
        without_ms=[round(one, 2) for one in late["without"]],
        median_ratio=round(ratio, 3),
        most=MOST_RATIO,
        deliveries_per_second=[round(one) for one in rates],
        webhook_p99_ms=[round(one, 1) for one in hooks],
        lost=lost,
        hub_megabytes=round(max(memory) / 1024),
        load_average=load(),
    )
    return (
        ratio <= MOST_RATIO and not lost and statistics.median(rates) >= LEAST_RATE * seconds / (seconds + 1)
    )


def dead(seconds: float) -> bool:
    """Measure how late the living endpoints among dead ones are; return whether that is within the limit."""
    hub = Hub("", STREAM_WEBHOOK_ALLOW_PRIVATE="1")
    with receivers() as (ports, _):
        client = requests.Session()
        kinds = webhook_receivers.DEAD
        begun = time.perf_counter()
        for number in range(ENDPOINTS - LIVING):
            create(client, hub, webhook_receivers.url(ports, kinds[number % len(kinds)], f"/{number}"))
        for number in range(LIVING):
            create(client, hub, webhook_receivers.url(ports, "living", f"/{number}"))
        made = time.perf_counter() - begun
        # By the first event the hub finds out which are dead.
        publish(hub, 1, 1, 1)
        first = lateness(arrived(ports, LIVING))
        time.sleep(2)
        count = publish(hub, 1, seconds, 1)
        late = lateness(arrived(ports, (1 + count) * LIVING))[LIVING:]
        process = requests.get(f"{hub.url}/metrics", timeout=30).text
        hub_memory = resident(hub.process.pid)
        hub.end()
    p99 = quantile(late, 0.99)
    tell(
        f"{ENDPOINTS} endpoints, {ENDPOINTS - LIVING} of them dead, an event a second",
        p50_ms=round(quantile(late, 0.5) * 1000),
        p99_ms=round(p99 * 1000),
        most_ms=round(MOST_LATE * 1000),
        worst_ms=round(max(late) * 1000),
        first_event_p99_ms=round(quantile(first, 0.99) * 1000),
        lost=count * LIVING - len(late),
        attempts=figure(process, "hub_webhooks_attempts_total"),
        pending=figure(process, "hub_webhooks_pending"),
        endpoints_made_per_second=round(ENDPOINTS / made),
        hub_megabytes=round(hub_memory / 1024),
        load_average=load(),
    )
    return p99 <= MOST_LATE and len(late) == count * LIVING


def cost(rounds: int = 10) -> bool:
    """Measure what an event to 1,000 endpoints costs, step by step."""
    used: dict[str, list[float]] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        used.setdefault(what, []).append((time.process_time() - begun) * 1000)

    with tempfile.TemporaryDirectory() as folder, receivers() as (ports, _):
        database = Database(f"sqlite:///{Path(folder) / 'outlets.db'}", WEBHOOKS)
        database.open()
        store = Store(database, disable_after=86_400.0)
        store.begin_epoch("bench", 0)
        url = webhook_receivers.url(ports, "living", "/hook")
        keys = [Secret(signing.make_secret())]
        names = [f"wh_{number:016x}" for number in range(ENDPOINTS)]
        for name in names:
            store.save(Endpoint(id=name, url=url, types=["*"], secrets=keys, created=1.0, after=0))
        slots = {name: log.Slots((), 1) for name in names}
        for number in range(1, rounds + 1):
            event = {"id": f"bench-{number}", "type": "transcript", "room": "a", "text": "Thursday? " * 20}
            line = Line(seq=number, at=time.time(), hidden=False, data=json.dumps(event).encode())
            page = Page(store.version, "bench", number - 1, number, [line])
            with timed("an event is stored for each"):
                fresh = store.take(page).fresh
            with timed("what is due is loaded (only of endpoints that do not keep up)"):
                assert len(log.due(database, slots, time.time())) == ENDPOINTS
            queued = {name: lanes["a"][0] for name, lanes in fresh.items()}
            with timed("each is signed, sent and answered"):
                asyncio.run(_send_all(queued, url, keys))
            outcomes: list[Tried | Ended] = []
            for name, one in queued.items():
                attempt = {"at": 1.0, "status": 200, "duration": 0.1, "answer": "", "error": None}
                outcomes.append(Tried(name, "a", one.id, one.size, DELIVERED, [attempt], None))
                outcomes.append(Ended(name, "a"))
            with timed("the outcomes are written"):
                store.record(outcomes)
            with timed("it is found that nothing is due"):
                log.due(database, slots, time.time())
        database.close()
    for what, found in used.items():
        tell(f"CPU, {ENDPOINTS} endpoints: {what}", ms=round(statistics.median(found), 1))
    return True


async def _send_all(queued: dict[str, Queued], url: str, keys: Sequence[Secret]) -> None:
    sender = Sender(allow_private=True)
    secrets = [one.secret for one in keys]

    async def send(one: Queued) -> None:
        headers = signing.headers(one.event_id, one.body, secrets, time.time())
        assert (await sender.send(url, one.body, headers)).status == 200

    for start in range(0, len(queued), AT_A_TIME):
        await asyncio.gather(*map(send, list(queued.values())[start : start + AT_A_TIME]))
    await sender.close()


def figure(text: str, name: str) -> float:
    """Return one of the hub's metrics."""
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def load() -> list[float]:
    """Return the load averages of 1, 5 and 15 minutes."""
    return [round(one, 1) for one in os.getloadavg()]


def main() -> int:
    """Run the parts that are asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs of the part `stream`")
    parser.add_argument("--seconds", type=float, default=20, help="how long a run publishes")
    parser.add_argument(
        "--shared", action="store_true", help="let the hub and the deliveries share all cores"
    )
    parser.add_argument("--part", choices=("stream", "dead", "cost"), action="append")
    options = parser.parse_args()
    parts: dict[str, Any] = {
        "stream": lambda: stream(options.pairs, options.seconds, shared=options.shared),
        "dead": lambda: dead(options.seconds),
        "cost": cost,
    }
    results = [parts[name]() for name in options.part or parts]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
