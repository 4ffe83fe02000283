"""Scripted models of LiveKit's base types, which hear, think and speak in the rehearsal.

The only simulated part of a rehearsal. Speech recognition uses the real voice activity detection and takes its words
from the script, the language model looks up its answers, and the voice hums for as long as the words would take.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Protocol

import numpy as np
from livekit.agents import APIConnectOptions, LanguageCode, llm, stt, tts, utils, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr

from . import script

SAMPLE_RATE = 24_000
SECONDS_PER_CHARACTER = 0.06
SECONDS_TO_FIRST_AUDIO = 0.12
SECONDS_TO_FIRST_TOKEN = 0.15
SECONDS_PER_TOKEN = 0.02


class Prompter(Protocol):
    """Knows which words of the present recording have been played."""

    def words_said(self) -> list[str]:
        """Return the words of the last line, up to its playback position."""


class ScriptedSTT(stt.STT[Any]):
    """Detects speech, and takes the words from the script.

    Args:
        detector: Voice activity detection; what it does not take for speech gives no words.
        prompter: Where the words come from.
    """

    def __init__(self, detector: vad.VAD, prompter: Prompter) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.detector = detector
        self.prompter = prompter

    @property
    def model(self) -> str:
        """Name of the model in usage and metrics."""
        return "scripted"

    @property
    def provider(self) -> str:
        """Name of its maker in usage and metrics."""
        return "rehearsal"

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,  # noqa: ARG002  # the base class's parameter
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        """Start listening."""
        return _ListeningStream(self, conn_options)

    async def _recognize_impl(self, *_args: Any, **_options: Any) -> stt.SpeechEvent:
        raise NotImplementedError("the rehearsal listens to a stream only")


class _ListeningStream(stt.RecognizeStream):
    def __init__(self, model: ScriptedSTT, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=model, conn_options=conn_options)
        self._model = model
        self._request_id = utils.shortuuid("rehearsal_")

    async def _run(self) -> None:
        detection = self._model.detector.stream()
        forwarding = asyncio.create_task(self._forward(detection))
        try:
            await self._hear(detection)
        finally:
            await utils.aio.cancel_and_wait(forwarding)
            await detection.aclose()

    async def _forward(self, detection: vad.VADStream) -> None:
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                detection.flush()
            else:
                detection.push_frame(frame)
        detection.end_input()

    async def _hear(self, detection: vad.VADStream) -> None:
        reported: list[str] = []
        async for event in detection:
            if event.type == vad.VADEventType.START_OF_SPEECH:
                reported = []
                self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH))
            elif event.type == vad.VADEventType.INFERENCE_DONE and event.speaking:
                words = self._model.prompter.words_said()
                if words and words != reported:
                    reported = words
                    self._report(stt.SpeechEventType.INTERIM_TRANSCRIPT, words)
            elif event.type == vad.VADEventType.END_OF_SPEECH:
                if words := self._model.prompter.words_said():
                    self._report(stt.SpeechEventType.FINAL_TRANSCRIPT, words)
                self._report_usage(event.speech_duration)
                self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH))

    def _report(self, kind: stt.SpeechEventType, words: list[str]) -> None:
        heard = stt.SpeechData(language=LanguageCode("en"), text=" ".join(words), confidence=1.0)
        self._event_ch.send_nowait(stt.SpeechEvent(kind, request_id=self._request_id, alternatives=[heard]))

    def _report_usage(self, seconds: float) -> None:
        usage = stt.RecognitionUsage(audio_duration=seconds)
        self._event_ch.send_nowait(
            stt.SpeechEvent(
                stt.SpeechEventType.RECOGNITION_USAGE, request_id=self._request_id, recognition_usage=usage
            )
        )


class ScriptedLLM(llm.LLM[Any]):
    """Answers the script's lines, one of them by calling a tool first."""

    @property
    def model(self) -> str:
        """Name of the model in usage and metrics."""
        return "scripted"

    @property
    def provider(self) -> str:
        """Name of its maker in usage and metrics."""
        return "rehearsal"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_options: Any,
    ) -> llm.LLMStream:
        """Start an answer."""
        return _AnsweringStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _AnsweringStream(llm.LLMStream):
    async def _run(self) -> None:
        await asyncio.sleep(SECONDS_TO_FIRST_TOKEN)
        request_id = utils.shortuuid("rehearsal_")
        answer = _choose_answer(self._chat_ctx)
        tokens = 1
        if isinstance(answer, llm.FunctionToolCall):
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[answer])
            self._event_ch.send_nowait(llm.ChatChunk(id=request_id, delta=delta))
        else:
            words = answer.split(" ")
            tokens = len(words)
            for number, word in enumerate(words):
                text = word if number == 0 else f" {word}"
                delta = llm.ChoiceDelta(role="assistant", content=text)
                self._event_ch.send_nowait(llm.ChatChunk(id=request_id, delta=delta))
                await asyncio.sleep(SECONDS_PER_TOKEN)
        read = sum(len((item.text_content or "").split()) for item in self._chat_ctx.messages())
        usage = llm.CompletionUsage(completion_tokens=tokens, prompt_tokens=read, total_tokens=tokens + read)
        self._event_ch.send_nowait(llm.ChatChunk(id=request_id, usage=usage))


def _choose_answer(chat_ctx: llm.ChatContext) -> str | llm.FunctionToolCall:
    items = [item for item in chat_ctx.items if item.type in ("message", "function_call_output")]
    last = items[-1] if items else None
    if last is not None and last.type == "function_call_output":
        return script.answer_with_time(last.output)
    asked = [message.text_content or "" for message in chat_ctx.messages() if message.role == "user"]
    if not asked:
        return script.GREETING
    if asked[-1] == script.QUESTION:
        arguments = json.dumps(script.TOOL_ARGUMENTS)
        call_id = utils.shortuuid("call_")
        return llm.FunctionToolCall(name=script.TOOL, arguments=arguments, call_id=call_id)
    return script.ANSWERS.get(asked[-1], script.NOT_SCRIPTED)


class ScriptedTTS(tts.TTS[Any]):
    """Hums for as long as the words would take."""

    def __init__(self) -> None:
        capabilities = tts.TTSCapabilities(streaming=False)
        super().__init__(capabilities=capabilities, sample_rate=SAMPLE_RATE, num_channels=1)

    @property
    def model(self) -> str:
        """Name of the model in usage and metrics."""
        return "scripted"

    @property
    def provider(self) -> str:
        """Name of its maker in usage and metrics."""
        return "rehearsal"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Start speaking a sentence."""
        return _HummingStream(tts=self, input_text=text, conn_options=conn_options)


class _HummingStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid("rehearsal_"),
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            mime_type="audio/pcm",
        )
        await asyncio.sleep(SECONDS_TO_FIRST_AUDIO)
        output_emitter.push(hum(len(self._input_text) * SECONDS_PER_CHARACTER))
        output_emitter.flush()


def hum(seconds: float) -> bytes:
    """Make a quiet tone that swells four times a second, as speech does: 16-bit mono PCM at 24 kHz."""
    moments = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    swell = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * moments)
    tone = np.sin(2 * np.pi * 160 * moments) * swell * 1600
    return bytes(tone.astype("<i2").tobytes())
