"""Statistics over HTTP, and what callers may do and see (streaming_hub.web.api.me)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.kit.callers import JWT_SECRET, token
from tests.kit.hub import Hub
from tests.streaming_hub.web.api.archiving import KEYS, OPERATOR, START, VIEWER, call, post, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    server = Hub(tmp_path_factory.mktemp("stats"), STREAM_JWT_SECRET=JWT_SECRET, **KEYS).start()
    for number in range(4):
        post(server, call(f"s{number}", f"room-{number % 2}", at=START + number * 1000))
    wait_for(server, "s0", "s1", "s2", "s3")
    yield server
    server.kill()


def get(server: Hub, asked: str, status: int = 200, **headers: str) -> Any:
    answer = server.get(f"/api/stats?{asked}", **(headers or OPERATOR))
    assert answer.status_code == status, answer.text
    return answer.json()


def test_buckets_by_time_of_start_with_the_empty_ones(server: Hub) -> None:
    first = int(START // HOUR * HOUR)
    found = get(server, f"from={first}&to={first + 3 * HOUR}")["buckets"]
    assert [one["start"] for one in found] == [first, first + HOUR, first + 2 * HOUR]
    assert [one["sessions"] for one in found] == [2, 2, 0]
    assert found[0] == {
        "start": first,
        "sessions": 2,
        "minutes": pytest.approx(16 / 60, abs=1e-6),
        "turns": 2,
        "heard_latency": {"count": 2, "p50": 1.5, "p90": 1.5, "p95": 1.5, "p99": 1.5, "max": 1.5},
        "latency": {"count": 2, "p50": 1.25, "p90": 1.25, "p95": 1.25, "p99": 1.25, "max": 1.25},
        "transcription_delay": None,
        "end_of_turn_delay": None,
        "llm_node_ttft": None,
        "tts_node_ttfb": None,
        "interruptions": 0,
        "tool_calls": 2,
        "tool_failures": 2,
        "errors": 2,
    }
    assert found[2]["minutes"] == 0


@pytest.mark.parametrize(("bucket", "count"), [("minute", 120), ("hour", 2), ("day", 1), ("", 2)])
def test_sizes(server: Hub, bucket: str, count: int) -> None:
    first = int(START // HOUR * HOUR)
    found = get(server, f"from={first}&to={first + 2 * HOUR}&bucket={bucket}")["buckets"]
    assert len(found) == count
    assert sum(one["sessions"] for one in found) == 4


def test_filters_and_the_callers_rooms(server: Hub) -> None:
    asked = f"from={START - HOUR}&to={START + 3 * HOUR}&bucket=day"
    assert get(server, asked + "&room=room-1&agent=helper")["buckets"][0]["sessions"] == 2
    assert get(server, asked + "&agent=other")["buckets"][0]["sessions"] == 0
    assert get(server, asked, **token("subscribe", rooms=["room-0"]))["buckets"][0]["sessions"] == 2
    assert get(server, asked)["buckets"][0]["sessions"] == 4


def test_viewers_see_no_figures_of_operators(server: Hub) -> None:
    (bucket,) = get(server, f"from={START - HOUR}&to={START + 3 * HOUR}&bucket=day", **VIEWER)["buckets"]
    hidden = (
        "latency",
        "transcription_delay",
        "llm_node_ttft",
        "tts_node_ttfb",
        "tool_calls",
        "tool_failures",
        "errors",
    )
    assert all(bucket[name] is None for name in hidden)
    assert bucket["heard_latency"]["count"] == 4


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("bucket=week", "bucket"),
        ("from=x", "from"),
        ("to=x", "to"),
        ("by=room", "by"),
        ("room=%00", "room"),
        ("from=0&bucket=minute", "bucket"),
        (f"from=0&to={10_001 * HOUR}", "bucket"),
        ("from=5&to=1", "from"),
        ("from=1&from=2", "from"),
        ("bucket=day&bucket=hour", "bucket"),
    ],
)
def test_bad_queries_are_400_and_named(server: Hub, asked: str, field: str) -> None:
    assert get(server, asked, 400)["field"] == field


def test_the_most_buckets(server: Hub) -> None:
    assert len(get(server, f"from=0&to={10_000 * HOUR}")["buckets"]) == 10_000


def test_a_range_that_ends_before_it_begins_names_both_ends(server: Hub) -> None:
    detail = get(server, "from=5&to=1", 400)["detail"]
    assert "from=5" in detail
    assert "to=1" in detail


def test_without_from_it_begins_at_the_first_session(server: Hub) -> None:
    first = int(START // HOUR * HOUR)
    found = get(server, f"to={first + 4 * HOUR}")["buckets"]
    assert [one["start"] for one in found] == [first + place * HOUR for place in range(4)]
    assert [one["sessions"] for one in found] == [2, 2, 0, 0]
    assert get(server, f"to={first + HOUR}&room=room-1")["buckets"][0]["sessions"] == 1
    last = get(server, f"to={first + 2 * HOUR}&room=room-1&bucket=minute")["buckets"]
    assert last[0]["start"] == (START + 1000) // 60 * 60
    assert last[0]["sessions"] == 1


def test_without_from_and_without_a_session_there_is_no_bucket(server: Hub) -> None:
    assert get(server, "room=unheard-of")["buckets"] == []
    assert get(server, f"to={START - 1}")["buckets"] == []


def test_without_from_there_are_never_too_many_buckets(server: Hub) -> None:
    # Of 10,000 hours, the newest: the sessions lie before them.
    assert get(server, f"to={int(START) + 10_002 * HOUR}")["buckets"] == []
    found = get(server, f"to={int(START // HOUR * HOUR) + 10_000 * HOUR}")["buckets"]
    assert len(found) == 10_000
    assert found[0]["sessions"] == 2
    assert get(server, "")["buckets"][-1]["start"] <= time.time()


def test_callers_see_their_own_rights(server: Hub) -> None:
    assert server.get("/api/me", **OPERATOR).json() == {
        "scopes": ["operate", "publish", "subscribe"],
        "view": "operator",
        "rooms": None,
    }
    assert server.get("/api/me", **VIEWER).json() == {
        "scopes": ["subscribe"],
        "view": "viewer",
        "rooms": None,
    }
    limited = token("subscribe", rooms=["b", "a"], view="operator")
    assert server.get("/api/me", **limited).json() == {
        "scopes": ["subscribe"],
        "view": "operator",
        "rooms": ["a", "b"],
    }
    assert server.get("/api/me").status_code == 401
    assert server.get("/api/me?verbose=1", **VIEWER).json()["field"] == "verbose"
