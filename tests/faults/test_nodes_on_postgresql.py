"""Two nodes with their archive in a real PostgreSQL: one of them writes it, each session once, whichever dies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.nodes import node, published, redis_at
from tests.kit.wait import until
from tests.streaming_hub.archive import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.hub import Hub

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

CALLS = 30


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Server]:
    with postgres.server() as running:
        yield running


def call(server: Hub, number: int) -> None:
    """Publish a call: three events, of which each may be sent again."""
    common = {"session_id": f"call-{number}", "room": "calls"}
    for kind in ("session_started", "transcript", "session_ended"):
        words = {"role": "user", "text": f"words {number}"} if kind == "transcript" else {}
        published(server, {"type": kind, "event_id": f"{kind}-{number}", **common, **words})


def ended(server: Hub) -> set[str]:
    """Return the sessions that a node reads as ended; none while the archive changes hands."""
    status, _, body = server.request("GET", "/api/sessions?room=calls&state=ended&limit=200")
    return {one["session_id"] for one in json.loads(body)["sessions"]} if status == 200 else set()


@pytest.mark.parametrize("dies", ["node", "database"])
def test_every_call_is_archived_once(tmp_path: Path, database: postgres.Server, dies: str) -> None:
    url = database.new_database(f"hub_{dies}")
    with (
        redis_at(tmp_path) as redis,
        node(tmp_path, "a", redis.url, STREAM_ARCHIVE=url) as a,
        node(tmp_path, "b", redis.url, STREAM_ARCHIVE=url) as b,
    ):
        until(lambda: redis.call("GET", "{hub}:lease:archive"), 30)
        for number in range(CALLS):
            if number == CALLS // 3:
                owner = a if redis.call("GET", "{hub}:lease:archive") == "a" else b
                other = b if owner is a else a
                if dies == "node":
                    owner.kill()
                else:
                    database.stop()
            if number == 2 * CALLS // 3:
                if dies == "node":
                    owner.start()
                else:
                    database.start()
            call(other if number >= CALLS // 3 else (a, b)[number % 2], number)
        expected = {f"call-{number}" for number in range(CALLS)}
        for server in (a, b):
            until(lambda server=server: ended(server) == expected, 60, what=lambda: a.log + b.log)
        for number in range(CALLS):
            _, _, body = (a, b)[number % 2].request("GET", f"/api/sessions/call-{number}/events")
            found: list[dict[str, Any]] = [json.loads(line) for line in body.splitlines()]
            assert [event["type"] for event in found] == ["session_started", "transcript", "session_ended"]

        def reports() -> list[str]:
            return sorted(one["session_id"] for one in a.stored() if one["type"] == "session_report")

        until(lambda: len(reports()) >= CALLS, 60, what=reports)
        assert reports() == sorted(expected)
