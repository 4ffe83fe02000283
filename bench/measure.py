"""What is measured: the scenarios, one run of one, and the figures of many.

A scenario is run against a server that was started for it alone, so that memory and caches are not shared.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import toolchain
from peers import SERVER_CORE, Peer, Server

if TYPE_CHECKING:
    from collections.abc import Iterable

LOAD_CORE = 1
PACE = {10: 100.0, 100: 100.0, 1000: 30.0, 5000: 5.0, 10000: 5.0}
"""Events a second in the paced runs, by number of clients: within what every peer can deliver."""

Sample: TypeAlias = dict[str, object]
"""One line of the load generator (see bench/README.md)."""


@dataclass(frozen=True)
class Scenario:
    """One thing to do to a server.

    Attributes:
        name: "closed", "paced", "single", "ingest", "crowd", "page" or "empty".
        clients: Open streams.
        events: Events to publish.
        rate: POSTs a second; 0: each as soon as the last one is answered.
        batch: Events a POST.
        probe: Ask the health endpoint all the while.
        pinned: Server on one core, load on the other.
        publish: Path that replaces the peer's own for posting.
        settle: Seconds between the last connect and the first event.
    """

    name: str
    clients: int
    events: int
    rate: float = 0.0
    batch: int = 1
    probe: bool = False
    pinned: bool = True
    publish: str = ""
    settle: float = 1.0

    @property
    def key(self) -> tuple[str, int, int]:
        """The values that distinguish this scenario within a run."""
        return (self.name, self.clients, self.batch)

    def options(self) -> list[str]:
        """Return the load generator's options."""
        words = ["--clients", str(self.clients), "--events", str(self.events), "--settle", str(self.settle)]
        words += [
            "--rate",
            str(self.rate),
            "--batch",
            str(self.batch),
            "--warmup",
            "5",
            "--max-seconds",
            "20",
        ]
        words += ["--core", str(LOAD_CORE)] if self.pinned else []
        words += ["--probe", "/api/health"] if self.probe else []
        return words + (["--publish", self.publish] if self.publish else [])


class LoadError(RuntimeError):
    """The load generator could not do its work."""


def run_once(peer: Peer, scenario: Scenario) -> Sample:
    """Start the peer, put the load on it, end it.

    Returns:
        The load generator's figures; `ok` is false if events were lost, doubled, mixed or out of order.

    Raises:
        LoadError: If the load generator could not reach the server or ended without figures.
        StartError: If the server did not come up.
    """
    core = SERVER_CORE if scenario.pinned else None
    with Server(peer, core=core) as server:
        pids = ",".join(map(str, server.pids()))
        command = [str(toolchain.build("load")), "--port", str(server.port), "--pids", pids, *peer.options]
        done = subprocess.run([*command, *scenario.options()], capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise LoadError(f"{scenario.name} with {scenario.clients} clients: {done.stderr.strip()}")
    if done.stderr:
        sys.stderr.write(done.stderr)
    sample: Sample = json.loads(done.stdout)
    return sample


def pick(sample: Sample, path: str) -> float:
    """Return a figure by its dotted path, such as "latency_ms.p99"."""
    value: object = sample
    for name in path.split("."):
        if not isinstance(value, dict):
            raise KeyError(path)
        value = value[name]
    if not isinstance(value, (int, float)):
        raise TypeError(f"{path} is not a number: {value!r}")
    return float(value)


@dataclass(frozen=True)
class Spread:
    """The median of some figures, and how far they lie apart."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of the values, or None if there are none."""
        known = list(values)
        return cls(statistics.median(known), min(known), max(known)) if known else None


@dataclass
class Results:
    """All samples of a run, by peer and scenario (name, clients, batch), in the order of the rounds."""

    samples: dict[tuple[str, str, int, int], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)

    def add(self, peer: Peer, scenario: Scenario, sample: Sample) -> None:
        """Note one sample."""
        self.samples[(peer.key, *scenario.key)].append(sample)

    def figures(self, peer: str, scenario: str, clients: int, path: str, batch: int = 1) -> list[float]:
        """Return one figure of each round; empty if that was not measured."""
        return [pick(sample, path) for sample in self.samples.get((peer, scenario, clients, batch), [])]

    def sizes(self, peer: str, scenario: str) -> list[int]:
        """Return the numbers of clients that were measured."""
        return sorted({key[2] for key in self.samples if key[:2] == (peer, scenario)})

    def violations(self, peer: str) -> list[str]:
        """Return what went wrong for a peer: lost, doubled, mixed or reordered events."""
        kinds = ("missing", "duplicated", "reordered", "corrupt", "closed", "refused", "probe_failures")
        found = []
        for (name, scenario, clients, _batch), samples in self.samples.items():
            counts = {kind: int(sum(pick(sample, kind) for sample in samples)) for kind in kinds}
            if name == peer and any(counts.values()):
                told = ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)
                found.append(f"{scenario} with {clients} clients: {told}")
        return found


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Return ours / theirs for each round.

    The figures of one round were taken within seconds of each other: a slow spell of the machine met both.
    """
    return [a / b for a, b in zip(ours, theirs, strict=False) if b]
