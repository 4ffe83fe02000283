"""The archive among crashes, and what it costs in memory: real processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from tests.faults.load import ROOMS, Load, seq
from tests.kit.hub import Hub
from tests.kit.proc import child
from tests.kit.process import needs_proc
from tests.streaming_hub.archive import postgres
from tests.streaming_hub.web.api.archiving import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.faults, pytest.mark.timeout(420), needs_proc]

SECONDS = 120.0
"""How long to wait for what must happen."""
KILLS = 12
MOST_MEMORY_KIB = 30 * 1024
"""What the archive may cost in the hub's own process."""


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Server]:
    with postgres.server() as running:
        yield running


def spoken(number: int) -> dict[str, Any]:
    """Return a numbered utterance of one of some sessions, which all have a room of their own."""
    name = f"r{number % ROOMS}"
    return {"type": "transcript", "role": "user", "text": f"n{number}", "room": name, "session_id": name}


def archived(url: str) -> tuple[int, list[int]]:
    """What a killed hub has left in its archive: the position, and the numbers of the utterances."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    # In one statement: a worker that outlives its hub may still write.
    read = "SELECT seq, text FROM archive_position LEFT JOIN utterances ON true"
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(read).all()
    return max((place for place, _ in rows), default=0), [int(text[1:]) for _, text in rows if text]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_kills_at_random_moments_archive_each_event_once(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(os.urandom(8))
    url = f"sqlite:///{tmp_path}/data/archive.db"
    if kind == "postgresql":
        url = request.getfixturevalue("database").new_database("kills")
    with Hub(tmp_path, STREAM_ARCHIVE=url) as server:
        eventually(lambda: server.json("GET", "/api/health")["archive"], "ok", SECONDS)
        load = Load(server.url, spoken)
        try:
            for turn in range(KILLS):
                time.sleep(chance.uniform(0.1, 0.9))
                if turn % 3 != 1:
                    with contextlib.suppress(AssertionError, ProcessLookupError):  # it is being started
                        os.kill(child(server.pid, "archive.worker"), signal.SIGKILL)
                if turn % 3:
                    server.kill()
                    known = dict(load.acknowledged)
                    place, numbers = archived(url)
                    due = {number for event_id, number in known.items() if seq(event_id) <= place}
                    assert len(numbers) == len(set(numbers)), "an event counts twice"
                    assert due <= set(numbers), (
                        f"the position is {place}, and {due - set(numbers)} are missing"
                    )
                    server.start()
        finally:
            sent = load.end(SECONDS)
        assert len(sent) > 50
        wanted = sorted(sent.values())
        eventually(lambda: sorted(archived(url)[1]), wanted, SECONDS)
        for name in (f"r{number}" for number in range(ROOMS)):
            mine = {event_id: number for event_id, number in sent.items() if f"r{number % ROOMS}" == name}
            _, _, raw = server.request("GET", f"/api/sessions/{name}/events")
            assert [json.loads(line)["id"] for line in raw.splitlines()] == sorted(mine, key=seq)
            found = server.json("GET", f"/api/sessions/{name}")
            assert [line["text"] for line in found["transcript"]] == [
                f"n{mine[one]}" for one in sorted(mine, key=seq)
            ]
            assert (found["session"]["missing_events"], found["session"]["incomplete"]) == (0, False)


def test_the_hubs_own_process_hardly_grows_with_an_archive(tmp_path: Path) -> None:
    def memory(name: str, **settings: str) -> int:
        with Hub(tmp_path / name, **settings) as server:
            for first in range(0, 20_000, 500):
                server.json("POST", "/api/agent/data", [spoken(first + more) for more in range(500)])
            if not settings:
                eventually(
                    lambda: server.json("GET", "/api/sessions?q=n19999")["sessions"] != [], True, SECONDS
                )
            return server.memory_kib()

    assert memory("with") - memory("without", STREAM_ARCHIVE="off") < MOST_MEMORY_KIB
