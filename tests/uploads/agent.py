"""An agent without a line about the hub, as its author would write it; STREAM_URL adds `attach` to compare the two."""

from __future__ import annotations

import os
from typing import Any

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, function_tool
from livekit.plugins import openai, silero

server = AgentServer(host="127.0.0.1", port=0, load_fnc=lambda *_: 0.0)


class Assistant(Agent):
    """Greets, and knows the time."""

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the user.")

    @function_tool
    async def current_time(self, time_zone: str = "UTC") -> str:
        """Tell the time in a time zone."""
        return f"noon in {time_zone}"

    @function_tool
    async def call_clerk(self) -> Agent:
        """Hand over to the clerk."""
        return Clerk(instructions="You are the clerk.")


class Clerk(Agent):
    """Takes over, and says so."""

    async def on_enter(self) -> None:
        await self.session.say("The clerk is here.")


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    """Take one call."""
    session: AgentSession[None] = AgentSession(
        vad=silero.VAD.load(),
        stt=openai.STT(),
        llm=openai.LLM(model="gpt-4o-mini"),
        tts=openai.TTS(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    if os.environ.get("STREAM_URL"):
        from streaming_hub_client import attach

        attach(session, ctx)
    options: dict[str, Any] = {"redaction": True} if os.environ.get("RECORD") == "redacted" else {}
    await session.start(
        agent=Assistant(instructions="You are a friendly assistant. SECRET-PROMPT."),
        room=ctx.room,
        record=options or True,
    )
