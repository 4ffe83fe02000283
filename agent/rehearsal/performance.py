"""One rehearsed conversation: the assistant in a real job, with recordings for its microphone.

The user's part waits for what the session does (its agent states); it never says what the session should do.
"""

from __future__ import annotations

import asyncio
import logging
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livekit.agents import AgentSession, JobContext, JobProcess
from livekit.agents.voice.transcription import TranscriptSynchronizer
from livekit.plugins import silero
from streaming_hub_client.attachment import Attachment, attach

from ..assistant import Assistant
from .models import ScriptedLLM, ScriptedSTT, ScriptedTTS
from .script import LINES, Line
from .sound import Microphone, Speaker, read_recording

if TYPE_CHECKING:
    from livekit.agents import AgentStateChangedEvent

log = logging.getLogger(__name__)

AUDIO = Path(str(files(__package__))) / "audio"
REACTION_SECONDS = 0.4
PATIENCE_SECONDS = 12.0


def read_recordings() -> dict[str, list[bytes]]:
    """Read the recording of every line from AGENT_REHEARSAL_AUDIO, or from this package.

    Raises:
        FileNotFoundError: One is missing.
        ValueError: One is not 16 kHz, mono, 16 bit.
    """
    folder = Path(os.environ.get("AGENT_REHEARSAL_AUDIO") or AUDIO)
    return {line.name: read_recording(folder / f"{line.name}.wav") for line in LINES}


def prewarm(process: JobProcess) -> None:
    """Load the voice activity model and the recordings before the first conversation."""
    process.userdata["vad"] = silero.VAD.load()
    process.userdata["recordings"] = read_recordings()


def make_session(vad: Any, microphone: Microphone) -> AgentSession[None]:
    """Make a session like the real one, with scripted models and nothing that needs a network."""
    return AgentSession(
        vad=vad,
        stt=ScriptedSTT(vad, microphone),
        llm=ScriptedLLM(),
        tts=ScriptedTTS(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
        aec_warmup_duration=None,
        session_close_transcript_timeout=0.5,
    )


async def entrypoint(ctx: JobContext) -> None:
    """Hold one conversation; the job ends when it is over."""
    microphone = Microphone(ctx.proc.userdata["recordings"])
    session = make_session(ctx.proc.userdata["vad"], microphone)
    stream = attach(session, ctx)
    _wire(session, microphone, stream)
    user = User(session, microphone)
    await session.start(agent=Assistant())
    conversation = asyncio.create_task(_converse(user, stream, ctx), name="rehearsed-user")
    session.on("close", lambda _event: conversation.cancel())


async def _converse(user: User, stream: Attachment, ctx: JobContext) -> None:
    for line in LINES:
        await user.say(line)
    await user.wait_until("listening")
    stream.ending("conversation_over")
    # Closing the session from here would cancel this task; the job closes it on its way out.
    ctx.shutdown(reason="conversation over")


def _wire(session: AgentSession[None], microphone: Microphone, stream: Attachment) -> None:
    synchronizer = TranscriptSynchronizer(next_in_chain_audio=Speaker(), next_in_chain_text=stream.words)
    session.input.audio = microphone
    session.output.audio = synchronizer.audio_output
    session.output.transcription = synchronizer.text_output


class User:
    """Speaks the lines, each when the agent is where the line belongs.

    Args:
        session: The session whose states it watches.
        microphone: Where it speaks.
    """

    def __init__(self, session: AgentSession[None], microphone: Microphone) -> None:
        self._microphone = microphone
        self._state = ""
        self._spoke = False
        self._changed = asyncio.Event()
        session.on("agent_state_changed", self._on_state)

    async def say(self, line: Line) -> None:
        """Wait for the line's moment and speak it."""
        if line.cuts_in_after is None:
            await self.wait_until("listening")
            await asyncio.sleep(REACTION_SECONDS)
        else:
            await self.wait_until("speaking")
            await asyncio.sleep(line.cuts_in_after)
        self._spoke = False
        await self._microphone.play(line)

    async def wait_until(self, state: str) -> None:
        """Wait until the agent is in a state after it has spoken, or until patience ends.

        Args:
            state: `listening`: the agent has spoken since the last line, and is silent; `speaking`.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (self._state == state and self._spoke):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.warning("rehearsal: the agent was not %s within %.0f s", state, PATIENCE_SECONDS)

    def _on_state(self, event: AgentStateChangedEvent) -> None:
        self._state = event.new_state
        self._spoke = self._spoke or event.new_state == "speaking"
        self._changed.set()
