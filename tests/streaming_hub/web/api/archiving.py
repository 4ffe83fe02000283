"""What the tests of the archive's endpoints share: posting calls, and waiting until they are archived."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.streaming_hub.server.wire import PATIENCE

if TYPE_CHECKING:
    from tests.kit.hub import Hub

START = 1_795_430_000.0
OPERATOR = {"X-API-Key": "operator-key"}
VIEWER = {"X-API-Key": "viewer-key"}
KEYS = {
    "STREAM_OPERATOR_KEYS": "operator-key",
    "STREAM_SUBSCRIBE_KEYS": "viewer-key",
    "STREAM_PUBLISH_KEYS": "publish-key",
}


def call(
    session_id: str, room: str | None = "support-7", at: float = START, *, ends: bool = True
) -> list[dict[str, Any]]:
    """Return a short call: a greeting, a question, its answer with a failed tool and an error."""
    common: dict[str, Any] = {"session_id": session_id} | ({} if room is None else {"room": room})
    user = {"role": "user", "participant": "alice", "turn_id": f"{session_id}.t1", **common}
    agent = {"role": "agent", "participant": "agent", "turn_id": f"{session_id}.t1", **common}
    made: list[tuple[float, str, dict[str, Any]]] = [
        (0.0, "session_started", {"agent_name": "helper", **common}),
        (1.0, "user_speech_started", {"started_at": at + 1.0, **user}),
        (2.0, "transcript", {"text": "What time", "is_final": False, "segment_id": "s", **user}),
        (3.0, "user_speech_finished", {"stopped_at": at + 2.5, **user}),
        (3.0, "transcript", {"text": f"What time is it in Paris, {session_id}?", "segment_id": "s", **user}),
        (3.1, "tool_call_started", {"call_id": "c", "name": "clock", "arguments": {"q": "=1"}, **agent}),
        (3.2, "tool_call_finished", {"call_id": "c", "status": "error", "output": "no", **agent}),
        (3.3, "error", {"source": "llm", "message": "overloaded", "recoverable": True, **common}),
        (4.0, "agent_speech_started", agent),
        (5.0, "transcript", {"text": "Half past eleven.", **agent}),
        (5.0, "turn_metrics", {"e2e_latency": 1.25, **agent}),
        (5.5, "agent_speech_finished", agent),
        (6.0, "usage", {"model_usage": [{"type": "llm_usage"}], **common}),
    ]
    if ends:
        made.append((8.0, "session_ended", {"reason": "participant_disconnected", **common}))
    return [{"type": kind, "timestamp": at + after, **fields} for after, kind, fields in made]


def post(server: Hub, events: list[dict[str, Any]]) -> list[str]:
    """Publish a batch; return the ids."""
    answer = server.post(events, **{"X-API-Key": "publish-key"})
    assert answer.status_code == 200, answer.text
    return answer.json()["ids"]


def eventually(look: Any, wanted: Any, seconds: float = PATIENCE) -> Any:
    """Wait until a look gives what is wanted (a value, or a function that says so)."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if wanted(found) if callable(wanted) else found == wanted:
            return found
        assert time.monotonic() < until, found
        time.sleep(0.02)


def ids(answer: Any) -> list[str]:
    """Return the ids of a list's sessions."""
    assert answer.status_code == 200, answer.text
    return [one["session_id"] for one in answer.json()["sessions"]]


def wait_for(server: Hub, *session_ids: str, ended: bool = True) -> None:
    """Wait until sessions are archived, and their reports too where they have ended."""

    def seen() -> set[str]:
        # 503 until its process has started.
        found = server.get("/api/sessions?limit=200", **OPERATOR).json().get("sessions", [])
        return {one["session_id"] for one in found if one["state"] == "ended" or not ended}

    eventually(seen, lambda found: set(session_ids) <= found)


def reports(server: Hub) -> list[dict[str, Any]]:
    """Return the stored reports."""
    found = server.get("/api/events?type=session_report&limit=1000", **OPERATOR)
    return found.json()["events"]
