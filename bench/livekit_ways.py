"""The ways in for agents that know nothing of the hub, measured in real rooms: the watcher and the uploads.

Used by `bench/livekit_figures.py`. The agent notes when LiveKit called back; a reader of the stream notes when the same
was there.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from livekit_talk import HERE, Talk, noted_talk, servers

from tests.kit.proc import cpu, resident
from tests.kit.process import Program
from tests.kit.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from livekit_talk import Servers

Figures = dict[str, list[float]]
Noted = tuple[float, str, str]

CROWDS = (1, 5, 20)
SETTLE_SECONDS = 5.0
COUNT_SECONDS = 30.0
SHORT_DELAYS = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BLRP_SCHEDULE_DELAY": "200"}


def middle(values: Sequence[float]) -> float:
    """Return the median."""
    return sorted(values)[len(values) // 2]


def watched(folder: Path, turns: int) -> Figures:
    """Measure how far the watcher is behind the session's callback, and behind the room's own words."""
    folder.mkdir()
    with servers(folder, watch=True) as where:
        said = noted_talk(where, turns, {})
    states = behind(said, "agent_state", "state")
    finals = behind(said, "user_final", "text")
    return {
        "watcher: agent state behind the callback, p50": [1000 * middle(states)],
        "watcher: agent state behind the callback, most": [1000 * max(states)],
        "watcher: user's final behind the callback, p50": [1000 * middle(finals)],
        "watcher: words behind the room's own, p50": [1000 * middle(words_behind(said))],
    }


def uploaded(folder: Path, turns: int) -> Figures:
    """Measure how far uploads are behind what they tell of, and what they cost the agent.

    One agent uploads nothing, one with the SDK's own delays, one with short ones; then the same in the opposite order,
    so that a machine that becomes slower meets all of them.
    """
    folder.mkdir()
    figures: Figures = {}
    ways: tuple[tuple[str, dict[str, str]], ...] = (
        ("no uploads", {}),
        ("uploads", {"RECORD": "1"}),
        ("uploads with short delays", {"RECORD": "1", **SHORT_DELAYS}),
    )
    with servers(folder) as where:
        for name, settings in (*ways, *reversed(ways)):
            upload = {"LIVEKIT_OBSERVABILITY_URL": where.hub.url, **settings} if settings else {}
            said = noted_talk(where, turns, upload)
            found = {
                "the agent's CPU": said.cpu,
                "the agent begins to answer, p50": 1000 * middle(answers(said)),
            }
            if settings:
                found["user's final behind the callback, p50"] = middle(behind(said, "user_final", "text"))
                # Dated by the end of its span.
                spans = [
                    at - event["timestamp"] for at, event in said.notes if event["type"] == "turn_metrics"
                ]
                found["a span on the stream after its end, p50"] = middle(spans)
                found["a span on the stream after its end, most"] = max(spans)
            for title, value in found.items():
                figures.setdefault(f"{name}: {title}", []).append(value)
    return figures


def answers(said: Talk) -> list[float]:
    """Return how long after each question's last sound the agent began to speak, by its own callback, in seconds."""
    begun = [at for at, kind, value in said.called if kind == "agent_state" and value == "speaking"]
    return [min(at for at in begun if at > end) - end for end in said.ends if end < begun[-1]]


def crowds(folder: Path) -> Figures:
    """Measure what the watcher takes for some rooms that talk at once."""
    folder.mkdir()
    figures: Figures = {}
    with servers(folder, watch=True) as where:
        for count in CROWDS:
            with _crowd(where, count):
                pid = where.hub.get("/api/agent/status")["watcher"]["pid"]
                until(
                    lambda count=count: where.hub.get("/api/agent/status")["watcher"]["rooms"] >= count,  # type: ignore[misc]
                    seconds=60,
                    what=f"{count} rooms are watched",
                )
                time.sleep(SETTLE_SECONDS)
                began, used = time.monotonic(), cpu(pid)
                time.sleep(COUNT_SECONDS)
                share = (cpu(pid) - used) / (time.monotonic() - began)
                figures[f"watcher's CPU, {_rooms(count)}"] = [100 * share]
                figures[f"watcher's memory, {_rooms(count)}"] = [resident(pid) * 1024 / 1e6]
            until(
                lambda: where.hub.get("/api/agent/status")["watcher"]["rooms"] == 0,
                seconds=60,
                what="no room is watched",
            )
    first, last = (figures[f"watcher's CPU, {_rooms(count)}"][0] for count in (CROWDS[0], CROWDS[-1]))
    figures["watcher's CPU, each room more"] = [(last - first) / (CROWDS[-1] - CROWDS[0])]
    memory = [figures[f"watcher's memory, {_rooms(count)}"][0] for count in (CROWDS[0], CROWDS[-1])]
    figures["watcher's memory, each room more"] = [(memory[1] - memory[0]) / (CROWDS[-1] - CROWDS[0])]
    return figures


def _rooms(count: int) -> str:
    return f"{count} room{'s' if count > 1 else ''}"


def behind(said: Talk, kind: str, field: str) -> list[float]:
    """Return how much later than LiveKit's callback the same was on the stream, in seconds.

    Both tell the same in the same order, and the stream may begin later.
    """
    called = [(at, value) for at, one, value in said.called if one == kind]
    seen = [(at, str(event[field])) for at, event in said.notes if _is(kind, event)]
    values = [value for _, value in seen]
    for skipped in range(len(called)):
        if [value for _, value in called[skipped:]][: len(seen)] == values[: len(called) - skipped]:
            pairs = list(zip(called[skipped:], seen, strict=False))
            if pairs:
                return [read - at for (at, _), (read, _) in pairs]
    raise RuntimeError(f"the stream does not have what was called: {called}, {seen}")


def _is(kind: str, event: dict[str, Any]) -> bool:
    if kind == "agent_state":
        return event["type"] == "agent_state"
    return event["type"] == "transcript" and event["role"] == "user" and bool(event["is_final"])


def words_behind(said: Talk) -> list[float]:
    """Return how much later than in the room each of the agent's words was on the stream, in seconds."""
    segments: dict[str, list[float]] = {}
    for at, event in said.notes:
        if event["type"] == "transcript" and event["role"] == "agent" and not event["is_final"]:
            segments.setdefault(event["segment_id"], []).append(at)
    own = said.agent_words[-len(segments) :]
    return [
        ours - theirs
        for times, words in zip(segments.values(), own, strict=False)
        if len(times) == len(words.times)
        for ours, theirs in zip(times, words.times, strict=True)
    ]


@contextmanager
def _crowd(where: Servers, count: int) -> Iterator[None]:
    crowd = Program([sys.executable, str(HERE / "livekit_crowd.py"), str(count)], **where.livekit.environment)
    try:
        crowd.wait_for("talking", 120)
        yield
    finally:
        crowd.kill_group()


__all__ = ["crowds", "uploaded", "watched"]
