"""The watcher of a hub of two nodes on one Redis, in a real room: one of them runs it, and the other takes over."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.kit.redis_server import RedisServer
from tests.kit.wait import allowed, until
from tests.livekit.processes import HubServer
from tests.livekit.test_watcher import HELLO, Place, greeted, watcher

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stubs.openai_stub import OpenAIStub

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(300)]

TAKEN_OVER_SECONDS = 15.0


def test_when_the_node_that_watches_dies_the_other_one_watches_on(tmp_path: Path, stub: OpenAIStub) -> None:
    stub.learn(HELLO)
    redis = RedisServer(tmp_path / "redis", tcp=True)

    def node(name: str, port: int | None = None) -> HubServer:
        (tmp_path / name).mkdir()
        own = {
            "STREAM_HISTORY": redis.url,
            "STREAM_NODE": name,
            "STREAM_ARCHIVE": "off",
            "STREAM_WATCH": "all",
        }
        return HubServer(tmp_path / name, {**place.livekit.environment, **own}, port)

    with contextlib.ExitStack() as running:
        running.callback(redis.stop)
        place = running.enter_context(Place(tmp_path))
        first = running.enter_context(node("a"))
        until(lambda: watcher(first)["pid"] is not None, seconds=60, what=lambda: first.log)
        # livekit-server's webhooks reach this one, which runs no watcher, and the whole hub by it.
        second = running.enter_context(node("b", place.port))
        place.agent(stub)
        alice = running.enter_context(place.person("den"))
        alice.wait_for_agent()
        greeted(second, "den")
        started = second.stream.wait("session_started", room="den")
        assert (watcher(first)["rooms"], watcher(second)["pid"]) == (1, None)
        assert place.watchers("den") == 1
        first.kill()
        died = time.monotonic()
        until(lambda: watcher(second)["pid"] is not None, seconds=60, what=lambda: second.log)
        assert time.monotonic() - died < allowed(TAKEN_OVER_SECONDS)
        until(lambda: watcher(second)["rooms"] == 1, seconds=60, what=lambda: second.log)
        until(lambda: place.watchers("den") == 1, seconds=60, what="the first one's watcher has left")
        alice.say(HELLO)
        again = second.stream.wait("session_started", room="den", after=started, seconds=60)
        said = second.stream.wait("transcript", role="user", is_final=True, after=again, seconds=60)
        told = second.stream.wait("transcript", role="agent", is_final=True, after=said, seconds=60)
        assert (said["text"], told["text"]) == (HELLO, f"You said: {HELLO}")
        assert said["session_id"] == told["session_id"] == again["session_id"] != started["session_id"]
        over = second.stream.wait("session_ended", session_id=started["session_id"], seconds=60)
        assert over["reason"] in ("lease_expired", "worker_lost")
