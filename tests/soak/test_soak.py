"""An hour of load with faults at random, and a report: `uv run pytest -m soak -s`.

`SOAK_SECONDS` shortens it, `SOAK_SEED` repeats a run's faults, `SOAK_REPORT` names the report's file. Every event is
numbered and every stream judged, as in tests/faults.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.crowd import Client, Crowd
from tests.faults.publishers import Line, Publisher
from tests.kit.hub import Hub
from tests.kit.process import ROOT
from tests.kit.wait import allowed, let_pass, until

SECONDS = float(os.environ.get("SOAK_SECONDS", "3600"))
SEED = int(os.environ.get("SOAK_SEED", str(random.randrange(1_000_000))))

pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS + 600)]

PAUSES = (0.5, 6.0)
"""Seconds between two faults, from and to."""
GROWTH_KIB = 40 * 1024
"""What memory may grow after the first tenth: its window of recent events fills, up to 32 MB."""
FAKE_AGENT = str(ROOT / "tests" / "streaming_hub" / "agents" / "fake_agent.py")


class Soak:
    """One run: what is there, what was done to it, what was seen."""

    def __init__(self, server: Hub, crowd: Crowd, publishers: list[Publisher]) -> None:
        self.server = server
        self.crowd = crowd
        self.publishers = publishers
        self.chance = random.Random(SEED)
        self.faults: Counter[str] = Counter()
        self.samples: list[tuple[float, int, int, int]] = []
        self.line = Line(server)
        self.quick = crowd.add(20, name="quick", measures=True)
        self.many = crowd.add(100, name="many")
        self.filtered = crowd.add(10, "?room=a", name="filtered", whole=False)
        self.slow = crowd.add(3, name="slow", speed=100_000, window=4096)
        self.stuck = crowd.add(2, name="stuck", speed=0, window=4096)
        self.floods = 0

    def whole(self) -> list[Client]:
        """Return the clients that see everything and read it sooner or later."""
        return [*self.quick, *self.many, *self.slow, *self.stuck]

    def kill_the_server(self) -> None:
        self.server.kill()
        self.server.start()

    def restart_the_server(self) -> None:
        code, seconds = self.server.stop(self.chance.choice([signal.SIGTERM, signal.SIGINT]))
        assert code in (0, 143)
        assert seconds < allowed(10)
        self.server.start()

    def keep_the_server_away(self) -> None:
        self.server.kill()
        let_pass(self.chance.uniform(1, 5))
        self.server.start()

    def freeze_the_server(self) -> None:
        os.kill(self.server.pid, signal.SIGSTOP)
        let_pass(self.chance.uniform(0.2, 3))
        os.kill(self.server.pid, signal.SIGCONT)

    def cut_clients(self) -> None:
        self.crowd.cut(self.chance.sample(self.many, self.chance.randrange(1, len(self.many))))

    def let_strangers_come_and_go(self) -> None:
        strangers = self.crowd.add(200, "?replay=50", name="stranger")
        self.crowd.until_open(strangers)
        assert [error for one in strangers for error in one.checker.errors] == []
        self.crowd.leave(strangers)

    def flood(self) -> None:
        self.floods += 1
        with Publisher(self.server, f"flood {self.floods}", batch=200, size=500, count=4000) as flood:
            flood.finish()
        assert flood.errors == []
        self.publishers.append(flood)

    def publish_again(self) -> None:
        publisher = self.publishers[0]
        first = max(0, len(publisher.ids) - self.chance.randrange(1, 100))
        numbers = range(first, len(publisher.ids))
        ids, known = self.line.publish([publisher.event(number) for number in numbers], single=False)
        assert known == len(ids)
        assert ids == publisher.ids[first : first + len(ids)]

    def let_the_stuck_read(self) -> None:
        for client in self.stuck:
            self.crowd.set_speed(client, None)
        self.crowd.until_at(max(p.head for p in self.publishers), self.stuck)
        for client in self.stuck:
            self.crowd.set_speed(client, 0)

    def kill_the_agent(self) -> None:
        agent = self.server.json("POST", "/api/agent/start", {"mode": "rehearsal", "wait": 15})["pid"]
        os.kill(agent, signal.SIGKILL)

    def harm(self) -> None:
        """Do one thing at random."""
        fault = self.chance.choice(
            [
                self.kill_the_server,
                self.restart_the_server,
                self.keep_the_server_away,
                self.freeze_the_server,
                self.cut_clients,
                self.let_strangers_come_and_go,
                self.flood,
                self.publish_again,
                self.let_the_stuck_read,
                self.kill_the_agent,
            ]
        )
        self.faults[fault.__name__] += 1
        fault()

    def look(self, begun: float) -> None:
        """Note what the server takes."""
        files = sum(path.stat().st_size for path in self.server.database.parent.glob("events.db*"))
        self.samples.append(
            (time.monotonic() - begun, self.server.memory_kib(), self.server.descriptors(), files)
        )

    def finish(self) -> int:
        """Let everybody read to the end; return the last sequence number."""
        for publisher in self.publishers:
            publisher.stop()
        for client in (*self.slow, *self.stuck):
            self.crowd.set_speed(client, None)
        head = int(self.server.metric("hub_history_head"))
        self.crowd.until_at(head, self.whole(), 120)
        return head

    def report(self, head: int) -> str:
        """Return the report as Markdown."""
        latencies = sorted(time for client in self.quick for time in client.latencies or ())
        whole = self.whole()
        lines = [
            f"# Soak: {SECONDS:.0f} s, seed {SEED}",
            "",
            f"- events: {head}, acknowledged to publishers {sum(len(p.ids) for p in self.publishers)}",
            f"- delivered: {sum(client.checker.received for client in self.crowd.clients)}",
            f"- told as missed: {sum(client.checker.missed for client in whole)}",
            f"- connections: {sum(client.connections for client in self.crowd.clients)}",
            f"- requests without an answer: {sum(p.broken for p in self.publishers)}, "
            f"refused: {sum(p.refused for p in self.publishers)}, "
            f"duplicates: {sum(p.duplicates for p in self.publishers)}",
            f"- under way, faults included: median {latencies[len(latencies) // 2] * 1000:.1f} ms, "
            f"p99 {latencies[int(len(latencies) * 0.99)] * 1000:.0f} ms",
            f"- errors: {len(self.crowd.errors())}",
            "",
            "| fault | times |",
            "|---|---|",
            *[f"| {name.replace('_', ' ')} | {count} |" for name, count in sorted(self.faults.items())],
            "",
            "| seconds | memory, MB | descriptors | files, MB |",
            "|---|---|---|---|",
        ]
        step = max(1, len(self.samples) // 30)
        lines += [
            f"| {s:.0f} | {m / 1024:.0f} | {d} | {f / 1e6:.1f} |" for s, m, d, f in self.samples[::step]
        ]
        return "\n".join(lines) + "\n"


def stored_and_told(soak: Soak) -> None:
    """Check that what is still stored is what publishers were told, each under its id."""
    stored = {event["event_id"]: event["id"] for event in soak.server.stored() if "event_id" in event}
    oldest = soak.server.metric("hub_history_oldest")
    for publisher in soak.publishers:
        for number, event_id in enumerate(publisher.ids):
            if int(event_id.rpartition("-")[2]) >= oldest:
                assert stored.pop(publisher.event_id(number)) == event_id
    assert stored == {}


def test_soak(tmp_path: Path) -> None:
    with (
        Hub(tmp_path, agent=[sys.executable, FAKE_AGENT, "ready", "wait"], STREAM_HEARTBEAT="2") as server,
        Crowd(server.host, server.port) as crowd,
        contextlib.ExitStack() as stack,
    ):
        publishers = [
            stack.enter_context(Publisher(server, name, batch=batch, pause=pause))
            for name, batch, pause in (("a", 1, 0.05), ("b", 1, 0.1), ("c", 5, 0.1), ("d", 50, 1.0))
        ]
        soak = Soak(server, crowd, publishers)
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < SECONDS:
                let_pass(soak.chance.uniform(*PAUSES))
                soak.harm()
                soak.look(begun)
                assert crowd.errors() == []
            head = soak.finish()
        finally:
            report = soak.report(max(publisher.head for publisher in publishers))
            place = Path(os.environ.get("SOAK_REPORT", tmp_path / "soak-report.md"))
            place.write_text(report)
            print(f"\n{report}\nwritten to {place}")
        until(lambda: server.metric("hub_queue_events") == 0)
        assert crowd.errors() == []
        for client in soak.whole():
            assert client.checker.received + client.checker.missed == head - client.checker.start
        for client in (*soak.quick, *soak.many):
            assert client.checker.resets == []
        stored_and_told(soak)
        settled = [sample for sample in soak.samples if sample[0] > SECONDS / 10] or soak.samples
        assert max(memory for _, memory, _, _ in settled) - settled[0][1] < GROWTH_KIB
