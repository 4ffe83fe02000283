"""A LiveKit agent with one line added that streams its conversation to the hub.

Started by LiveKit's own command line, from the project's directory, not by the hub:

    uv run --env-file .env.local python -m livekit.agents start examples/own_agent/pizza.py

Reads LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET and OPENAI_API_KEY as every LiveKit agent does, and STREAM_URL
and STREAM_PUBLISH_KEY for the hub.
"""

from livekit.agents import Agent, AgentServer, AgentSession, JobContext
from livekit.plugins import openai, silero
from streaming_hub_client import attach

server = AgentServer(host="127.0.0.1", port=0)


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    """Take one call."""
    session: AgentSession[None] = AgentSession(
        vad=silero.VAD.load(),
        stt=openai.STT(),
        llm=openai.LLM(),
        tts=openai.TTS(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    attach(session, ctx)  # the one line
    await session.start(agent=Agent(instructions="You take orders for pizza. Be brief."), room=ctx.room)
    session.generate_reply(instructions="Ask for the order.")
