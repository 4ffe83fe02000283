"""Calls as an agent would post them, made up at random from a seed, and the archive that they are written to."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec

from streaming_hub.archive import figures
from streaming_hub.archive.messages import Page
from streaming_hub.archive.reduce import Reduction
from streaming_hub.archive.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streaming_hub.sidecar.database import Database

EPOCH = "epoch"
START = 1_795_392_000.0  # 2026-11-23, 00:00 UTC
WORDS = (
    "hello",
    "what's",
    "the",
    "time",
    "in",
    "Straße",
    "3.50",
    "naïve",
    "yes",
    "no",
    "東京都",
    "明日は雨",
    "สวัสดี",
    "don't",
)


class Line:
    """Events with ids, in the order in which the hub stored them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, kind: str, at: float, **fields: Any) -> dict[str, Any]:
        made = {"id": f"{EPOCH}-{len(self.events) + 1}", "type": kind, "timestamp": at, **fields}
        self.events.append(made)
        return made

    def of(self, session_id: str, room: str | None) -> list[dict[str, Any]]:
        return [one for one in self.events if (one.get("session_id"), one.get("room")) == (session_id, room)]

    def sessions(self) -> list[tuple[str, str | None]]:
        return list(
            {(one["session_id"], one.get("room")): None for one in self.events if "session_id" in one}
        )


def call(
    line: Line, rng: random.Random, session_id: str, room: str | None, at: float, *, turns: int, ends: bool
) -> None:
    """Add one call's events."""
    common: dict[str, Any] = {"session_id": session_id} | ({} if room is None else {"room": room})
    line.add("session_started", at, agent_name=rng.choice(["helper", "sales"]), **common)
    for number in range(turns):
        turn = {"turn_id": f"{session_id}.t{number}", **common}
        user = {"role": "user", "participant": rng.choice(["alice", "bob"]), **turn}
        agent = {"role": "agent", "participant": "agent", **turn}
        at += rng.random()
        line.add("user_speech_started", at, started_at=at, **user)
        line.add("transcript", at, text="what", is_final=False, segment_id=f"s{number}", **user)
        at += rng.random() * 3
        line.add("user_speech_finished", at, stopped_at=at - rng.random() * 0.3, **user)
        said = " ".join(rng.choices(WORDS, k=rng.randint(1, 8)))
        line.add("transcript", at, text=said, segment_id=f"s{number}", **user)
        if rng.random() < 0.2:
            line.add(
                "tool_call_started", at, call_id=f"{number}", name="look_up", arguments={"q": said}, **turn
            )
            if rng.random() < 0.8:
                status = rng.choice(["done", "done", "error"])
                line.add("tool_call_finished", at, call_id=f"{number}", status=status, output="x", **turn)
        at += rng.random()
        line.add("agent_speech_started", at, **agent)
        at += rng.random() * 2
        line.add(
            "transcript", at, text=" ".join(rng.choices(WORDS, k=4)), interrupted=rng.random() < 0.1, **agent
        )
        if rng.random() < 0.9:
            line.add("turn_metrics", at, e2e_latency=round(rng.random() * 3, 3), llm_node_ttft=0.2, **agent)
        line.add("agent_speech_finished", at, **agent)
        if rng.random() < 0.1:
            line.add("interruption", at, **agent)
        if rng.random() < 0.05:
            line.add("error", at, source="llm", message="overloaded", recoverable=True, **turn)
    if ends:
        line.add(
            "session_ended",
            at + 0.5,
            reason=rng.choice(["user_initiated", "participant_disconnected"]),
            **common,
        )


def some_calls(seed: int, count: int = 12, *, live: int = 3) -> Line:
    """Return the events of several calls, mixed with one another as in a hub."""
    rng = random.Random(seed)
    line = Line()
    for number in range(count):
        room = rng.choice(["support-1", "support-2", None])
        start = START + rng.random() * 7200
        call(line, rng, f"s{number}", room, start, turns=rng.randint(0, 6), ends=number >= live)
    # Each session keeps its order, and they overtake one another.
    queues: dict[Any, list[dict[str, Any]]] = {}
    for one in line.events:
        queues.setdefault(one["session_id"], []).append(one)
    mixed: list[dict[str, Any]] = []
    while queues:
        name = rng.choice(list(queues))
        mixed.append(queues[name].pop(0))
        if not queues[name]:
            del queues[name]
    line.events = [one | {"id": f"{EPOCH}-{place}"} for place, one in enumerate(mixed, 1)]
    return line


def archived(
    database: Database,
    line: Line,
    *,
    recordings: bool = True,
    sizes: Iterable[int] | None = None,
    at: float = START,
) -> Store:
    """Write events into an empty archive, in pages of these sizes (or in one), accepted at this time."""
    store = Store(database, recordings=recordings)
    store.begin_epoch(EPOCH, 0)
    send(store, line, sizes or [len(line.events)], at=at)
    return store


def send(store: Store, line: Line, sizes: Iterable[int], *, after: int = 0, at: float = START) -> int:
    """Write the events after a position, in pages of these sizes."""
    for size in sizes:
        part = line.events[after : after + size]
        lines = [msgspec.json.encode(one) for one in part if "session_id" in one]
        store.write(Page(EPOCH, after, after + len(part), at, lines))
        after += len(part)
    return after


def expected(line: Line, session_id: str, room: str | None) -> dict[str, Any]:
    """Return what the pure functions make of a session."""
    events = line.of(session_id, room)
    reduction = Reduction.of(events[0])
    for event in events:
        reduction.take(event)
    return figures.detail(reduction.state)
