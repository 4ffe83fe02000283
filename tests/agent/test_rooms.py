"""The session of livekit mode with OpenAI's plugins, against the local stub of the model APIs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from livekit.agents import AgentServer, JobExecutorType
from livekit.agents.utils import http_context
from livekit.agents.voice.transcription import TranscriptSynchronizer
from livekit.plugins import silero
from openai import AsyncClient
from streaming_hub_client.attachment import attach
from streaming_hub_client.ending import _Ending, announce_end
from streaming_hub_client.poster import Poster

from agent import rooms
from agent.assistant import Assistant
from agent.rehearsal.script import Line
from agent.rehearsal.sound import MICROPHONE_RATE, Microphone, Speaker, split
from agent.session import make_session
from tests.agent.receiver import Receiver
from tests.stubs.openai_stub import OpenAIStub
from tests.stubs.script import Rule
from tests.stubs.speech import RATE, resample, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from streaming_hub_client.conversation import Event

QUESTION = Line("question", "What time is it in Paris?")


class Events:
    """A poster to wait on."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._changed = asyncio.Event()

    def post(self, event: Event) -> None:
        self.all.append(event)
        self._changed.set()

    def flush(self, _timeout: float, /) -> bool:
        return True

    def close(self, _timeout: float, /) -> bool:
        return True

    def of_type(self, kind: str, **fields: Any) -> list[Event]:
        return [
            event
            for event in self.all
            if event["type"] == kind and all(event.get(name) == value for name, value in fields.items())
        ]

    async def wait_for(self, condition: Callable[[], Any], seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose end was not announced."""
    monkeypatch.setattr("streaming_hub_client.ending._ending", _Ending())


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIStub]:
    with OpenAIStub() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        for name in (
            "AGENT_LLM_MODEL",
            "AGENT_STT_MODEL",
            "AGENT_TTS_MODEL",
            "AGENT_VOICE",
            "AGENT_LANGUAGE",
        ):
            monkeypatch.delenv(name, raising=False)
        running.script.add(
            Rule("time", tool="current_time", arguments={"time_zone": "Europe/Paris"}, text="It is {output}.")
        )
        yield running


async def ask_the_time(events: Events) -> None:
    """Greeting, the recorded question, the answer."""
    samples = resample(np.frombuffer(say(QUESTION.text), np.int16), RATE, MICROPHONE_RATE)
    microphone = Microphone({QUESTION.name: split(samples.tobytes())})
    session = make_session(silero.VAD.load())
    stream = attach(session, room="r1", poster=events)
    synchronizer = TranscriptSynchronizer(next_in_chain_audio=Speaker(), next_in_chain_text=stream.words)
    session.input.audio = microphone
    session.output.audio = synchronizer.audio_output
    session.output.transcription = synchronizer.text_output
    await session.start(agent=Assistant())
    await events.wait_for(lambda: events.of_type("agent_speech_finished"))
    await microphone.play(QUESTION)
    await events.wait_for(lambda: len(events.of_type("agent_speech_finished")) == 2)
    await session.aclose()


@contextlib.asynccontextmanager
async def greeting(events: Events) -> AsyncIterator[None]:
    """A session that has begun with its greeting."""
    session = make_session(silero.VAD.load())
    attach(session, room="r1", poster=events)
    session.output.audio = Speaker()
    await session.start(agent=Assistant())
    yield
    await session.aclose()


def converse(talk: Callable[[Events], Any]) -> Events:
    async def run() -> Events:
        events = Events()
        async with http_context.open():  # a job has one; a bare session needs it for the realtime websocket
            await talk(events)
        return events

    return asyncio.run(run())


@pytest.mark.parametrize("realtime", [False, True])
def test_a_question_is_answered_with_a_tool(
    stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch, realtime: bool
) -> None:
    monkeypatch.setenv("AGENT_STT_REALTIME", "1" if realtime else "0")
    stub.learn(QUESTION.text)
    events = converse(ask_the_time)
    (asked,) = events.of_type("transcript", role="user", is_final=True)
    (started,) = events.of_type("tool_call_started")
    (finished,) = events.of_type("tool_call_finished")
    greeting, answer = events.of_type("transcript", role="agent", is_final=True)
    assert asked["text"] == QUESTION.text
    assert started["arguments"] == {"time_zone": "Europe/Paris"}
    assert answer["text"] == f"It is {finished['output']}."
    assert greeting["turn_id"] != asked["turn_id"] == started["turn_id"] == answer["turn_id"]
    assert events.of_type("transcript", role="agent", segment_id=answer["segment_id"], is_final=False)
    interims = events.of_type("transcript", segment_id=asked["segment_id"], is_final=False)
    assert bool(interims) is realtime, "the plain endpoint has no interim results"
    assert events.of_type("turn_metrics", role="agent", turn_id=answer["turn_id"])[-1]["e2e_latency"] > 0
    assert events.all[-1]["type"] == "session_ended"


def test_the_settings_reach_the_models(stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_INSTRUCTIONS", "You are a parrot.")
    monkeypatch.setenv("AGENT_VOICE", "coral")
    monkeypatch.setenv("AGENT_LLM_MODEL", "small-llm")
    monkeypatch.setenv("AGENT_TTS_MODEL", "small-tts")
    monkeypatch.setenv("AGENT_STT_MODEL", "small-stt")

    async def greet(events: Events) -> None:
        async with greeting(events):
            await events.wait_for(lambda: events.of_type("agent_speech_finished"))

    events = converse(greet)
    assert "You are a parrot." in str(stub.requested("llm")[0]["messages"])
    assert stub.requested("tts")[0]["voice"] == "coral"
    models = {usage["model"] for usage in events.of_type("usage")[-1]["model_usage"]}
    assert {"small-llm", "small-tts"} <= models


def test_a_whole_job_streams_the_words_of_its_room(stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiveKit's simulated job has a room without a server: RoomIO, synchronizer and tap are the real ones."""

    async def run(receiver: Receiver) -> None:
        server = AgentServer(
            host="127.0.0.1",
            port=0,
            job_executor_type=JobExecutorType.THREAD,
            num_idle_processes=1,
            setup_fnc=rooms.prewarm,
        )
        server.rtc_session(rooms.entrypoint)
        started = asyncio.Event()
        server.on("worker_started", started.set)
        running = asyncio.create_task(server.run(unregistered=True))
        await started.wait()
        await server.simulate_job("room-7", fake_job=True)
        await asyncio.to_thread(
            receiver.wait_for, lambda _events: receiver.of_type("agent_speech_finished"), 30
        )
        announce_end("agent_stopped")
        await server.aclose()
        await running

    with Receiver() as receiver:
        poster = Poster(receiver.url)
        monkeypatch.setattr("streaming_hub_client.attachment.shared_poster", lambda *_: poster)
        asyncio.run(run(receiver))
        assert poster.close(5)
        words = receiver.of_type("transcript")
        assert [event["text"] for event in words[:2]] == ["Hello,", "Hello, how"]
        assert (words[-1]["text"], words[-1]["is_final"]) == ("Hello, how can I help you?", True)
        assert {event["room"] for event in words} == {"room-7"}
        assert len({event["segment_id"] for event in words}) == 1
        assert receiver.events[-1]["type"] == "session_ended"
        assert receiver.events[-1]["reason"] == "agent_stopped"
    assert stub.requested("tts")


def test_a_session_leaves_no_connection_to_its_models(
    stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AsyncClient] = []

    class Noted(AsyncClient):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    # The speech models' one is this project's, the language model's its plugin's.
    for name in ("agent.session.AsyncClient", "openai.AsyncClient"):
        monkeypatch.setattr(name, Noted)

    async def greet(events: Events) -> None:
        async with greeting(events):
            await events.wait_for(lambda: events.of_type("agent_speech_finished"))
            assert [client.is_closed() for client in made] == [False, False]
        async with asyncio.timeout(10):
            while not all(client.is_closed() for client in made):
                await asyncio.sleep(0.01)

    converse(greet)


def test_a_model_that_refuses_the_key_is_reported(stub: OpenAIStub) -> None:
    stub.fail("llm", "401")

    async def fail(events: Events) -> None:
        async with greeting(events):
            await events.wait_for(lambda: events.of_type("error"))

    error = converse(fail).of_type("error")[0]
    assert error["source"] == "llm"
    assert "Incorrect API key" in error["message"]


def test_a_voice_that_hangs_is_reported_when_its_time_is_over(
    stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_SPEECH_TIMEOUT", "0.5")
    stub.fail("tts", "hang")

    async def fail(events: Events) -> None:
        async with greeting(events):
            await events.wait_for(lambda: events.of_type("error"))
            stub.heal()

    error = converse(fail).of_type("error")[0]
    assert (error["source"], error["recoverable"]) == ("tts", True)
    assert "timed out" in error["message"]
