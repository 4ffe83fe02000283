"""A watched room in which a person and an agent send what LiveKit's SDKs never would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import pytest
from livekit import api, rtc
from livekit.protocol.agent_pb import agent_session as pb

from agent.watching import room as watching
from tests.kit.wait import until
from tests.livekit.processes import API_KEY, API_SECRET
from tests.livekit.test_watcher import Place, watcher

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from tests.livekit.processes import HubServer, Seen

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(240)]

ROOM = "den"
AGENT = "agent-AJ_hostile"
GOOD = "It still works."


class Sender:
    """A participant that sends streams as it likes; a context manager.

    Args:
        place: livekit-server.
        identity: The name in its token.
        kind: The kind in its token.
        room: The room.
    """

    def __init__(self, place: Place, identity: str, kind: str = "standard", room: str = ROOM) -> None:
        grants = api.VideoGrants(room_join=True, room=room, can_update_own_metadata=True)
        token = api.AccessToken(API_KEY, API_SECRET).with_identity(identity).with_kind(kind)  # type: ignore[arg-type]
        self._token = token.with_grants(grants).with_ttl(timedelta(hours=1)).to_jwt()
        self._url = place.livekit.url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: list[Any] = []

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def __enter__(self) -> Self:
        self._thread.start()
        self.do(self._join())
        return self

    async def _join(self) -> None:
        self._room = rtc.Room(loop=self._loop)
        await self._room.connect(self._url, self._token)

    def __exit__(self, *_: object) -> None:
        self.do(self._room.disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def message(self, data: bytes, *, finish: bool = True) -> None:
        """Send a session message, or its beginning."""
        self.do(self._message(data, finish=finish))

    async def _message(self, data: bytes, *, finish: bool) -> None:
        writer = await self._room.local_participant.stream_bytes("message", topic=watching.SESSION_MESSAGES)
        await writer.write(data)
        if finish:
            await writer.aclose()
        else:
            self._open.append(writer)

    def words(self, text: str, *, finish: bool = True) -> None:
        """Send a transcription, or its beginning."""
        self.do(self._words(text, finish=finish))

    async def _words(self, text: str, *, finish: bool) -> None:
        writer = await self._room.local_participant.stream_text(topic=watching.TRANSCRIPTION)
        await writer.write(text)
        if finish:
            await writer.aclose()
        else:
            self._open.append(writer)

    def state(self, state: str) -> None:
        self.do(self._room.local_participant.set_attributes({watching.STATE: state}))


def said(text: str, at: float | None = None, *, is_final: bool = True) -> bytes:
    """Return a session message with the user's words."""
    event = pb.AgentSessionEvent(
        user_input_transcribed=pb.AgentSessionEvent.UserInputTranscribed(transcript=text, is_final=is_final)
    )
    at = time.time() if at is None else at
    event.created_at.seconds = int(at)
    return pb.AgentSessionMessage(event=event).SerializeToString()


def hostile() -> Iterator[bytes]:
    """Yield messages as no SDK would send them."""
    yield b""
    yield b"\xff" * 100
    yield os.urandom(5000)
    yield said("invalid").replace(b"invalid", b"inv\xff\xfe\xfd\xfc")
    yield said("unknown fields") + b"\xfa\x7f\x03abc" * 100
    yield said("x" * 200_000)
    yield said("x" * (watching.MAX_MESSAGE + 1))
    for at in (0.0, -5.0, 2.0**40, time.time() - 3600, time.time() + 3600):
        yield said(f"at {at}", at)
    state = pb.AgentSessionEvent()
    state.agent_state_changed.SetInParent()
    yield pb.AgentSessionMessage(event=state).SerializeToString() + b"\x22\x06\x12\x04\x08\x63\x10\x63"
    ended = pb.AgentSessionEvent()
    ended.tool_execution_updated.ended.call_id = "never begun"
    yield pb.AgentSessionMessage(event=ended).SerializeToString()
    item = pb.AgentSessionEvent()
    item.conversation_item_added.item.message.role = pb.ASSISTANT
    yield pb.AgentSessionMessage(event=item).SerializeToString()
    error = pb.AgentSessionEvent()
    error.error.message = "type='" + "'" * 10_000
    yield pb.AgentSessionMessage(event=error).SerializeToString()


@pytest.fixture
def place(tmp_path: Path, _needs_livekit_server: None) -> Iterator[Place]:
    with Place(tmp_path) as here:
        yield here


def test_what_a_room_sends_cannot_stop_the_watcher(place: Place) -> None:
    hub = place.hub()
    before = watcher(hub)["pid"]
    with contextlib.ExitStack() as room:
        agent = room.enter_context(Sender(place, AGENT, "agent"))
        alice = room.enter_context(Sender(place, "alice"))
        room.enter_context(Sender(place, "b\r\no\N{RIGHT-TO-LEFT OVERRIDE}b" + "x" * 200))
        until(lambda: place.watchers(ROOM) == 1, seconds=30, what=lambda: hub.log)
        # A person may send on the agent's topics, too, and need not end anything.
        for _ in range(2 * watching.MAX_STREAMS):
            alice.message(b"half a message", finish=False)
            alice.words("half a word", finish=False)
        alice.words("x" * 3_000_000)
        agent.state("speaking")
        for data in hostile():
            agent.message(data)
        agent.state("no state of LiveKit's")
        agent.words("y" * 200_000)
        agent.message(said(GOOD))
        heard = hub.stream.wait("transcript", role="user", text=GOOD, is_final=True, seconds=30)
        assert (heard["participant"], heard["room"]) == ("alice", ROOM)
        assert watcher(hub)["rooms"] == 1
    over = hub.stream.wait("session_ended", session_id=heard["session_id"], seconds=30)
    assert over["reason"]
    until(lambda: watcher(hub)["rooms"] == 0, seconds=30, what="the watcher has left")
    assert watcher(hub)["pid"] == before
    assert "Traceback" not in hub.log
    assert "unexpected error" not in hub.log
    for seen in hub.stream.events.all():
        assert abs((seen["timestamp"] or time.time()) - time.time()) < 7200


def talks(hub: HubServer, place: Place, room: str, after: Seen | None = None) -> None:
    """Hold a call of one utterance, which the watcher reports from its start to its end."""
    with Sender(place, AGENT, "agent", room) as agent, Sender(place, "alice", room=room):
        until(lambda: place.watchers(room) == 1, seconds=60, what=lambda: hub.log)
        agent.message(said("first"))
        agent.message(said(GOOD))
        heard = hub.stream.wait("transcript", text=GOOD, room=room, after=after, seconds=30)
    hub.stream.wait("session_ended", session_id=heard["session_id"], seconds=30)
    until(lambda: watcher(hub)["rooms"] == 0, seconds=30, what="the watcher has left")


def test_livekit_server_may_restart_in_a_call(place: Place) -> None:
    hub = place.hub()
    before = watcher(hub)["pid"]
    with Sender(place, AGENT, "agent") as agent, Sender(place, "alice"):
        until(lambda: place.watchers(ROOM) == 1, seconds=30, what=lambda: hub.log)
        agent.message(said("first"))
        agent.message(said("second"))
        heard = hub.stream.wait("transcript", text="second", seconds=30)
        place.livekit.kill()
        place.livekit.start()
        over = hub.stream.wait("session_ended", session_id=heard["session_id"], seconds=90)
    until(lambda: watcher(hub)["rooms"] == 0, seconds=60, what=lambda: hub.log)
    talks(hub, place, "next", over)
    assert watcher(hub)["pid"] == before
    assert "Traceback" not in hub.log


def test_a_room_that_is_closed_while_the_watcher_joins_is_forgotten(place: Place) -> None:
    hub = place.hub()
    before = watcher(hub)["pid"]
    for number in range(8):
        room = f"short-{number}"
        with Sender(place, "alice", room=room):
            time.sleep(number * 0.04)
            place.livekit.ask("RoomService/DeleteRoom", room=room)
    until(lambda: watcher(hub)["rooms"] == 0, seconds=60, what=lambda: hub.log)
    # Joining may open a room again that was closed a moment before; it is left at once.
    until(lambda: not any(room.startswith("short-") for room in place.rooms()), seconds=60, what=place.rooms)
    talks(hub, place, "next")
    assert watcher(hub)["pid"] == before
    assert "Traceback" not in hub.log


def test_a_wrong_secret_is_named_and_the_hub_works(place: Place) -> None:
    hub = place.hub(LIVEKIT_API_SECRET="another_secret_of_32_bytes_or_more")
    until(lambda: "rejects LIVEKIT_API_KEY" in str(watcher(hub)["trouble"]), what=lambda: hub.log)
    with Sender(place, "alice"):
        time.sleep(2)
        assert watcher(hub)["rooms"] == 0
    assert hub.post("/api/agent/data", {"type": "still.here"})["status"] == "ok"
    assert "Traceback" not in hub.log
