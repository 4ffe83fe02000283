"""The session of a real room, with OpenAI's models.

Models, voice and language come from the AGENT_* settings, any OpenAI-compatible endpoint from OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from livekit.agents import AgentSession
from livekit.plugins import openai
from openai import AsyncClient, DefaultAsyncHttpxClient

from .settings import speech_timeout

if TYPE_CHECKING:
    from livekit.agents import vad


def speech_client(seconds: float) -> AsyncClient:
    """Make a client for speech recognition and synthesis that waits this many seconds for the next byte.

    The plugin gives every request 30 s, whatever its client says: for that long, a hanging model would go unreported.
    """

    async def limit(request: Any) -> None:
        request.extensions["timeout"]["read"] = seconds

    return AsyncClient(max_retries=0, http_client=DefaultAsyncHttpxClient(event_hooks={"request": [limit]}))


def make_session(detector: vad.VAD) -> AgentSession[None]:
    """Make the session of a real room; models, voice and language come from the AGENT_* settings."""
    language = os.environ.get("AGENT_LANGUAGE") or "en"
    stt_model = os.environ.get("AGENT_STT_MODEL") or "gpt-4o-mini-transcribe"
    realtime = os.environ.get("AGENT_STT_REALTIME", "").lower() in {"1", "true", "yes", "on"}
    patience = speech_timeout(os.environ)
    client = speech_client(patience)
    session: AgentSession[None] = AgentSession(
        vad=detector,
        stt=openai.STT(model=stt_model, language=language, use_realtime=realtime, client=client),
        llm=openai.LLM(model=os.environ.get("AGENT_LLM_MODEL") or "gpt-4.1-mini"),
        tts=openai.TTS(
            model=os.environ.get("AGENT_TTS_MODEL") or "gpt-4o-mini-tts",
            voice=os.environ.get("AGENT_VOICE") or "ash",
            client=client,
        ),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
        # a websocket that says nothing more is no error to the plugin; a request that hangs is
        transcription_timeout=patience if realtime else None,
        session_close_transcript_timeout=1.0,
    )
    _close_afterwards(session, client)
    return session


def _close_afterwards(session: AgentSession[None], client: AsyncClient) -> None:
    """Close the models' connections when the session has ended: nothing else does, and a worker has many sessions."""
    models = [model for model in (session.stt, session.llm, session.tts) if model is not None]

    async def close() -> None:
        await asyncio.gather(*(model.aclose() for model in models), return_exceptions=True)
        await client.close()

    closing: list[asyncio.Task[None]] = []  # the loop itself holds tasks weakly
    session.on("close", lambda _event: closing.append(asyncio.create_task(close(), name="close-models")))
