"""Rooms with a person and an agent each that behave like a talk, for the watcher's CPU: synthetic, without audio.

Run by `bench/livekit_figures.py`:  livekit_crowd.py ROOMS

Takes LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET from the environment, prints `talking` once all are in, and
runs until it is ended. The rate is that of a real talk without a pause: 216 session messages and 50 text streams a
minute in each room.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from livekit import api, rtc
from livekit.protocol.agent_pb import agent_session as pb

MESSAGE_SECONDS = 60 / 216
STREAM_SECONDS = 60 / 50
WORDS = ["It", "takes", "a", "little", "while", "to", "say", "all", "of", "this."]


def token(room: str, identity: str, kind: str) -> str:
    """Return a token for one participant of a kind."""
    grants = api.VideoGrants(room_join=True, room=room)
    made = api.AccessToken().with_identity(identity).with_grants(grants)
    return (made.with_kind("agent") if kind == "agent" else made).to_jwt()


async def _join(room: str, identity: str, kind: str) -> rtc.Room:
    joined = rtc.Room()
    await joined.connect(
        os.environ["LIVEKIT_URL"], token(room, identity, kind), rtc.RoomOptions(auto_subscribe=False)
    )
    return joined


def _messages(number: int) -> bytes:
    event = pb.AgentSessionEvent()
    event.created_at.GetCurrentTime()
    spoken = number % 4
    if spoken == 0:
        event.agent_state_changed.old_state, event.agent_state_changed.new_state = (
            pb.AS_LISTENING,
            pb.AS_SPEAKING,
        )
    elif spoken == 1:
        event.user_input_transcribed.transcript = f"Question number {number}"
        event.user_input_transcribed.is_final = True
    elif spoken == 2:
        event.agent_state_changed.old_state, event.agent_state_changed.new_state = (
            pb.AS_SPEAKING,
            pb.AS_LISTENING,
        )
    else:
        event.session_usage_updated.usage.model_usage.add().llm.input_tokens = number
    return pb.AgentSessionMessage(event=event).SerializeToString()


async def _send_messages(agent: rtc.Room) -> None:
    number = 0
    while True:
        await agent.local_participant.send_bytes(_messages(number), name="AS_x", topic="lk.agent.session")
        number += 1
        await asyncio.sleep(MESSAGE_SECONDS)


async def _send_words(agent: rtc.Room) -> None:
    while True:
        attributes = {"lk.transcription_final": "false", "lk.segment_id": os.urandom(4).hex()}
        writer = await agent.local_participant.stream_text(topic="lk.transcription", attributes=attributes)
        for word in WORDS:
            await writer.write(word + " ")
            await asyncio.sleep(STREAM_SECONDS / len(WORDS))
        await writer.aclose(attributes={"lk.transcription_final": "true"})


async def main(count: int) -> None:
    """Fill the rooms and talk."""
    work: list[Any] = []
    rooms = []
    for number in range(count):
        room = f"crowd-{number}"
        rooms.append(await _join(room, "alice", "standard"))
        agent = await _join(room, f"agent-AJ_crowd{number}", "agent")
        rooms.append(agent)
        work += [_send_messages(agent), _send_words(agent)]
    print("talking", flush=True)
    await asyncio.gather(*work)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
