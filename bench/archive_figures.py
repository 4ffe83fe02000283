"""What the archive costs and how quick it is: `uv run python -m bench.archive_figures [--part NAME]`.

    scale      lists, filters, search, one session, statistics over many sessions (SQLite)
    keep-up    events as fast as the archive has to follow, and bursts: how far it falls behind
    publish    paired runs with the archive on and off, alternating: how long publishing takes, how late events arrive;
               the hub, the publisher and the reader have one core, the archive's process another (`--shared`: all of
               them share what there is)
    meanwhile  paired runs with queries over many sessions and without: how late events arrive while the archive works

Prints one line of JSON for each figure. Run it on a quiet machine: whatever else runs is in the figures.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import requests

from streaming_hub.archive.feed import Archive
from streaming_hub.archive.messages import Page
from streaming_hub.archive.store import Store
from streaming_hub.archive.tables import ARCHIVE
from streaming_hub.sidecar.database import Database
from streaming_hub.sidecar.process import Process
from tests.kit.proc import children, cpu, resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
START: Final = 1_793_000_000
MONTH: Final = 30 * 86_400
TURNS: Final = 10
ME: Final = (sys.executable, "-m", "bench.archive_figures")
CORES: Final = os.sched_getaffinity(0)
PARTS: Final = ("scale", "keep-up", "publish", "meanwhile")
WORDS: Final = [f"word{number}" for number in range(5000)]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def tell(name: str, **figures: Any) -> None:
    """Print a figure."""
    print(json.dumps({"figure": name, **figures}), flush=True)


def quantile(values: list[float], share: float) -> float:
    """Return a quantile by nearest rank."""
    return sorted(values)[max(0, -(-int(share * 1000) * len(values) // 1000) - 1)]


def events_of(rng: random.Random, number: int, at: float) -> Iterator[dict[str, Any]]:
    """Yield a session's events: ten turns, twenty utterances."""
    common = {"session_id": f"s{number:06}", "room": f"room-{number % 500}"}
    user = {"role": "user", "participant": f"user-{number % 3000}", **common}
    agent = {"role": "agent", "participant": "agent", **common}
    yield {"type": "session_started", "timestamp": at, "agent_name": f"agent-{number % 7}", **common}
    for turn in range(TURNS):
        name = {"turn_id": f"t{turn}"}
        at += 4
        # Word 0 is common, word 4999 rare.
        said = " ".join(WORDS[int(5000 * rng.random() ** 3)] for _ in range(8))
        yield {"type": "user_speech_finished", "timestamp": at, **user, **name}
        yield {"type": "transcript", "timestamp": at, "text": said, **user, **name}
        yield {"type": "agent_speech_started", "timestamp": at + rng.random(), **agent, **name}
        yield {"type": "transcript", "timestamp": at + 2, "text": said[::-1], **agent, **name}
        yield {
            "type": "turn_metrics", "timestamp": at + 2, "e2e_latency": rng.random() * 3, "llm_node_ttft": rng.random(),
            "tts_node_ttfb": rng.random(), **agent, **name,
        }  # fmt: skip
    yield {"type": "session_ended", "timestamp": at + 4, "reason": "participant_disconnected", **common}


def fill(path: Path, sessions: int) -> None:
    """Write many sessions, spread over a month."""
    rng = random.Random(1)
    database = Database(f"sqlite:///{path}", ARCHIVE)
    database.open()
    store = Store(database, recordings=True)
    store.begin_epoch("bench", 0)
    began, seq, lines = time.perf_counter(), 0, []
    for number in range(sessions):
        for event in events_of(rng, number, START + MONTH * number / sessions):
            seq += 1
            lines.append(_encode({"id": f"bench-{seq}", **event}))
        if len(lines) >= 2000 or number == sessions - 1:
            store.write(Page("bench", seq - len(lines), seq, float(START), lines))
            lines = []
    took = time.perf_counter() - began
    database.close()
    tell(
        "fill",
        sessions=sessions,
        events=seq,
        per_second=round(seq / took),
        megabytes=path.stat().st_size >> 20,
    )


def scale(sessions: int) -> None:
    """Measure queries over many sessions."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "archive.db", sessions)
        config = {"url": f"sqlite:///{folder}/archive.db", "max_age": 0, "recordings": True}
        process = Process(config, worker=Archive.WORKER, name=Archive.NAME)
        process.ask("open", None, begin=30)
        rng = random.Random(2)

        def session() -> dict[str, Any]:
            return {
                "session_id": f"s{rng.randrange(sessions):06}",
                "room": None,
                "allowed": None,
                "operator": True,
            }

        def hours(count: int, first: int) -> dict[str, Any]:
            return {"since": first, "until": first + count * 3600, "bucket": "hour", "operator": True}

        day = [START // 3600 * 3600]

        def next_day() -> dict[str, Any]:
            day[0] += 86_400
            return hours(24, day[0])

        asked: dict[str, tuple[str, Callable[[], Any], int]] = {
            "list": ("sessions", dict, 50),
            "list by p95 of heard latency": ("sessions", lambda: {"sort": "heard_latency"}, 50),
            "filter by room and time": (
                "sessions",
                lambda: {"room": [f"room-{rng.randrange(500)}"], "since": START + rng.random() * MONTH},
                50,
            ),
            "filter by participant": (
                "sessions",
                lambda: {"participant": [f"user-{rng.randrange(3000)}"]},
                50,
            ),
            "search, any word": ("sessions", lambda: {"q": WORDS[int(5000 * rng.random() ** 3)]}, 100),
            "search, the commonest word": ("sessions", lambda: {"q": WORDS[0]}, 20),
            "search, two words": ("sessions", lambda: {"q": " ".join(rng.sample(WORDS[:500], 2))}, 50),
            "one session": ("session", session, 100),
            "a day by the hour, fresh": ("stats", next_day, 20),
            "a month by the hour, fresh": ("stats", lambda: hours(720, START // 3600 * 3600), 1),
            "a month by the hour, stored": ("stats", lambda: hours(720, START // 3600 * 3600), 10),
        }
        for name, (what, arguments, times) in asked.items():
            took = []
            for _ in range(times):
                ready = arguments()
                began = time.perf_counter()
                process.ask(what, ready)
                took.append((time.perf_counter() - began) * 1000)
            tell(
                name, p50_ms=round(quantile(took, 0.5), 1), p95_ms=round(quantile(took, 0.95), 1), times=times
            )
        tell("memory of the archive's process", megabytes=round(resident(process.pid) / 1024))
        process.close()


def keep_apart(hub: Hub, *others: int) -> None:
    """Give the hub and this process a core of their own, and the hub's sidecars and others the next one.

    Args:
        hub: a running one.
        others: ids of processes that shall not disturb the hub.

    Raises:
        SystemExit: there is only one core.
    """
    cores = sorted(CORES)
    if len(cores) < 2:
        raise SystemExit("this part needs two cores; run it with --shared")
    for pid in (os.getpid(), hub.process.pid):
        _pin(pid, cores[0])
    for pid in (*children(hub.process.pid), *others):
        _pin(pid, cores[1])


def _pin(pid: int, core: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


class Hub:
    """A real server in a folder of its own.

    Args:
        archive: STREAM_ARCHIVE; empty for the default.
        settings: others.
    """

    def __init__(self, archive: str, **settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name) / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "flask_server.py"), "--port", "0"],
                cwd=self._folder.name, stdout=log, stderr=log,
                env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
                | ({"STREAM_ARCHIVE": archive} if archive else {}) | settings,
            )  # fmt: skip
        while "http://127.0.0.1:" not in self._log.read_text():
            time.sleep(0.05)
        port = self._log.read_text().partition("http://127.0.0.1:")[2].partition("/")[0]
        self.url = f"http://127.0.0.1:{port}"
        while requests.get(f"{self.url}/api/health", timeout=10).json()["archive"] == "away":
            time.sleep(0.05)

    def behind(self) -> float:
        """Return how many events wait to be archived."""
        for line in requests.get(f"{self.url}/metrics", timeout=30).text.splitlines():
            if line.startswith("hub_archive_behind "):
                return float(line.split()[1])
        return 0.0

    def end(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self._folder.cleanup()


def post(hub: Hub, rate: float, seconds: float, batch: int) -> list[float]:
    """Post at a rate; return how long each request took, ms."""
    rng, took = random.Random(3), []
    queues = [events_of(rng, number, time.time()) for number in range(100)]
    count = 100
    client = requests.Session()
    began, sent = time.perf_counter(), 0
    while sent < rate * seconds:
        lines = []
        for _ in range(batch):
            place = rng.randrange(len(queues))
            event = next(queues[place], None)
            while event is None:
                queues[place] = events_of(rng, count, time.time())
                count += 1
                event = next(queues[place], None)
            lines.append(_encode(event | {"timestamp": time.time()}))
        body = b"[" + b",".join(lines) + b"]"
        wait = began + sent / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        before = time.perf_counter()
        answer = client.post(
            f"{hub.url}/api/agent/data",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=30,
        )
        took.append((time.perf_counter() - before) * 1000)
        assert answer.status_code == 200, answer.text
        sent += batch
    tell("posted", wanted_per_second=rate, per_second=round(sent / (time.perf_counter() - began)))
    return took


def keep_up() -> None:
    """Measure how far the archive falls behind."""
    for name, rate, seconds in (
        ("5,000 events/s for 20 s", 5000, 20),
        ("60,000 events at 20,000/s", 20_000, 3),
    ):
        hub = Hub("")
        seen: list[float] = []
        over = threading.Event()

        def look(hub: Hub = hub, seen: list[float] = seen, over: threading.Event = over) -> None:
            while not over.wait(0.25):
                seen.append(hub.behind())

        watcher = threading.Thread(target=look)
        watcher.start()
        post(hub, rate, seconds, 200)
        ended = time.perf_counter()
        while hub.behind():
            time.sleep(0.05)
        caught_up = time.perf_counter() - ended
        over.set()
        watcher.join()
        tell(name, most_behind=max(seen, default=0), caught_up_after_s=round(caught_up, 2))
        tell("memory of the hub", megabytes=round(resident(hub.process.pid) / 1024))
        hub.end()


def arrivals(hub: Hub, late: list[float], over: threading.Event) -> None:
    """Read transcripts from the stream, and note how late they arrive, ms."""
    client = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=60)
    client.request("GET", "/api/stream?type=transcript")
    answer, rest = client.getresponse(), b""
    while not over.is_set():
        data = answer.read1(65_536)
        now = time.time()
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        events = [_decode(line[5:]) for line in lines if line.startswith(b"data:")]
        late += [(now - event["timestamp"]) * 1000 for event in events if event["type"] == "transcript"]
    client.close()


def publish(pairs: int, *, shared: bool) -> None:
    """Compare publishing at 1,000 events/s with the archive on and off.

    Args:
        pairs: of runs.
        shared: whether the archive's process may run on the hub's core.
    """
    found: dict[str, list[list[float]]] = {"on": [], "off": []}
    streams: dict[str, list[list[float]]] = {"on": [], "off": []}
    memory: dict[str, list[int]] = {"on": [], "off": []}
    used: dict[str, list[float]] = {"on": [], "off": []}
    for pair in range(pairs):
        for state in ("on", "off") if pair % 2 else ("off", "on"):
            hub = Hub("" if state == "on" else "off")
            if not shared:
                keep_apart(hub)
            late: list[float] = []
            over = threading.Event()
            reader = threading.Thread(target=arrivals, args=(hub, late, over), daemon=True)
            reader.start()
            time.sleep(0.5)
            before = cpu(hub.process.pid)
            took = post(hub, 1000, 10, 10)
            used[state].append((cpu(hub.process.pid) - before) / 10_000 * 1e6)
            over.set()
            found[state].append(took[len(took) // 5 :])
            streams[state].append(late[len(late) // 5 :])
            memory[state].append(resident(hub.process.pid))
            hub.end()
    for name, runs, share in (
        ("publishing, mean", found, None),
        ("publishing, p99", found, 0.99),
        ("stream, p99", streams, 0.99),
    ):
        values = {
            state: [statistics.fmean(run) if share is None else quantile(run, share) for run in runs[state]]
            for state in runs
        }
        ratios = [on / off for on, off in zip(values["on"], values["off"], strict=True)]
        tell(
            name,
            on_ms=[round(one, 3) for one in values["on"]],
            off_ms=[round(one, 3) for one in values["off"]],
            median_ratio=round(statistics.median(ratios), 3),
        )
    tell(
        "CPU of the hub's process per event, us",
        **{state: [round(one, 1) for one in used[state]] for state in used},
        median_ratio=round(
            statistics.median(on / off for on, off in zip(used["on"], used["off"], strict=True)), 3
        ),
    )
    tell(
        "memory of the hub, MB",
        **{state: [round(one / 1024, 1) for one in memory[state]] for state in memory},
    )


def meanwhile(sessions: int, pairs: int, seconds: float, kept: Path | None) -> None:
    """Compare how late events arrive while the archive answers one query after the other, and while it is left alone.

    One hub serves both runs of a pair, so that nothing but the queries differs.

    Args:
        sessions: how many the archive has.
        pairs: of runs.
        seconds: of a run.
        kept: an archive that a former run has filled, or where to fill one; None for one that is removed.
    """
    late: dict[str, list[float]] = {"queries": [], "none": []}
    asked = 0
    with tempfile.TemporaryDirectory() as folder:
        path = kept or Path(folder) / "archive.db"
        if not path.exists():
            fill(path, sessions)
        # What is a month old would be removed meanwhile.
        hub = Hub(f"sqlite:///{path}", STREAM_ARCHIVE_MAX_AGE="0")
        arrived: list[float] = []
        over = threading.Event()
        reader = threading.Thread(target=arrivals, args=(hub, arrived, over), daemon=True)
        reader.start()
        post(hub, 1000, seconds, 10)
        for pair in range(pairs):
            for state in ("queries", "none") if pair % 2 else ("none", "queries"):
                questions = Questions(hub.url, sessions, pair) if state == "queries" else None
                arrived.clear()
                post(hub, 1000, seconds, 10)
                late[state].append(quantile(arrived[len(arrived) // 10 :], 0.99))
                tell("stream, p99, one run", state=state, ms=round(late[state][-1], 2), events=len(arrived))
                if questions is not None:
                    asked += questions.end()
                while hub.behind():
                    time.sleep(0.1)
        over.set()
        hub.end()
    ratios = [queries / none for queries, none in zip(late["queries"], late["none"], strict=True)]
    tell(
        "stream, p99, while the archive answers",
        queries_ms=[round(one, 2) for one in late["queries"]],
        none_ms=[round(one, 2) for one in late["none"]],
        ratios=[round(one, 2) for one in ratios],
        median_ratio=round(statistics.median(ratios), 3),
        answers=asked,
        load_average=[round(one, 2) for one in os.getloadavg()],
    )


class Questions:
    """A process that asks a hub for a cold month, searches and lists, one after the other, until it is ended."""

    def __init__(self, url: str, sessions: int, seed: int) -> None:
        self._process = subprocess.Popen(
            [*ME, "--ask", url, "--sessions", str(sessions), "--seed", str(seed)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def end(self) -> int:
        """End it; return how many answers it had."""
        self._process.send_signal(signal.SIGTERM)
        told, _ = self._process.communicate(timeout=60)
        return int(told.split()[-1])


def keep_asking(url: str, sessions: int, seed: int) -> None:
    """Ask until SIGTERM; then print how many answers there were."""
    rng, client, answers = random.Random(seed), requests.Session(), 0
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    while not over.is_set():
        # A filter that was not used before and lets every session through: no stored result fits.
        everyone = [("agent", f"agent-{number}") for number in range(7)]
        fresh = [*everyone, ("agent", f"cold-{rng.random()}")]
        month = [
            ("from", START // 3600 * 3600),
            ("to", START // 3600 * 3600 + MONTH),
            ("bucket", "hour"),
            *fresh,
        ]
        for path, query in (
            ("/api/stats", month),
            ("/api/sessions", [("q", WORDS[0])]),
            ("/api/sessions", [("q", " ".join(rng.sample(WORDS[:500], 2)))]),
            ("/api/sessions", [("sort", "-heard_latency"), ("limit", 200)]),
            (f"/api/sessions/s{rng.randrange(sessions):06}", []),
        ):
            answer = client.get(f"{url}{path}", params=query, timeout=60)
            answer.raise_for_status()
            answers += 1
            if over.is_set():
                break
    print(answers)


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sessions", type=int, default=50_000, help="sessions of `scale`, of 20 utterances each"
    )
    parser.add_argument(
        "--pairs", type=int, default=5, help="pairs of runs of the parts `publish` and `meanwhile`"
    )
    parser.add_argument("--seconds", type=float, default=10, help="length of one run of the part `meanwhile`")
    parser.add_argument(
        "--archive", type=Path, help="file of the part `meanwhile`, filled where it is missing, and kept"
    )
    parser.add_argument("--shared", action="store_true", help="let the hub and the archive share all cores")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--ask", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        keep_asking(options.ask, options.sessions, options.seed)
        return
    parts = options.part or PARTS
    if "scale" in parts:
        scale(options.sessions)
    if "keep-up" in parts:
        keep_up()
    if "publish" in parts:
        publish(options.pairs, shared=options.shared)
    if "meanwhile" in parts:
        meanwhile(options.sessions, options.pairs, options.seconds, options.archive)


if __name__ == "__main__":
    main()
