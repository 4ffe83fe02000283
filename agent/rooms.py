"""The assistant in LiveKit's rooms: a job's entry point and its session with OpenAI's models.

This is what a LiveKit user writes; `attach` is the one line that streams it. Models, voice and language come
from the AGENT_* settings, any OpenAI-compatible endpoint from OPENAI_BASE_URL.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from livekit.agents import AgentSession, JobContext, JobProcess
from livekit.plugins import openai, silero

from agent.assistant import Assistant
from agent.attach import attach

if TYPE_CHECKING:
    from livekit.agents import vad


def prewarm(process: JobProcess) -> None:
    """Load the voice activity model before the first job needs it."""
    process.userdata["vad"] = silero.VAD.load()


def make_session(detector: vad.VAD) -> AgentSession[None]:
    """Make the session of a real room; models, voice and language come from the AGENT_* settings."""
    language = os.environ.get("AGENT_LANGUAGE") or "en"
    stt_model = os.environ.get("AGENT_STT_MODEL") or "gpt-4o-mini-transcribe"
    realtime = os.environ.get("AGENT_STT_REALTIME", "").lower() in {"1", "true", "yes", "on"}
    return AgentSession(
        vad=detector,
        stt=openai.STT(model=stt_model, language=language, use_realtime=realtime),
        llm=openai.LLM(model=os.environ.get("AGENT_LLM_MODEL") or "gpt-4.1-mini"),
        tts=openai.TTS(
            model=os.environ.get("AGENT_TTS_MODEL") or "gpt-4o-mini-tts",
            voice=os.environ.get("AGENT_VOICE") or "ash",
        ),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
        session_close_transcript_timeout=1.0,
    )


async def entrypoint(ctx: JobContext) -> None:
    """Run one job: a session in one room."""
    session = make_session(ctx.proc.userdata["vad"])
    attach(session, ctx)
    await session.start(agent=Assistant(), room=ctx.room)
