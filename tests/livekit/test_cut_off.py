"""A node that is cut off from Redis, in real rooms: it keeps its call and takes no other; another node takes those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kit.redis_server import RedisServer
from tests.kit.tcp_proxy import Proxy
from tests.kit.wait import let_pass, until
from tests.livekit.processes import HubServer
from tests.livekit.test_conversation import greeted

if TYPE_CHECKING:
    from pathlib import Path

    from tests.livekit.conftest import Join
    from tests.livekit.processes import LiveKitServer
    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(300)]


def test_a_node_that_is_cut_off_keeps_its_call_and_takes_no_new_one(
    tmp_path: Path, livekit_server: LiveKitServer, stub: OpenAIStub, join: Join
) -> None:
    redis = RedisServer(tmp_path / "redis", tcp=True)
    models = {"OPENAI_API_KEY": "any", "OPENAI_BASE_URL": stub.base_url}

    def node(name: str, port: int) -> HubServer:
        (tmp_path / name).mkdir()
        own = {"STREAM_HISTORY": f"redis://127.0.0.1:{port}/0", "STREAM_NODE": name, "STREAM_ARCHIVE": "off"}
        return HubServer(tmp_path / name, {**livekit_server.environment, **models, **own})

    try:
        with Proxy([redis.port]) as network, node("a", network.port) as a, node("b", redis.port) as b:
            a.start_agent()
            alice = join("kept")
            greeted(b.stream, "kept")
            network.refusing = True
            network.cut()
            until(
                lambda: "cut off from Redis" in (a.get("/api/agent/status")["trouble"] or ""),
                30,
                what=lambda: a.log,
            )

            def taken_over() -> bool:
                status = b.get("/api/agent/status")
                return status["node"] == "b" and status["state"] in ("ready", "running")

            until(taken_over, 60, what=lambda: b.log)
            # LiveKit spreads rooms over both workers; the one that is cut off leaves its share to the other.
            for number in range(5):
                join(f"new-{number}", f"guest-{number}")
                b.stream.wait("session_started", room=f"new-{number}", seconds=60)
            assert b.get("/api/agent/status")["sessions"] == 5
            # Nor is another agent sent into the call that continues.
            let_pass(35)
            assert b.get("/api/agent/status")["sessions"] == 5
            status = a.get("/api/agent/status")
            assert (status["node"], status["sessions"], status["state"]) == ("a", 1, "running")
            assert alice.wait_for_agent()
            network.refusing = False
            until(lambda: a.get("/api/health")["history"] == "ok", 30, what=lambda: a.log)
            until(lambda: b.get("/api/agent/status")["node"] == "b", 20)
            alice.leave()
            # Its last call has ended, and another node runs the agent.
            until(lambda: "stops after its last session" in a.log, 60, what=lambda: a.log)
            until(lambda: a.get("/api/agent/status")["node"] == "b", 60, what=lambda: a.log)
    finally:
        redis.stop()
