"""Measure the project beside its peers: `uv run bench/run.py`, or `--quick` for about a minute.

Starts each server in turn on loopback, puts the load on it, prints a table, and writes results.json and the
plots into docs/benchmarks/. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import goals
import measure
import peers
import plot
import report
import toolchain
from measure import Results, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peers import Peer

OUTPUT = toolchain.BENCH.parent / "docs" / "benchmarks"
MANY = 10_000


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Repeats of everything.
        sizes: Numbers of clients.
        deliveries: Of a closed loop run, about.
        paced_seconds: Length of a paced run.
        settle: Seconds between the last connect and the first event.
        batches: Events a POST in the ingest runs.
        posts: POSTs in the single-POST runs.
        limits: For some peers the most clients they are measured with, closed loop and paced.
    """

    rounds: int
    sizes: tuple[int, ...]
    deliveries: int
    paced_seconds: float
    settle: float
    batches: tuple[int, ...]
    posts: int
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)


FULL = Plan(
    rounds=5,
    sizes=(10, 100, 1000, 5000, MANY),
    deliveries=1_000_000,
    paced_seconds=6.0,
    settle=1.0,
    batches=(1, 3, 10, 30, 100, 300, 1000),
    posts=5000,
)
QUICK = Plan(
    rounds=1,
    sizes=(100, 1000, 5000),
    deliveries=200_000,
    paced_seconds=2.0,
    settle=0.3,
    batches=(1, 1000),
    posts=1500,
    limits={"starlette": (100, 0), "floor": (MANY, 0)},
)


def fan_out(plan: Plan, peer: Peer) -> Iterator[Scenario]:
    """Yield the runs that every peer takes part in, each with all numbers of clients up to its limit."""
    closed_limit, paced_limit = plan.limits.get(peer.key, (MANY, MANY))
    for clients in plan.sizes:
        deliveries = plan.deliveries // (5 if peer.slow else 1)
        events = min(5000, max(60, deliveries // clients))
        if clients <= closed_limit:
            yield Scenario("closed", clients, events, settle=plan.settle)
    for clients in plan.sizes:
        rate = measure.PACE.get(clients, 5.0)
        if clients <= paced_limit:
            yield Scenario("paced", clients, int(rate * plan.paced_seconds), rate=rate, settle=plan.settle)


def crowd(plan: Plan, *, probe: bool) -> Scenario:
    """Return the run with 10,000 streams, with or without a probed health endpoint."""
    events = int(10 * max(plan.paced_seconds, 3))
    return Scenario("crowd", MANY, events, rate=10, probe=probe, settle=plan.settle)


def publishing(plan: Plan) -> Iterator[Scenario]:
    """Yield the runs that only the project takes part in."""
    yield Scenario("single", 1, plan.posts, settle=plan.settle)
    for batch in plan.batches:
        events = min(plan.posts * batch, 60_000)
        yield Scenario("ingest", 1, events, batch=batch, settle=plan.settle)
    yield Scenario("page", 1, int(20 * plan.paced_seconds), rate=20, pinned=False, settle=plan.settle)


def schedule(plan: Plan, present: list[Peer]) -> Iterator[tuple[Peer, Scenario]]:
    """Yield one round: for each scenario all peers right after each other, so that drift meets them alike."""
    by_key: dict[tuple[str, int, int], list[tuple[Peer, Scenario]]] = {}
    for peer in present:
        for scenario in fan_out(plan, peer):
            by_key.setdefault(scenario.key, []).append((peer, scenario))
    for pairs in by_key.values():
        yield from pairs
    for peer in present:
        if peer in (peers.PROJECT, peers.NCHAN):
            yield peer, crowd(plan, probe=peer is peers.PROJECT)
    if peers.PROJECT in present:
        yield peers.EMPTY_VIEW, Scenario("empty", 0, plan.posts, publish="/empty", settle=plan.settle)
        for scenario in publishing(plan):
            yield peers.PROJECT, scenario


def run(plan: Plan, present: list[Peer]) -> Results:
    """Run all rounds. A peer that fails is reported, and skipped for that run."""
    results = Results()
    began = time.monotonic()
    for turn in range(plan.rounds):
        for peer, scenario in schedule(plan, present):
            place = f"[{time.monotonic() - began:5.0f} s, round {turn + 1}/{plan.rounds}]"
            print(
                f"{place} {scenario.name} {scenario.clients} x{scenario.batch} {peer.title}", file=sys.stderr
            )
            try:
                results.add(peer, scenario, measure.run_once(peer, scenario))
            except (measure.LoadError, peers.StartError) as error:
                print(f"    failed: {error}", file=sys.stderr)
                results.failures.append(
                    f"{peer.title}, {scenario.name} with {scenario.clients} clients: {error}"
                )
    return results


def warn_if_busy() -> None:
    """Say so if other programs use the cores: the figures would be theirs too."""
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(
            f"warning: the machine is busy (load {busy:.1f}): expect spread, trust ratios only",
            file=sys.stderr,
        )


def machine() -> dict[str, object]:
    """Return what the figures were taken on; to be called before the first run, for the load average."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def prepare() -> None:
    """Raise the limit of open files for all that is started here, and turn SIGTERM into an orderly end."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for program in toolchain.SOURCES:
        toolchain.build(program)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(description="Measure the project beside its peers, on this machine.")
    parser.add_argument("--quick", action="store_true", help="about a minute: one round, fewer sizes")
    parser.add_argument("--rounds", type=int, help="repeats of everything (full: 5, quick: 1)")
    parser.add_argument("--peers", help="comma-separated: " + ",".join(peer.key for peer in peers.PEERS))
    parser.add_argument(
        "--output", type=Path, help="folder for results.json and plots (full: docs/benchmarks)"
    )
    return parser.parse_args(words)


def choose(wanted: str | None) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers to measure, and why the others are absent."""
    keys = wanted.split(",") if wanted else [peer.key for peer in peers.PEERS]
    unknown = set(keys) - {peer.key for peer in peers.PEERS}
    if unknown:
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}")
    reasons = {peer.title: peer.absent() for peer in peers.PEERS if peer.key in keys}
    absent = {title: reason for title, reason in reasons.items() if reason}
    return [peer for peer in peers.PEERS if peer.key in keys and peer.title not in absent], absent


def write(folder: Path, results: Results, about: dict[str, object]) -> None:
    """Write results.json and the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        **about,
        "failures": results.failures,
        "goals": report.goal_records(goals.goals(results)),
        "summary": report.summary_records(results),
        "samples": report.sample_records(results),
    }
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    for name, picture in plot.pictures(results):
        (folder / f"{name}.svg").write_text(picture)


def main() -> int:
    """Run the benchmark. Returns 1 if a run failed or the project lost, doubled or mixed an event."""
    settings = parse()
    plan = QUICK if settings.quick else FULL
    if settings.rounds:
        plan = replace(plan, rounds=settings.rounds)
    try:
        prepare()
        warn_if_busy()
        where = machine()
        present, absent = choose(settings.peers)
        results = run(plan, present)
    except (toolchain.NoCompilerError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\ninterrupted: nothing was written; the servers that were started here are ended",
            file=sys.stderr,
        )
        return 130
    print(report.table(results, goals.goals(results), absent))
    folder = settings.output or (None if settings.quick else OUTPUT)
    if folder:
        versions = {peer.title: peer.version() for peer in present if peer.asks_version}
        about: dict[str, object] = {
            "machine": where,
            "plan": asdict(plan),
            "versions": versions,
            "absent": absent,
        }
        write(folder, results, about)
    return 1 if results.violations("project") or results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
