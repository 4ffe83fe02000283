"""Plots as SVG: lines over logarithmic axes, with the spread of the rounds as bars. No library needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from measure import Spread
from peers import PEERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measure import Results

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 78, 190, 48, 56
COLORS = {
    "project": "#c2185b",
    "floor": "#757575",
    "nchan": "#1565c0",
    "starlette": "#ef6c00",
    "mercure": "#2e7d32",
    "centrifugo": "#6a1b9a",
}


@dataclass(frozen=True)
class Line:
    """One line of a plot: for each x the spread of the figures there."""

    title: str
    color: str
    points: dict[int, Spread]
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis over the data, a decade at least."""

    low: float
    high: float
    start: float
    length: float

    @classmethod
    def over(cls, values: list[float], start: float, length: float) -> Axis:
        """Return an axis that holds all the values (those above zero)."""
        known = [value for value in values if value > 0] or [1.0]
        low, high = math.log10(min(known) / 1.15), math.log10(max(known) * 1.15)
        # Less than a decade would have too few ticks to read, and would make noise look like a difference.
        room = max(0.0, 1.0 - (high - low)) / 2
        return cls(low - room, high + room, start, length)

    def at(self, value: float) -> float:
        """Return where on the picture a value lies; below the axis is drawn at its end."""
        part = (math.log10(max(value, 10**self.low)) - self.low) / (self.high - self.low)
        return self.start + part * self.length

    def ticks(self) -> list[float]:
        """Return round values within the axis: 1, 2, 5 of each decade if few decades are shown, else 1."""
        steps = (1, 2, 5) if self.high - self.low < 3 else (1,)
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        values = [step * 10.0**decade for decade in decades for step in steps]
        return [value for value in values if self.low <= math.log10(value) <= self.high]


def label(value: float) -> str:
    """Return a tick's text: 0.02, 5, 2k, 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def text(
    x: float, y: float, words: str, *, anchor: str = "middle", size: int = 12, turn: bool = False
) -> str:
    """Return a text element."""
    place = f' transform="rotate(-90 {x:.0f} {y:.0f})"' if turn else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="#222"{place}>'
        f"{escape(words)}</text>"
    )


def _grid(x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in x_axis.ticks():
        x = x_axis.at(value)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#e0e0e0"/>'
        yield text(x, bottom + 18, label(value))
    for value in y_axis.ticks():
        y = y_axis.at(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e0e0e0"/>'
        yield text(LEFT - 8, y + 4, label(value), anchor="end")
    yield f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#222"/>'


def _line(line: Line, x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    points = [(x_axis.at(x), spread) for x, spread in sorted(line.points.items())]
    path = " ".join(f"{x:.1f},{y_axis.at(spread.median):.1f}" for x, spread in points)
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    yield f'<polyline points="{path}" fill="none" stroke="{line.color}" stroke-width="2"{dash}/>'
    for x, spread in points:
        low, high = y_axis.at(spread.low), y_axis.at(spread.high)
        yield f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{line.color}"/>'
        yield f'<circle cx="{x:.1f}" cy="{y_axis.at(spread.median):.1f}" r="3.2" fill="{line.color}"/>'


def _legend(lines: list[Line]) -> Iterator[str]:
    x = WIDTH - RIGHT + 14
    for row, line in enumerate(lines):
        y = TOP + 12 + row * 20
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        yield f'<line x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}" stroke="{line.color}" stroke-width="2"{dash}/>'
        yield text(x + 28, y + 4, line.title, anchor="start", size=11)


def draw(title: str, x_title: str, y_title: str, lines: list[Line]) -> str:
    """Return one plot as an SVG document."""
    x_axis = Axis.over([x for line in lines for x in line.points], LEFT, WIDTH - LEFT - RIGHT)
    figures = [spread for line in lines for spread in line.points.values()]
    heights = [value for spread in figures for value in (spread.low, spread.median, spread.high)]
    y_axis = Axis.over(heights, HEIGHT - BOTTOM, TOP + BOTTOM - HEIGHT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text((LEFT + WIDTH - RIGHT) / 2, 26, title, size=15),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_title),
        text(20, HEIGHT / 2, y_title, turn=True),
        *_grid(x_axis, y_axis),
        *(part for line in lines for part in _line(line, x_axis, y_axis)),
        *_legend(lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _lines(
    results: Results, scenario: str, path: str, *, dashed: bool = False, suffix: str = ""
) -> list[Line]:
    lines = []
    for peer in PEERS:
        spreads = {
            clients: Spread.of(results.figures(peer.key, scenario, clients, path))
            for clients in results.sizes(peer.key, scenario)
        }
        points = {clients: spread for clients, spread in spreads.items() if spread is not None}
        if points:
            lines.append(Line(peer.title + suffix, COLORS[peer.key], points, dashed))
    return lines


def _ingest(results: Results) -> list[Line]:
    batches = sorted({key[3] for key in results.samples if key[:2] == ("project", "ingest")})
    spreads = {
        batch: Spread.of(results.figures("project", "ingest", 1, "events_per_s", batch)) for batch in batches
    }
    points = {batch: spread for batch, spread in spreads.items() if spread is not None}
    return [Line("this project, SQLite", COLORS["project"], points)] if points else []


def pictures(results: Results) -> Iterator[tuple[str, str]]:
    """Yield each plot's name and SVG; a plot without any figure is left out."""
    clients = "clients (open streams)"
    memory = [
        Line(line.title, line.color, {x: s for x, s in line.points.items() if x >= 100}, line.dashed)
        for line in _lines(results, "closed", "rss_kb.per_client")
    ]
    latency = _lines(results, "paced", "latency_ms.p50", dashed=True, suffix=", p50")
    latency += _lines(results, "paced", "latency_ms.p99", suffix=", p99")
    plots = [
        (
            "deliveries",
            "Deliveries, closed loop",
            clients,
            "deliveries/s",
            _lines(results, "closed", "deliveries_per_s"),
        ),
        ("cpu", "CPU per delivery, paced", clients, "us", _lines(results, "paced", "cpu_us_per_delivery")),
        ("latency", "Latency, paced", clients, "ms", latency),
        ("memory", "Memory per idle client", clients, "KB", memory),
        ("ingest", "Ingest, one publisher", "events a POST", "events/s", _ingest(results)),
    ]
    for name, title, x_title, y_title, lines in plots:
        if any(line.points for line in lines):
            yield name, draw(title, x_title, y_title, lines)
