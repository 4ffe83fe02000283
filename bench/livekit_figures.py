"""What streaming costs a LiveKit session, and how fast it is: measured in real rooms.

Run: uv run bench/livekit_figures.py [--rounds N] [--turns N] [--no-page] [--no-attach] [--no-ways]
     [--way NAME] [--json FILE]

Needs livekit-server on PATH (see docs/guides/development.md), espeak-ng, and Chromium for the page. A round
takes about seven minutes: the hub starts the agent three times; then the same questions are asked of an agent without
`attach`, of one with it, of that again while the page is open, and of one whose allocations are followed. Then agents
that know nothing of the hub are asked, through the watcher and through their uploads (another ten minutes). How each
figure is taken is in docs/explanation/performance.md. The exit code is 1 where a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import livekit_ways
from goals import Goal
from livekit_talk import Servers, Talk, others_yield, servers, talk
from measure import Spread
from report import goal_records, grid, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Figures = dict[str, list[float]]

GOALS = (
    ("callback to reader, p50", "ms", 5.0),
    ("callback to reader, p99", "ms", 25.0),
    ("callback to page, p50", "ms", 5.0),
    ("callback to page, p99", "ms", 25.0),
    ("final on the reader after the room's own, p50", "ms", 10.0),
    ("final on the reader after the room's own, most", "ms", 10.0),
    ("words after the room's transcription, p50", "ms", 100.0),
    ("words after the room's transcription, most", "ms", 100.0),
    ("CPU of callbacks and poster", "% of a core", 2.0),
    ("memory held for bridge and poster", "MB", 10.0),
    ("resident memory, attached less plain", "MB", 10.0),
    ("start to agent_ready", "s", 3.0),
    ("watcher: agent state behind the callback, p50", "ms", 60.0),
    ("watcher: words behind the room's own, p50", "ms", 100.0),
    ("watcher's CPU, each room more", "% of a core", 3.0),
    ("watcher's memory, each room more", "MB", 2.0),
    ("uploads: a span on the stream after its end, most", "s", 6.0),
    ("uploads with short delays: a span on the stream after its end, p50", "s", 1.0),
)
BESIDES = (
    ("callback to painted, p50", "ms"),
    ("callback to painted, p99", "ms"),
    ("final on the reader after its callback, p50", "ms"),
    ("final on the reader after its callback, most", "ms"),
    ("end of speech to the agent's callback", "ms"),
    ("end of speech to the room's own final", "ms"),
    ("end of speech to the reader", "ms"),
    ("callback itself, p50", "us"),
    ("callback itself, p99", "us"),
    ("callbacks' CPU, a turn", "ms"),
    ("poster's CPU, a turn", "ms"),
    ("events, a turn", ""),
    ("process's CPU, plain", "% of a core"),
    ("process's CPU, attached", "% of a core"),
    ("words compared", ""),
    ("watcher: agent state behind the callback, most", "ms"),
    ("watcher: user's final behind the callback, p50", "ms"),
    *(
        (f"watcher's {what}, {rooms}", unit)
        for rooms in ("1 room", "5 rooms", "20 rooms")
        for what, unit in (("CPU", "% of a core"), ("memory", "MB"))
    ),
    ("uploads: user's final behind the callback, p50", "s"),
    ("uploads: a span on the stream after its end, p50", "s"),
    ("uploads with short delays: user's final behind the callback, p50", "s"),
    ("uploads with short delays: a span on the stream after its end, most", "s"),
    ("load average", ""),
    *(
        (f"{way}: {what}", unit)
        for way in ("no uploads", "uploads", "uploads with short delays")
        for what, unit in (("the agent's CPU", "% of a core"), ("the agent begins to answer, p50", "ms"))
    ),
)


WAYS: dict[str, Callable[[Path, int], Figures]] = {
    "watched": livekit_ways.watched,
    "uploaded": livekit_ways.uploaded,
    "crowds": lambda folder, _turns: livekit_ways.crowds(folder),
}


def point(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of them lies; 1.0: the highest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def milliseconds(starts: Sequence[float], ends: Sequence[float]) -> list[float]:
    """Return how much later each of the second ones was, in ms; both are in seconds."""
    return [1000 * (end - start) for start, end in zip(starts, ends, strict=True)]


def latencies(said: Talk) -> Figures:
    """From the call of LiveKit's callback to the readers, in ms."""
    ours = {"reader": [1000 * (at - event["called_at"]) for at, event in said.notes]}
    seen = [
        (said.page[event["id"]], event["called_at"]) for _, event in said.notes if event["id"] in said.page
    ]
    if seen:
        ours["page"] = [1000 * (read - called) for (read, _), called in seen]
        ours["painted"] = [1000 * (painted - called) for (_, painted), called in seen]
    return {
        f"callback to {name}, {title}": [point(values, share)]
        for name, values in ours.items()
        for title, share in (("p50", 0.5), ("p99", 0.99))
    }


def finals(said: Talk) -> Figures:
    """From the end of the person's speech to their final words, in ms."""
    told = [
        (at, event)
        for at, event in said.notes
        if event["type"] == "transcript" and event["role"] == "user" and event["is_final"]
    ]
    own = [words.times[-1] for words in said.user_words]
    if not len(told) == len(own) == len(said.ends):
        raise RuntimeError(f"{len(said.ends)} questions, {len(told)} told, {len(own)} in the room")
    read = [at for at, _ in told]
    called = [event["called_at"] for _, event in told]
    beside, later = milliseconds(own, read), milliseconds(called, read)
    return {
        "final on the reader after the room's own, p50": [point(beside, 0.5)],
        "final on the reader after the room's own, most": [max(beside)],
        "final on the reader after its callback, p50": [point(later, 0.5)],
        "final on the reader after its callback, most": [max(later)],
        "end of speech to the agent's callback": [point(milliseconds(said.ends, called), 0.5)],
        "end of speech to the room's own final": [point(milliseconds(said.ends, own), 0.5)],
        "end of speech to the reader": [point(milliseconds(said.ends, read), 0.5)],
    }


def words(said: Talk) -> Figures:
    """How long after the room's own transcription each word of the agent was on the stream, in ms."""
    segments: dict[str, list[float]] = defaultdict(list)
    for at, event in said.notes:
        if event["type"] == "transcript" and event["role"] == "agent" and not event["is_final"]:
            segments[event["segment_id"]].append(at)
    if len(segments) != len(said.agent_words):
        raise RuntimeError(f"{len(segments)} segments told, {len(said.agent_words)} in the room")
    later = [
        milli
        for ours, theirs in zip(segments.values(), said.agent_words, strict=True)
        if len(ours) == len(theirs.times)  # else an interim was superseded, and words would be paired wrongly
        for milli in milliseconds(theirs.times, ours)
    ]
    if not later:
        raise RuntimeError("no segment has as many words on the stream as in the room")
    return {
        "words after the room's transcription, p50": [point(later, 0.5)],
        "words after the room's transcription, most": [max(later)],
        "words compared": [float(len(later))],
    }


def cost(said: Talk, plain: Talk) -> Figures:
    """CPU and memory that attaching adds."""
    calls = said.after["callbacks"][len(said.before["callbacks"]) :]
    turns = len(said.ends)
    own = sum(cpu for _, cpu in calls)
    posting = said.after["poster_cpu"] - said.before["poster_cpu"]
    walls = [1e6 * wall for wall, _ in calls]
    shares = {
        name: 100 * (one.after["process_cpu"] - one.before["process_cpu"]) / one.seconds
        for name, one in (("plain", plain), ("attached", said))
    }
    return {
        "CPU of callbacks and poster": [100 * (own + posting) / said.seconds],
        "callbacks' CPU, a turn": [1000 * own / turns],
        "poster's CPU, a turn": [1000 * posting / turns],
        "events, a turn": [(said.after["events"] - said.before["events"]) / turns],
        "callback itself, p50": [point(walls, 0.5)],
        "callback itself, p99": [point(walls, 0.99)],
        "process's CPU, plain": [shares["plain"]],
        "process's CPU, attached": [shares["attached"]],
        "resident memory, attached less plain": [(said.after["resident"] - plain.after["resident"]) / 1e6],
    }


def starts(where: Servers, times: int = 3) -> list[float]:
    """Let the hub start its agent; return the seconds from the request to `agent_ready` on the stream."""
    taken = []
    for _ in range(times):
        asked = time.time()
        known = where.hub.stream.events.all()[-1]
        where.hub.start_agent()
        ready = where.hub.stream.wait("agent_ready", seconds=30, after=known)
        taken.append(ready.at - asked)
        where.hub.post("/api/agent/stop")
    return taken


def measure_round(where: Servers, turns: int, *, page: bool) -> Figures:
    """Measure everything once."""
    figures: Figures = {"start to agent_ready": starts(where)}
    _tell(f"agent_ready after {figures['start to agent_ready']} s")
    plain = talk(where, "plain", turns)
    _tell("asked the plain agent")
    attached = talk(where, "attached", turns)
    _tell("asked the attached agent")
    shown = attached
    if page:
        with others_yield(where):
            shown = talk(where, "attached", turns, page=True)
        _tell("asked it again, with the page open")
    traced = talk(where, "traced", 2)
    held = {"memory held for bridge and poster": [traced.after["traced"] / 1e6]}
    _tell("asked all questions of all agents")
    for some in (latencies(shown), finals(attached), words(attached), cost(attached, plain), held):
        figures |= some
    return figures


def round_of(folder: Path, options: argparse.Namespace) -> Iterator[Figures]:
    """Measure what the options say, once."""
    if not options.no_attach:
        with servers(folder) as where:
            yield measure_round(where, options.turns, page=not options.no_page)
    ways = [] if options.no_ways else options.way or list(WAYS)
    for way in ways:
        yield WAYS[way](folder / way, options.turns)
        _tell(f"measured: {way}")


def _tell(what: str) -> None:
    print(f"{time.strftime('%X')} {what}", file=sys.stderr, flush=True)


def table(rows: list[Goal], figures: Figures) -> str:
    """Return the figures for people."""
    lines = [["figure", "measured", "goal", ""]]
    verdicts = {True: "reached", False: "missed", None: "not measured"}
    for row in rows:
        measured = f"{spread(row.judged)} {row.unit}" if row.judged else "-"
        lines.append([row.title, measured, f"<= {row.limit:g} {row.unit}", verdicts[row.met]])
    for title, unit in BESIDES:
        if title in figures:
            lines.append([title, f"{spread(Spread.of(figures[title]))} {unit}", "", ""])
    return grid(lines)


def main() -> int:
    """Measure and print; return exit code 0 if all goals were reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--turns", type=int, default=15, help="questions in each talk")
    parser.add_argument("--no-page", action="store_true", help="without Chromium")
    parser.add_argument("--no-attach", action="store_true", help="only the watcher and the uploads")
    parser.add_argument("--no-ways", action="store_true", help="without the watcher and the uploads")
    parser.add_argument(
        "--way", choices=list(WAYS), action="append", help="of the ways without `attach`, only this"
    )
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    figures: Figures = defaultdict(list)
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for some in round_of(Path(folder), options):
                for title, values in some.items():
                    figures[title] += values
    rows = [
        Goal(title, unit, figures.get(title, []), [], "", limit, at_least=False)
        for title, unit, limit in GOALS
    ]
    figures["load average"] = list(os.getloadavg())
    print(table(rows, figures))
    record = json.dumps({"goals": goal_records(rows), "figures": figures}, indent=1)
    print(record)
    if options.json is not None:
        options.json.write_text(record + "\n")
    return 0 if all(row.met is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
