"""What several nodes on one Redis cost, beside Centrifugo on the same Redis and beside one node with SQLite.

    uv run --extra redis python -m bench.redis_figures [--rounds N] [--only NAME ...]

    across     publish on one node, stream from another: latency, CPU of nodes and Redis per delivery
    single     one POST after the other at a fixed rate: CPU of one node on Redis, and on SQLite
    spread     CPU per delivery of two nodes, beside one node with SQLite at the same load
    model      one, two and four nodes: what the sum of the costs predicts, and what is measured
    outage     Redis away for a while under thousands of clients: how soon all is as before

Prints one line of JSON for each figure, then a table with its limit. Servers share core 0, the load has core 1. The
exit code is 1 if a figure is over its limit. Run it on a quiet machine: whatever else runs is in the figures; the load
average is in the first line. Needs redis-server, a C compiler, and `centrifugo` on PATH to compare with.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

BENCH: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))

import peers  # noqa: E402 - a script beside this one
import toolchain  # noqa: E402

from tests.faults.crowd import Crowd  # noqa: E402
from tests.kit import proc  # noqa: E402
from tests.kit.process import free_port  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = BENCH.parent
SERVER_CORE, LOAD_CORE = 0, 1
RATES: Final = {1: (50, 500), 100: (50, 500), 1000: (20, 240)}
"""Events a second, and how many, by number of clients."""
SINGLE: Final = (200, 2000)
MODEL: Final = ((1, 200, 25), (2, 200, 25), (4, 200, 25), (2, 600, 10), (4, 0, 100))
"""Nodes, clients (all at the last node), events a second."""


def tell(name: str, **figures: Any) -> None:
    """Print a figure."""
    print(json.dumps({"figure": name, **figures}), flush=True)


class Process:
    """A server in a process group of its own; a context manager."""

    def __init__(self, command: Sequence[str], port: int, folder: Path, **environment: str) -> None:
        self.port = port
        self.pid = 0
        self._command = list(command)
        self._folder = folder
        self._environment = peers.clean_environment() | environment

    def __enter__(self) -> Process:
        """Start it, and wait until it listens."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log, peers.pinned(SERVER_CORE):
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise RuntimeError((self._folder / "log").read_text(errors="replace")[-2000:])

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.killpg(self.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):  # the stronger signal is next
                self._process.wait(15)
                return

    def cpu(self) -> float:
        """Return the seconds of CPU that it and its children have used."""
        return sum(map(proc.cpu, peers.family(self.pid)))

    def memory_kb(self) -> int:
        """Return its resident memory."""
        return proc.resident(self.pid)


class Redis(Process):
    """redis-server, with an append-only file as the guide says."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
        ]
        super().__init__(command, port, folder)

    def ask(self, *words: str) -> bytes:
        """Send a command; return the first 64 KiB of what is answered."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as sock:
            sock.sendall(" ".join(words).encode() + b"\r\n")
            return sock.recv(65536)

    def sent_bytes(self) -> int:
        """Return how many bytes it has sent to its clients."""
        return int(self.ask("INFO", "stats").split(b"total_net_output_bytes:")[1].split()[0])


def hub(folder: Path, history: str, name: str = "one") -> Process:
    """Return a node; the archive is off, for the others have none."""
    port = free_port()
    return Process(
        [sys.executable, str(ROOT / "flask_server.py"), "--port", str(port)],
        port,
        folder / name,
        PYTHONPATH=str(ROOT),
        STREAM_HISTORY=history,
        STREAM_NODE=name,
        STREAM_ARCHIVE="off",
        STREAM_MAX_CLIENTS="12000",
        STREAM_HOST="127.0.0.1",
    )


def centrifugo(folder: Path, redis: Redis, name: str) -> Process:
    """Return a node of Centrifugo, with a history from which clients resume."""
    port = free_port()
    (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "http_server": {"address": "127.0.0.1", "port": port},
        "client": {"insecure": True},
        "http_api": {"key": peers.CENTRIFUGO_KEY},
        "uni_sse": {"enabled": True},
        "engine": {"type": "redis", "redis": {"address": f"redis://127.0.0.1:{redis.port}"}},
        "channel": {
            "without_namespace": {
                "allow_subscribe_for_client": True,
                "allow_subscribe_for_anonymous": True,
                "history_size": 1000,
                "history_ttl": "600s",
            }
        },
    }
    config = folder / name / "config.json"
    config.write_text(json.dumps(settings))
    return Process(["centrifugo", "--config", str(config)], port, folder / name, GOMAXPROCS="1")


class Load:
    """One run of the load generator.

    Attributes:
        sample: its own figures.
        per_delivery: microseconds of CPU for each delivery, by server ("hub", "redis").
        per_post: the same for each POST.
    """

    def __init__(
        self,
        subscribe: Process,
        publish: Process,
        servers: dict[str, list[Process]],
        *,
        clients: int,
        rate: float,
        events: int,
        options: Sequence[str] = (),
    ) -> None:
        pids = [pid for group in servers.values() for one in group for pid in peers.family(one.pid)]
        words = [
            *("--port", subscribe.port, "--publish-port", publish.port, "--pids", ",".join(map(str, pids))),
            *("--clients", clients, "--events", events, "--rate", rate, "--warmup", 5, "--core", LOAD_CORE),
            *("--settle", 1, *options),
        ]
        before = {name: sum(one.cpu() for one in group) for name, group in servers.items()}
        done = subprocess.run(
            [str(toolchain.build("load")), *map(str, words)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"the load generator: {done.stderr} {done.stdout}")
        used = {name: sum(one.cpu() for one in group) - before[name] for name, group in servers.items()}
        self.sample: dict[str, Any] = json.loads(done.stdout)
        # The generator counts the CPU of all from the first event to the last; who used how much of it is known for
        # the whole run alone.
        total, whole = self.sample["cpu_s"], max(sum(used.values()), 1 / proc.TICK)
        timed = self.sample["latency_ms"]["count"] or 1
        self.seconds = self.sample["elapsed_s"]
        self.cpu = {name: total * share / whole for name, share in used.items()}
        self.per_delivery = {name: cpu * 1e6 / timed for name, cpu in self.cpu.items()}
        self.per_post = {name: cpu * 1e6 / self.sample["published"] for name, cpu in self.cpu.items()}


class Figures:
    """All figures by name; a table at the end."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = defaultdict(list)
        self.rows: list[tuple[str, str, str, bool | None]] = []

    def add(self, name: str, value: float) -> None:
        """Note a figure of one round."""
        self.values[name].append(value)

    def median(self, name: str) -> float | None:
        """Return the median over the rounds."""
        return statistics.median(self.values[name]) if self.values[name] else None

    def row(self, name: str, unit: str, limit: float | None = None, why: str = "") -> None:
        """Add a line to the table."""
        value = self.median(name)
        if value is None:
            return
        told = "" if limit is None else f"<= {limit:.3g} {unit}{f' ({why})' if why else ''}"
        self.rows.append((name, f"{value:.3g} {unit}", told, None if limit is None else value <= limit))

    def show(self) -> bool:
        """Print the table; return whether all limits hold."""
        width = max(len(row[0]) for row in self.rows)
        for name, value, limit, good in self.rows:
            verdict = {None: "", True: "ok", False: "MISSED"}[good]
            print(f"{name:<{width}}  {value:>12}  {verdict:<6}  {limit}")
        return all(good is not False for _, _, _, good in self.rows)


def across(figures: Figures, folder: Path, rounds: int) -> None:
    """Publish on one node and stream from another."""
    kinds = ["hub", *(["centrifugo"] if shutil.which("centrifugo") else [])]
    for turn in range(rounds):
        for kind in kinds if turn % 2 else kinds[::-1]:
            place = folder / f"across-{turn}-{kind}"
            with Redis(place / "redis") as redis, contextlib.ExitStack() as stack:
                if kind == "hub":
                    url = f"redis://127.0.0.1:{redis.port}/0"
                    first, second = (stack.enter_context(hub(place, url, name)) for name in "ab")
                    options: Sequence[str] = ()
                else:
                    first, second = (stack.enter_context(centrifugo(place, redis, name)) for name in "ab")
                    options = peers.CENTRIFUGO.options
                for clients, (rate, events) in RATES.items():
                    servers = {"hub": [first, second], "redis": [redis]}
                    load = Load(
                        second, first, servers, clients=clients, rate=rate, events=events, options=options
                    )
                    p50 = load.sample["latency_ms"]["p50"]
                    cpu = sum(load.per_delivery.values())
                    tell(
                        f"across {kind}",
                        clients=clients,
                        rate=rate,
                        p50_ms=p50,
                        p99_ms=load.sample["latency_ms"]["p99"],
                        us_per_delivery={name: round(value, 2) for name, value in load.per_delivery.items()},
                    )
                    figures.add(f"{kind}: p50 at {clients}", p50)
                    figures.add(f"{kind}: CPU per delivery at {clients}", cpu)
    for clients in RATES:
        theirs = figures.median(f"centrifugo: p50 at {clients}")
        figures.row(f"centrifugo: p50 at {clients}", "ms")
        figures.row(f"hub: p50 at {clients}", "ms", theirs, "Centrifugo's")
        theirs = figures.median(f"centrifugo: CPU per delivery at {clients}")
        figures.row(f"centrifugo: CPU per delivery at {clients}", "us")
        limit = None if theirs is None or clients == 1 else 0.7 * theirs
        figures.row(f"hub: CPU per delivery at {clients}", "us", limit, "0.7 x Centrifugo's")


def single(figures: Figures, folder: Path, rounds: int) -> None:
    """Publish one event after the other, to one node with one client."""
    rate, events = SINGLE
    for turn in range(rounds):
        for kind in ("sqlite", "redis") if turn % 2 else ("redis", "sqlite"):
            place = folder / f"single-{turn}-{kind}"
            with contextlib.ExitStack() as stack:
                servers: dict[str, list[Process]] = {}
                url = f"sqlite:///{place}/events.db"
                place.mkdir(parents=True)
                if kind == "redis":
                    redis = stack.enter_context(Redis(place / "redis"))
                    servers["redis"] = [redis]
                    url = f"redis://127.0.0.1:{redis.port}/0"
                node = stack.enter_context(hub(place, url))
                load = Load(node, node, {"hub": [node], **servers}, clients=1, rate=rate, events=events)
                tell(
                    f"single {kind}",
                    us_per_post={name: round(value, 1) for name, value in load.per_post.items()},
                    p50_ms=load.sample["latency_ms"]["p50"],
                )
                figures.add(f"{kind}: hub's CPU per POST", load.per_post["hub"])
                if kind == "redis":
                    figures.add("redis: Redis's CPU per POST", load.per_post["redis"])
    sqlite = figures.median("sqlite: hub's CPU per POST")
    figures.row("sqlite: hub's CPU per POST", "us")
    figures.row("redis: hub's CPU per POST", "us", None if sqlite is None else 1.5 * sqlite, "1.5 x SQLite's")
    figures.row("redis: Redis's CPU per POST", "us")


def spread(figures: Figures, folder: Path, rounds: int) -> None:
    """Serve the same clients by one node with SQLite, and by the second of two nodes."""
    for clients in (100, 1000):
        rate, events = RATES[clients]
        for turn in range(rounds):
            for kind in ("one node", "two nodes") if turn % 2 else ("two nodes", "one node"):
                place = folder / f"spread-{clients}-{turn}-{kind.replace(' ', '-')}"
                place.mkdir(parents=True)
                with contextlib.ExitStack() as stack:
                    if kind == "one node":
                        first = second = stack.enter_context(hub(place, f"sqlite:///{place}/events.db"))
                        servers: dict[str, list[Process]] = {"hub": [first]}
                    else:
                        redis = stack.enter_context(Redis(place / "redis"))
                        url = f"redis://127.0.0.1:{redis.port}/0"
                        first, second = (stack.enter_context(hub(place, url, name)) for name in "ab")
                        servers = {"hub": [first, second], "redis": [redis]}
                    load = Load(second, first, servers, clients=clients, rate=rate, events=events)
                cpu = sum(load.per_delivery.values())
                tell(
                    f"spread {kind}",
                    clients=clients,
                    rate=rate,
                    us_per_delivery={name: round(value, 2) for name, value in load.per_delivery.items()},
                    p50_ms=load.sample["latency_ms"]["p50"],
                )
                figures.add(f"{kind}: CPU per delivery at {clients}", cpu)
        one = figures.median(f"one node: CPU per delivery at {clients}")
        figures.row(f"one node: CPU per delivery at {clients}", "us")
        figures.row(
            f"two nodes: CPU per delivery at {clients}",
            "us",
            None if one is None else 1.1 * one,
            "1.1 x one node's",
        )


def model(figures: Figures, folder: Path, rounds: int) -> None:
    """Measure the parts of the cost, predict the sum for other numbers of nodes, and measure that."""
    shares = [_run_model(folder / f"model-{turn}", *MODEL[0]) for turn in range(rounds)]
    following = [_run_model(folder / f"following-{turn}", 2, 200, 25) for turn in range(rounds)]
    publishing = [_run_model(folder / f"publishing-{turn}", 1, 0, 100) for turn in range(rounds)]

    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    idle_hub = middle([run["idle_hub"] for run in shares])
    idle_redis = middle([run["idle_redis"] for run in shares])
    publish_hub = middle([(run["hub"] - idle_hub) / 100 for run in publishing])
    publish_redis = middle([(run["redis"] - idle_redis) / 100 for run in publishing])
    deliver = middle([(run["hub"] - idle_hub - 25 * publish_hub) / (25 * 200) for run in shares])
    follow_hub = middle(
        [(run["hub"] - 2 * idle_hub - 25 * publish_hub - 5000 * deliver) / 25 for run in following]
    )
    follow_redis = middle([(run["redis"] - 2 * idle_redis - 25 * publish_redis) / 25 for run in following])
    costs = {
        "a node, idle: hub (share of a core)": idle_hub,
        "a node, idle: Redis (share of a core)": idle_redis,
        "a published event: hub (us)": publish_hub * 1e6,
        "a published event: Redis (us)": publish_redis * 1e6,
        "each further node, per event: hub (us)": max(0.0, follow_hub) * 1e6,
        "each further node, per event: Redis (us)": max(0.0, follow_redis) * 1e6,
        "a delivery: hub (us)": deliver * 1e6,
        "a client: hub (KiB)": middle([run["client_kb"] for run in shares]),
        "a node: hub (MiB)": middle([run["node_mb"] for run in shares]),
        "a published event: sent by Redis (bytes)": middle([run["sent"] for run in publishing]),
    }
    for name, value in costs.items():
        tell("cost", what=name, value=round(value, 4))
    for nodes, clients, rate in MODEL[1:]:
        runs = [
            _run_model(folder / f"check-{nodes}-{clients}-{turn}", nodes, clients, rate)
            for turn in range(rounds)
        ]
        measured = middle([run["hub"] + run["redis"] for run in runs])
        predicted = nodes * (idle_hub + idle_redis) + rate * (
            publish_hub
            + publish_redis
            + (nodes - 1) * (max(0.0, follow_hub) + max(0.0, follow_redis))
            + clients * deliver
        )
        tell(
            "check",
            nodes=nodes,
            clients=clients,
            rate=rate,
            predicted_core=round(predicted, 4),
            measured_core=round(measured, 4),
            measured_hub=round(middle([run["hub"] for run in runs]), 4),
            measured_redis=round(middle([run["redis"] for run in runs]), 4),
        )
        figures.add(
            f"model: {nodes} nodes, {clients} clients, {rate}/s: measured / predicted", measured / predicted
        )
        figures.row(f"model: {nodes} nodes, {clients} clients, {rate}/s: measured / predicted", "x")


def _run_model(place: Path, nodes: int, clients: int, rate: int) -> dict[str, float]:
    """Run nodes with all clients at the last one, events posted to the first; return shares of a core and bytes."""
    with Redis(place / "redis") as redis, contextlib.ExitStack() as stack:
        url = f"redis://127.0.0.1:{redis.port}/0"
        running = [stack.enter_context(hub(place, url, f"n{number}")) for number in range(nodes)]
        servers = {"hub": running, "redis": [redis]}
        time.sleep(2)
        before, begun = (sum(one.cpu() for one in running), redis.cpu()), time.monotonic()
        time.sleep(4)
        passed = time.monotonic() - begun
        idle = [(sum(one.cpu() for one in running) - before[0]) / passed, (redis.cpu() - before[1]) / passed]
        memory, sent = running[-1].memory_kb(), redis.sent_bytes()
        events = max(100, rate * 8)
        load = Load(running[-1], running[0], servers, clients=clients, rate=rate, events=events)
        sent = redis.sent_bytes() - sent
        return {
            "idle_hub": idle[0] / nodes,
            "idle_redis": idle[1] / nodes,
            "hub": load.cpu["hub"] / load.seconds,
            "redis": load.cpu["redis"] / load.seconds,
            "client_kb": load.sample["rss_kb"]["per_client"] if clients else 0.0,
            "node_mb": memory / 1024,
            "sent": sent / events,
        }


def outage(figures: Figures, folder: Path, rounds: int, clients: int, seconds: float) -> None:
    """Take Redis away under many clients, and see how soon all is as before."""
    for turn in range(rounds):
        place = folder / f"outage-{turn}"
        with contextlib.ExitStack() as stack:
            redis = stack.enter_context(Redis(place / "redis"))
            url = f"redis://127.0.0.1:{redis.port}/0"
            nodes = [stack.enter_context(hub(place, url, name)) for name in "ab"]
            crowds = [stack.enter_context(Crowd("127.0.0.1", node.port)) for node in nodes]
            for crowd in crowds:
                crowd.add(clients // 2, name="client")
                crowd.until_open()
            _until_posted(nodes[0])
            os.killpg(redis.pid, signal.SIGKILL)
            redis.__exit__()
            time.sleep(seconds)
            with redis:
                while redis.ask("PING") != b"+PONG\r\n":
                    time.sleep(0.01)
                back = time.monotonic()
                # A client that was cut off comes back at the same time as the rest.
                stormers = crowds[1].clients[: clients // 10]
                crowds[1].cut(stormers)
                seq = max(_until_posted(node) for node in nodes)
                publishing = time.monotonic() - back
                for crowd in crowds:
                    crowd.until_at(seq)
                whole = time.monotonic() - back
                wrong = [error for crowd in crowds for error in crowd.errors()]
                resets = [client for crowd in crowds for client in crowd.clients if client.checker.resets]
            if wrong or resets:
                raise RuntimeError(f"lost, doubled or misordered: {wrong[:5]}, {len(resets)} resets")
        tell(
            "outage",
            clients=clients,
            away=seconds,
            publishing_s=round(publishing, 3),
            all_at_head_s=round(whole, 3),
        )
        figures.add(f"outage: publishing again, {clients} clients", publishing)
        figures.add(f"outage: every client at the head, {clients} clients", whole)
    figures.row(f"outage: publishing again, {clients} clients", "s", 2.0)
    figures.row(f"outage: every client at the head, {clients} clients", "s", 2.0)


def _until_posted(node: Process) -> int:
    """Publish until it is accepted; return the number."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
        try:
            connection.request(
                "POST",
                "/api/agent/data",
                b'{"type":"x"}',
                {"Content-Type": "application/json", "Host": "localhost"},
            )
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                return int(json.loads(body)["id"].rpartition("-")[2])
        finally:
            connection.close()
        time.sleep(0.02)


def machine() -> dict[str, Any]:
    """Return what ran, and on what."""
    versions = {}
    for program in ("redis-server", "centrifugo"):
        if found := shutil.which(program):
            words = [found, "version"] if program == "centrifugo" else [found, "--version"]
            versions[program] = subprocess.run(
                words, capture_output=True, text=True, check=False
            ).stdout.split("\n")[0]
    return {"cores": os.cpu_count(), "load_average": os.getloadavg()[0], **versions}


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for everything, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="redis-figures-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=("across", "single", "spread", "model", "outage"))
    parser.add_argument("--clients", type=int, default=5000, help="of the outage")
    parser.add_argument("--away", type=float, default=30.0, help="seconds of the outage")
    asked = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    figures = Figures()
    tell("machine", **machine())
    chosen = asked.only or ("across", "single", "spread", "model", "outage")
    with scratch() as folder:
        for name in chosen:
            if name == "outage":
                outage(figures, folder, 1, asked.clients, asked.away)
            else:
                {"across": across, "single": single, "spread": spread, "model": model}[name](
                    figures, folder, asked.rounds
                )
    return 0 if figures.show() else 1


if __name__ == "__main__":
    sys.exit(main())
