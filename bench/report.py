"""The figures as text for people and as records for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measure import Spread
from peers import PEERS

if TYPE_CHECKING:
    from goals import Goal
    from measure import Results

COLUMNS = (
    ("deliveries/s", "deliveries_per_s"),
    ("CPU us/delivery", "cpu_us_per_delivery"),
    ("p50 ms", "latency_ms.p50"),
    ("p99 ms", "latency_ms.p99"),
    ("KB/client", "rss_kb.per_client"),
    ("connect s", "connect_s"),
    ("its core", "server_cpu_share"),
    ("load's core", "load_cpu_share"),
)
TITLES = {peer.key: peer.title for peer in PEERS} | {"empty": "empty Flask view"}


def number(value: float) -> str:
    """Return a figure with about three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(figures: Spread | None) -> str:
    """Return "median (low-high)", the median alone if there was one figure, "-" if none."""
    if figures is None:
        return "-"
    if figures.low == figures.high:
        return number(figures.median)
    return f"{number(figures.median)} ({number(figures.low)}-{number(figures.high)})"


def grid(rows: list[list[str]]) -> str:
    """Return rows as aligned columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )


def table(results: Results, rows: list[Goal], absent: dict[str, str]) -> str:
    """Return everything that a person wants to see."""
    parts = [_scenario(results, name) for name in ("closed", "paced", "crowd")]
    parts += [_ingest(results), _goals(rows)]
    parts += [f"absent: {title}: {reason}" for title, reason in absent.items()]
    parts += [f"failed: {failure}" for failure in results.failures]
    parts += [f"violation: {TITLES[key]}: {text}" for key in TITLES for text in results.violations(key)]
    return "\n\n".join(part for part in parts if part)


def _scenario(results: Results, name: str) -> str:
    sizes = sorted({size for peer in PEERS for size in results.sizes(peer.key, name)})
    rows = [[name, "clients", *(title for title, _path in COLUMNS)]]
    for size in sizes:
        for peer in PEERS:
            if size in results.sizes(peer.key, name):
                cells = [
                    spread(Spread.of(results.figures(peer.key, name, size, path))) for _title, path in COLUMNS
                ]
                rows.append([peer.title, str(size), *cells])
    return grid(rows) if sizes else ""


def _ingest(results: Results) -> str:
    rows = [["ingest, one publisher", "events a POST", "events/s", "answer p50 ms", "answer p99 ms"]]
    kinds = [("project", "single", 1), ("empty", "empty", 0), ("project", "ingest", 1)]
    for peer, name, clients in kinds:
        for batch in sorted({key[3] for key in results.samples if key[:2] == (peer, name)}):
            paths = ("events_per_s", "answer_ms.p50", "answer_ms.p99")
            figures = [Spread.of(results.figures(peer, name, clients, path, batch)) for path in paths]
            rows.append([f"{TITLES[peer]}, {name}", str(batch), *map(spread, figures)])
    return grid(rows) if len(rows) > 1 else ""


def _verdict(goal: Goal) -> str:
    return {True: "reached", False: "missed", None: "not measured"}[goal.met]


def _goals(rows: list[Goal]) -> str:
    lines = [["figures to reach", "project", "beside", "ratio", "goal", ""]]
    for goal in rows:
        beside = f"{spread(Spread.of(goal.beside))} {goal.other}" if goal.other else ""
        ratio = spread(goal.judged) if goal.other else ""
        bound = f"{'>=' if goal.at_least else '<='} {goal.limit:g}{' x' if goal.other else ' ' + goal.unit}"
        ours = f"{spread(Spread.of(goal.ours))} {goal.unit}"
        lines.append([goal.title, ours, beside, ratio, bound, _verdict(goal)])
    return grid(lines)


def _record(figures: Spread | None) -> dict[str, float] | None:
    return None if figures is None else {"median": figures.median, "low": figures.low, "high": figures.high}


def goal_records(rows: list[Goal]) -> list[dict[str, object]]:
    """Return the goals for JSON."""
    return [
        {
            "title": goal.title,
            "unit": goal.unit,
            "project": _record(Spread.of(goal.ours)),
            "beside": _record(Spread.of(goal.beside)),
            "other": goal.other or None,
            "judged": _record(goal.judged),
            "goal": goal.limit,
            "at_least": goal.at_least,
            "met": goal.met,
        }
        for goal in rows
    ]


def summary_records(results: Results) -> list[dict[str, object]]:
    """Return medians and spreads for JSON."""
    paths = [
        *(path for _title, path in COLUMNS),
        "events_per_s",
        "answer_ms.p50",
        "answer_ms.p99",
        "probe_ms.p99",
    ]
    return [
        {"peer": peer, "scenario": scenario, "clients": clients, "batch": batch}
        | {path: _record(Spread.of(results.figures(peer, scenario, clients, path, batch))) for path in paths}
        for peer, scenario, clients, batch in results.samples
    ]


def sample_records(results: Results) -> list[dict[str, object]]:
    """Return every single run for JSON."""
    return [
        {"peer": peer, "scenario": scenario, "round": turn} | sample
        for (peer, scenario, _clients, _batch), samples in results.samples.items()
        for turn, sample in enumerate(samples, 1)
    ]
