"""Models of LiveKit's base types that say what a test sets, for real AgentSessions without a network."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livekit import rtc
from livekit.agents import APIConnectOptions, LanguageCode, llm, stt, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN
from livekit.agents.voice import io

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

RATE = 24_000
SILENCE = bytes(RATE // 50 * 2)


def frame(data: bytes = SILENCE) -> rtc.AudioFrame:
    """Make a frame of 16-bit mono audio; by default 20 ms of silence."""
    return rtc.AudioFrame(data, RATE, 1, len(data) // 2)


@dataclass
class Said:
    """One answer of a model.

    Attributes:
        deltas: Its text, in the parts in which the model gives it.
        calls: Tools it calls, as (name, JSON arguments).
        hold: Waited for after the first part of the answer.
    """

    deltas: Sequence[str] = ()
    calls: Sequence[tuple[str, str]] = ()
    hold: asyncio.Event | None = None


class ScriptedChat(llm.LLM[Any]):
    """A language model that gives the queued answers in turn."""

    def __init__(self, *answers: Said | str) -> None:
        super().__init__()
        self.answers = deque(answers)

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_options: Any,
    ) -> llm.LLMStream:
        said = self.answers.popleft() if self.answers else "I have nothing more to say."
        answer = Said(deltas=[said]) if isinstance(said, str) else said
        return _ChatStream(self, answer, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _ChatStream(llm.LLMStream):
    def __init__(self, model: ScriptedChat, answer: Said, **options: Any) -> None:
        super().__init__(model, **options)
        self._answer = answer

    async def _run(self) -> None:
        for number, text in enumerate(self._answer.deltas):
            delta = llm.ChoiceDelta(role="assistant", content=text)
            self._event_ch.send_nowait(llm.ChatChunk(id="chunk", delta=delta))
            if number == 0 and self._answer.hold is not None:
                await self._answer.hold.wait()
        calls = [
            llm.FunctionToolCall(name=name, arguments=arguments, call_id=utils.shortuuid("call_"))
            for name, arguments in self._answer.calls
        ]
        if calls:
            delta = llm.ChoiceDelta(role="assistant", tool_calls=calls)
            self._event_ch.send_nowait(llm.ChatChunk(id="chunk", delta=delta))


class PushedSTT(stt.STT[Any]):
    """Speech recognition that hears what a test pushes."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.streams: list[_PushedStream] = []

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS, **_options: Any
    ) -> stt.RecognizeStream:
        self.streams.append(_PushedStream(stt=self, conn_options=conn_options))
        return self.streams[-1]

    def push(self, kind: stt.SpeechEventType, text: str = "") -> None:
        """Send one speech event to the session."""
        data = stt.SpeechData(language=LanguageCode("en"), text=text, confidence=0.9)
        event = stt.SpeechEvent(kind, alternatives=[data] if text else [])
        self.streams[-1].push(event)

    async def utter(self, *texts: str) -> None:
        """Let the user say the finals, with the interims before them, as one utterance."""
        self.push(stt.SpeechEventType.START_OF_SPEECH)
        for text in texts:
            self.push(stt.SpeechEventType.INTERIM_TRANSCRIPT, text.rpartition(" ")[0] or text)
            await asyncio.sleep(0)
            self.push(stt.SpeechEventType.FINAL_TRANSCRIPT, text)
            await asyncio.sleep(0)
        self.push(stt.SpeechEventType.END_OF_SPEECH)

    async def _recognize_impl(self, *_args: Any, **_options: Any) -> stt.SpeechEvent:
        raise NotImplementedError("streams only")


class _PushedStream(stt.RecognizeStream):
    def push(self, event: stt.SpeechEvent) -> None:
        self._event_ch.send_nowait(event)

    async def _run(self) -> None:
        async for _ in self._input_ch:
            pass


class ShortTTS(tts.TTS[Any]):
    """Speech synthesis: 20 ms of silence for each sentence."""

    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _ShortStream(tts=self, input_text=text, conn_options=conn_options)


class _ShortStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(request_id="short", sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        output_emitter.push(SILENCE)
        output_emitter.flush()


class Microphone(io.AudioInput):
    """An audio input that hears silence."""

    def __init__(self) -> None:
        super().__init__(label="microphone")

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0.02)
        return frame()


class Speaker(io.AudioOutput):
    """An audio output that has played a segment once it may, or is interrupted.

    Attributes:
        may_finish: Cleared by a test to keep the agent speaking.
    """

    def __init__(self) -> None:
        super().__init__(label="speaker", capabilities=io.AudioOutputCapabilities(pause=False))
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self._playing: asyncio.Task[None] | None = None
        self._begun = False

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._begun:
            self._begun = True
            self.on_playback_started(created_at=time.time())

    def flush(self) -> None:
        super().flush()
        if self._begun:
            self._begun = False
            self._playing = asyncio.create_task(self._play())

    def clear_buffer(self) -> None:
        if self._playing is not None and not self._playing.done():
            self._playing.cancel()
            self.on_playback_finished(playback_position=0.01, interrupted=True)

    async def _play(self) -> None:
        await self.may_finish.wait()
        self.on_playback_finished(playback_position=0.02, interrupted=False)


CAPABILITIES = llm.RealtimeCapabilities(
    message_truncation=False,
    turn_detection=True,
    user_transcription=True,
    auto_tool_reply_generation=False,
    audio_output=False,
    manual_function_calls=False,
    mutable_chat_context=True,
    mutable_instructions=True,
    mutable_tools=True,
)


class ScriptedRealtime(llm.RealtimeModel):
    """A realtime model whose session a test drives, with speech detection and transcription of its own."""

    def __init__(self) -> None:
        super().__init__(capabilities=CAPABILITIES)
        self.sessions: list[ScriptedRealtimeSession] = []
        self.answers: deque[Said | str] = deque()

    def session(self, *, turn_detection_disabled: bool = False) -> llm.RealtimeSession:
        self.sessions.append(ScriptedRealtimeSession(self))
        return self.sessions[-1]

    async def aclose(self) -> None:
        pass

    @property
    def now(self) -> ScriptedRealtimeSession:
        """The session that runs now."""
        return self.sessions[-1]


@dataclass
class _Streams:
    texts: list[str]
    hold: asyncio.Event | None
    message_id: str
    calls: list[llm.FunctionCall] = field(default_factory=list)

    async def messages(self) -> AsyncIterator[llm.MessageGeneration]:
        if self.texts:
            modalities: asyncio.Future[Any] = asyncio.Future()
            modalities.set_result(["text"])
            yield llm.MessageGeneration(
                message_id=self.message_id,
                text_stream=self.words(),
                audio_stream=self.silence(),
                modalities=modalities,
            )

    async def words(self) -> AsyncIterator[str]:
        for number, text in enumerate(self.texts):
            yield text
            if number == 0 and self.hold is not None:
                await self.hold.wait()

    async def silence(self) -> AsyncIterator[rtc.AudioFrame]:
        return
        yield frame()

    async def functions(self) -> AsyncIterator[llm.FunctionCall]:
        for call in self.calls:
            yield call


class ScriptedRealtimeSession(llm.RealtimeSession[Any]):
    """One session of a `ScriptedRealtime`."""

    def __init__(self, model: ScriptedRealtime) -> None:
        super().__init__(model)
        self._model = model
        self._chat_ctx = llm.ChatContext.empty()
        self._tools = llm.ToolContext.empty()

    def voice(self, *, on: bool) -> None:
        """Tell that the user begins or stops to speak."""
        if on:
            self.emit("input_speech_started", llm.InputSpeechStartedEvent())
        else:
            self.emit("input_speech_stopped", llm.InputSpeechStoppedEvent(user_transcription_enabled=True))

    def commit(self, item_id: str) -> None:
        """Take what the user said as an item, before it is transcribed."""
        self._chat_ctx.add_message(role="user", content="", id=item_id)

    def hear(self, item_id: str, text: str, *, final: bool = False, started_at: float | None = None) -> None:
        """Transcribe input of the user."""
        self.emit(
            "input_audio_transcription_completed",
            llm.InputTranscriptionCompleted(
                item_id=item_id, transcript=text, is_final=final, turn_started_at=started_at
            ),
        )

    def answer(self, said: Said | str) -> None:
        """Begin an answer of the model's own accord."""
        self.emit("generation_created", self._generation(said, user_initiated=False))

    def _generation(self, said: Said | str, *, user_initiated: bool) -> llm.GenerationCreatedEvent:
        answer = Said(deltas=[said]) if isinstance(said, str) else said
        calls = [
            llm.FunctionCall(call_id=utils.shortuuid("call_"), name=name, arguments=arguments)
            for name, arguments in answer.calls
        ]
        streams = _Streams(list(answer.deltas), answer.hold, utils.shortuuid("msg_"), calls)
        if answer.deltas:
            self._chat_ctx.add_message(role="assistant", content="", id=streams.message_id)
        return llm.GenerationCreatedEvent(
            message_stream=streams.messages(),
            function_stream=streams.functions(),
            user_initiated=user_initiated,
        )

    def generate_reply(self, **_options: Any) -> asyncio.Future[llm.GenerationCreatedEvent]:
        said = self._model.answers.popleft() if self._model.answers else "I have nothing more to say."
        done: asyncio.Future[llm.GenerationCreatedEvent] = asyncio.Future()
        done.set_result(self._generation(said, user_initiated=True))
        return done

    @property
    def chat_ctx(self) -> llm.ChatContext:
        return self._chat_ctx

    @property
    def tools(self) -> llm.ToolContext:
        return self._tools

    async def update_instructions(self, instructions: str) -> None:
        pass

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        self._chat_ctx = chat_ctx.copy()

    async def update_tools(self, tools: list[llm.Tool]) -> None:
        self._tools = llm.ToolContext(tools)

    def update_options(self, *, tool_choice: Any = NOT_GIVEN) -> None:
        pass

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        pass

    def push_video(self, frame: rtc.VideoFrame) -> None:
        pass

    def commit_audio(self) -> None:
        pass

    def clear_audio(self) -> None:
        pass

    def interrupt(self) -> None:
        pass

    def truncate(self, **_options: Any) -> None:
        pass

    async def aclose(self) -> None:
        pass
