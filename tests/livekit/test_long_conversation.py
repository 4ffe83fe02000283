"""Three rooms talk at once for ten minutes, and every word, its order and every state is held against the script.

`LIVEKIT_TEST_MINUTES` makes it shorter or longer. What is checked within a room is in tests/livekit/record.py. Memory
of the hub and of the agent is printed (`-s`), and must not grow without end.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.wait import until
from tests.livekit.dialogue import PHRASES, perform, phrases
from tests.livekit.record import check_room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from tests.livekit.conftest import Join
    from tests.livekit.dialogue import Turn
    from tests.livekit.processes import HubServer
    from tests.stubs.openai_stub import OpenAIStub

MINUTES = float(os.environ.get("LIVEKIT_TEST_MINUTES", "10"))

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(MINUTES * 60 + 240)]

CONTROL = {"connected", "heartbeat"}
TROUBLE = {"error", "events_dropped", "stream_reset", "goodbye", "stream_ended", "user_transcription_timeout"}
SAMPLE_SECONDS = 10.0
HUB_GROWTH_MIB = 40.0
"""From the first fifth to the end: its window of recent events fills, about 1 KB an event, up to 32 MB."""
AGENT_GROWTH_MIB = 60.0 * max(1.0, MINUTES / 10)
"""Three sessions: the models' HTTP pools, the chat history, and LiveKit's own buffers."""


class Memory:
    """What the hub and the agent take, in MiB: `Rss` of /proc, seconds since the beginning with it."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._begun = time.monotonic()
        self.samples: list[tuple[float, dict[str, float]]] = []

    def look(self) -> None:
        """Take a sample."""
        taken = {name: _resident_mib(pid) for name, pid in self._pids.items()}
        self.samples.append((time.monotonic() - self._begun, taken))

    def growth(self, name: str) -> float:
        """Return what was added since the first fifth of the time."""
        settled = [taken[name] for at, taken in self.samples if at >= self.samples[-1][0] / 5]
        return settled[-1] - settled[0]

    def report(self) -> str:
        """Return some of the samples as a table."""
        names = list(self._pids)
        step = max(1, len(self.samples) // 10)
        rows = [
            f"{at:7.0f} s" + "".join(f"{taken[name]:9.1f}" for name in names)
            for at, taken in [*self.samples[:-1:step], self.samples[-1]]
        ]
        return "\n".join(["resident MiB" + "".join(f"{name:>9}" for name in names)[2:], *rows])


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def sequence(event: dict[str, Any]) -> int:
    """Return an id's number."""
    return int(event["id"].rpartition("-")[2])


def stored_events(hub: HubServer) -> list[dict[str, Any]]:
    """Return everything that `/api/events` has."""
    events: list[dict[str, Any]] = []
    query = "?limit=1000"
    while True:
        page = hub.get(f"/api/events{query}")
        events += page["events"]
        if not page["more"]:
            return events
        query = f"?limit=1000&after={page['next']}"


def check_stream(told: Sequence[dict[str, Any]], stored: Sequence[dict[str, Any]]) -> int:
    """Check that the stream told what is stored, each event once and in order.

    Returns:
        How many interims the stream left out because a newer one of their segment waited behind them.
    """
    numbers = [sequence(event) for event in told]
    assert numbers == sorted(set(numbers)), "the stream told an event twice or out of order"
    assert [sequence(event) for event in stored] == list(range(1, len(stored) + 1)), "the history has gaps"
    assert len({event["id"].rpartition("-")[0] for event in (*told, *stored)}) == 1
    by_number = {sequence(event): event for event in told}
    left_out = [event for event in stored if sequence(event) not in by_number]
    for event in left_out:
        newer = [one for one in told if one.get("segment_id") == event.get("segment_id", "none")]
        assert event["type"] == "transcript", f"lost: {event}"
        assert event["is_final"] is False, f"lost: {event}"
        assert sequence(newer[-1]) > sequence(event), f"lost: {event}"
    for event in stored:
        assert by_number.get(sequence(event), event) == event, "told otherwise than stored"
    assert len(told) + len(left_out) == len(stored)
    return len(left_out)


def talk(talks: dict[str, Future[list[Turn]]], memory: Memory) -> dict[str, list[Turn]]:
    """Watch the memory until all have said what they had to say; return it."""
    unfinished = set(talks.values())
    while unfinished:
        memory.look()
        finished, unfinished = wait(unfinished, timeout=SAMPLE_SECONDS)
        for one in finished:
            one.result()
    memory.look()
    return {room: one.result() for room, one in talks.items()}


def test_every_word_and_state_of_a_long_conversation(
    hub: HubServer, stub: OpenAIStub, join: Join, tmp_path: Path
) -> None:
    for room in PHRASES:
        stub.learn(*phrases(room))
    agent = hub.start_agent()
    people = {room: join(room, f"user-{room}") for room in PHRASES}
    memory = Memory(hub=hub.pid, agent=agent["pid"])
    end = time.monotonic() + MINUTES * 60
    with ThreadPoolExecutor() as pool:
        talks = {room: pool.submit(perform, room, hub, stub, person, end) for room, person in people.items()}
        spoken = talk(talks, memory)
    until(
        lambda: (
            sequence(hub.get("/api/events?last=1")["events"][0])
            == max(sequence(seen.fields) for seen in hub.stream.events.all() if "id" in seen.fields)
        ),
        seconds=10,
        what="the stream has told what is stored",
    )
    stored = stored_events(hub)
    told = [seen.fields for seen in hub.stream.events.all() if seen.type not in CONTROL]
    told = [event for event in told if sequence(event) <= sequence(stored[-1])]
    (tmp_path / "events.json").write_text(json.dumps(stored))
    left_out = check_stream(told, stored)
    assert [event for event in told if event["type"] in TROUBLE] == []
    for room, turns in spoken.items():
        for events in (told, stored):
            check_room([event for event in events if event.get("room") == room], room, turns)
    counts = {room: len(turns) for room, turns in spoken.items()}
    print(f"\n{counts} turns, {len(stored)} events, {left_out} superseded interims left out of the stream")
    print(
        f"{memory.report()}\ngrowth: hub {memory.growth('hub'):.1f}, agent {memory.growth('agent'):.1f} MiB"
    )
    assert {event.get("room") for event in stored} <= {*PHRASES, None}
    assert memory.growth("hub") < HUB_GROWTH_MIB
    assert memory.growth("agent") < AGENT_GROWTH_MIB
