"""The figures to reach, each as a row: what was measured, beside what, the ratio, and if it is enough."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from measure import Spread, ratios

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Results


@dataclass(frozen=True)
class Goal:
    """One row.

    Attributes:
        title: What is measured.
        unit: Of `ours` and `beside`.
        ours: The project's figures, one a round.
        beside: The figures to compare with, taken in the same rounds; empty: `ours` itself is judged.
        other: Whose figures `beside` are.
        limit: Bound of the ratio, or of `ours` itself.
        at_least: Whether more is better.
    """

    title: str
    unit: str
    ours: list[float]
    beside: list[float]
    other: str
    limit: float
    at_least: bool

    @property
    def judged(self) -> Spread | None:
        """What is held against the limit; None if it was not measured."""
        if not self.other:
            return Spread.of(self.ours)
        return Spread.of(ratios(self.ours, self.beside))

    @property
    def met(self) -> bool | None:
        """Whether the median is within the limit; None if it was not measured."""
        compare: Callable[[float, float], bool] = operator.ge if self.at_least else operator.le
        return None if self.judged is None else compare(self.judged.median, self.limit)


def goals(results: Results) -> list[Goal]:
    """Return every row, measured or not."""
    return [*_fan_out(results), *_crowd(results), *_publishing(results), *_page(results)]


def _against_nchan(
    results: Results, title: str, unit: str, where: tuple[str, int, str], limit: float
) -> Goal:
    scenario, clients, path = where
    ours = results.figures("project", scenario, clients, path)
    beside = results.figures("nchan", scenario, clients, path)
    return Goal(title, unit, ours, beside, "nchan", limit, at_least=scenario == "closed")


def _fan_out(results: Results) -> list[Goal]:
    tables: list[tuple[str, str, str, str, dict[int, float]]] = [
        ("closed loop, deliveries", "/s", "closed", "deliveries_per_s", {100: 1.0, 1000: 4.0, 5000: 6.0}),
        ("paced, CPU per delivery", "us", "paced", "cpu_us_per_delivery", {100: 1.4, 1000: 1.0, 5000: 0.7}),
        ("paced, p99 latency", "ms", "paced", "latency_ms.p99", {100: 1.3, 1000: 1.2, 5000: 0.9}),
    ]
    return [
        _against_nchan(results, f"{title}, {clients} clients", unit, (scenario, clients, path), limit)
        for title, unit, scenario, path, limits in tables
        for clients, limit in limits.items()
    ]


def _crowd(results: Results) -> list[Goal]:
    where = ("project", "crowd", 10000)
    memory = results.figures(*where, "rss_kb.per_client")
    probe = results.figures(*where, "probe_ms.p99")
    return [
        Goal("memory per idle client, of 10,000", "KB", memory, [], "", 5.0, at_least=False),
        _against_nchan(results, "connect 10,000 streams", "s", ("crowd", 10000, "connect_s"), 3.0),
        Goal("health p99, 10 events/s to 10,000", "ms", probe, [], "", 20.0, at_least=False),
    ]


def _publishing(results: Results) -> list[Goal]:
    single = results.figures("project", "single", 1, "events_per_s")
    empty = results.figures("empty", "empty", 0, "events_per_s")
    batch = results.figures("project", "ingest", 1, "events_per_s", batch=1000)
    return [
        Goal("single POST, 1 client", "/s", single, empty, "empty view", 0.6, at_least=True),
        Goal("batch of 1000, events", "/s", batch, single, "single POST", 25.0, at_least=True),
    ]


def _page(results: Results) -> list[Goal]:
    p50 = results.figures("project", "page", 1, "latency_ms.p50")
    p99 = results.figures("project", "page", 1, "latency_ms.p99")
    return [
        Goal("event to page, idle, p50", "ms", p50, [], "", 2.0, at_least=False),
        Goal("event to page, idle, p99", "ms", p99, [], "", 5.0, at_least=False),
    ]
