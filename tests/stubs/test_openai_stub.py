"""The stub against real clients: the openai package, and what LiveKit's plugin sends over the websocket."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import openai
import pytest
import requests

from tests.stubs.openai_stub import OpenAIStub
from tests.stubs.script import GREETING, Rule
from tests.stubs.speech import AGENT_VOICE, RATE, read_wav, resample, say, write_wav

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"type": ["string", "null"]},
            },
            "required": ["city", "days", "unit"],
        },
    },
}


@pytest.fixture
def stub() -> Iterator[OpenAIStub]:
    with OpenAIStub() as running:
        yield running


def client(stub: OpenAIStub, key: str = "any") -> openai.OpenAI:
    return openai.OpenAI(base_url=stub.base_url, api_key=key, max_retries=0, timeout=10)


def ask(stub: OpenAIStub, *messages: Any, tools: Any = openai.NOT_GIVEN) -> Any:
    asked = client(stub).chat.completions.create(model="gpt-4.1", messages=messages, tools=tools)
    return asked.choices[0].message


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_streamed_answer_comes_word_by_word_and_ends_with_usage(stub: OpenAIStub) -> None:
    stream = client(stub).chat.completions.create(
        model="gpt-4.1",
        messages=[{"role": "user", "content": "one two"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert [word for word in words if word] == ["You", " said:", " one", " two"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4


def test_it_greets_before_the_user_has_spoken(stub: OpenAIStub) -> None:
    assert ask(stub, {"role": "system", "content": "Greet the user."}).content == GREETING


def test_it_calls_the_tool_that_shares_a_word_and_then_says_its_result(stub: OpenAIStub) -> None:
    question = user("What is the weather in Paris?")
    call = ask(stub, question, tools=[TOOL]).tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 1, "unit": None}
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    assert ask(stub, question, result, tools=[TOOL]).content == "The answer is: sunny"


def test_the_newest_matching_rule_decides(stub: OpenAIStub) -> None:
    stub.script.add(Rule("story", text="Once upon a time."))
    stub.script.add(Rule("long story", text="Once upon a long time, {user}"))
    assert ask(stub, user("a long story")).content == "Once upon a long time, a long story"
    assert ask(stub, user("a story")).content == "Once upon a time."


def test_recognises_known_phrases_at_another_rate_and_level(stub: OpenAIStub) -> None:
    phrases = ["My number is four two seven.", "My number is four two nine.", "Hello there."]
    stub.learn(*phrases)
    for phrase in phrases:
        quiet = resample(np.frombuffer(say(phrase), np.int16), RATE, 16_000) // 3
        silence = np.zeros(8000, np.int16)
        wav = write_wav(np.concatenate([silence, quiet, silence]).tobytes(), 16_000)
        heard = client(stub).audio.transcriptions.create(
            model="gpt-4o-mini-transcribe", file=("file.wav", wav)
        )
        assert heard.text == phrase


def test_noise_has_no_words_and_queued_texts_are_heard_once(stub: OpenAIStub) -> None:
    noise = np.random.default_rng(1).normal(0, 2000, RATE).astype(np.int16).tobytes()
    stub.learn("Hello there.")
    stub.script.hear("from the queue")
    ears = client(stub).audio.transcriptions
    wav = ("file.wav", write_wav(noise))
    assert ears.create(model="m", file=wav).text == "from the queue"
    assert ears.create(model="m", file=wav).text == ""


def test_speaks_wav_that_is_the_text_in_the_agents_voice(stub: OpenAIStub) -> None:
    answer = client(stub).audio.speech.create(model="m", voice="ash", input="Good morning to you.")
    assert answer.response.headers["content-type"] == "audio/wav"
    samples, rate = read_wav(answer.content)
    assert (rate, samples.tobytes()) == (RATE, say("Good morning to you.", AGENT_VOICE))


def test_refuses_a_phrase_with_a_long_pause(stub: OpenAIStub) -> None:
    with pytest.raises(ValueError, match="teach its sentences one by one"):
        stub.learn("This is the first sentence. And after a pause this is the second one.")


def test_fails_a_number_of_times_and_heals(stub: OpenAIStub) -> None:
    stub.fail("llm", "500", times=2)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            ask(stub, user("x"))
    assert ask(stub, user("x")).content == "You said: x"
    stub.fail("llm", "401")
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        ask(stub, user("x"))
    stub.heal()
    assert ask(stub, user("x")).content == "You said: x"
    assert len(stub.requested("llm")) == 5


def test_hangs_until_it_is_healed_whatever_happens_to_other_models(stub: OpenAIStub) -> None:
    stub.fail("llm", "hang")
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(ask(stub, user("x")).content))
    asking.start()
    stub.fail("tts", "500")
    asking.join(0.5)
    assert answers == []
    stub.heal("llm")
    asking.join(10)
    assert answers == ["You said: x"]


def test_only_given_keys_are_accepted() -> None:
    with OpenAIStub(api_keys={"right"}) as stub:
        with pytest.raises(openai.AuthenticationError):
            client(stub, "wrong").models.list()
        assert [model.id for model in client(stub, "right").models.list()]


def test_control_over_http_names_what_is_wrong(stub: OpenAIStub) -> None:
    address = stub.base_url.removesuffix("/v1") + "/control"
    shown = requests.post(
        address, json={"learn": ["Hello there."], "fail": {"tts": "500"}}, timeout=10
    ).json()
    assert shown["faults"] == {"tts": "500"}
    assert shown["phrases"] == ["Hello there."]
    refused = requests.post(address, json={"fail": {"ears": "500"}}, timeout=10)
    assert refused.status_code == 422
    assert "ears" in refused.json()["error"]["message"]


async def listen(stub: OpenAIStub, pcm: bytes, wanted: str) -> list[dict[str, Any]]:
    """Send audio as LiveKit's plugin does and return the events up to the wanted type."""
    received = []
    address = f"{stub.base_url}/realtime?intent=transcription"
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
        detection = {"type": "server_vad", "silence_duration_ms": 350}
        update = {"type": "transcription", "audio": {"input": {"turn_detection": detection}}}
        await socket.send_json({"type": "session.update", "session": update})
        for start in range(0, len(pcm), 2400):
            audio = base64.b64encode(pcm[start : start + 2400]).decode()
            await socket.send_json({"type": "input_audio_buffer.append", "audio": audio})
        async with asyncio.timeout(10):
            async for message in socket:
                received.append(message.json())
                if received[-1]["type"].endswith(wanted):
                    return received
    return received


def test_realtime_sends_the_words_while_they_are_spoken(stub: OpenAIStub) -> None:
    stub.learn("What is the weather in Paris?", "What is the time in London?")
    silence = bytes(RATE * 2)
    pcm = silence + say("What is the weather in Paris?") + silence
    events = asyncio.run(listen(stub, pcm, ".completed"))
    kinds = [event["type"].rsplit(".", 1)[-1] for event in events]
    deltas = [event["delta"] for event in events if event["type"].endswith(".delta")]
    assert kinds[:3] == ["created", "updated", "speech_started"]
    assert kinds[-3:] == ["speech_stopped", "committed", "completed"]
    assert len(deltas) >= 2
    assert events[-1]["transcript"] == "What is the weather in Paris?"
    assert events[-1]["transcript"].startswith("".join(deltas))
    assert len({event["item_id"] for event in events[2:]}) == 1
    assert 900 <= events[2]["audio_start_ms"] <= 1100


def test_realtime_refuses_unknown_events(stub: OpenAIStub) -> None:
    async def provoke() -> dict[str, Any]:
        address = f"{stub.base_url}/realtime?intent=transcription"
        async with aiohttp.ClientSession() as session, session.ws_connect(address) as socket:
            await socket.receive_json()
            await socket.send_json({"type": "response.create"})
            answer: dict[str, Any] = await socket.receive_json(timeout=10)
            return answer

    assert "response.create" in asyncio.run(provoke())["error"]["message"]


def test_realtime_500_closes_open_connections_and_refuses_new_ones(stub: OpenAIStub) -> None:
    async def fail_while_open() -> tuple[int | None, int]:
        address = f"{stub.base_url}/realtime?intent=transcription"
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(address) as socket:
                await socket.receive_json()
                stub.fail("stt", "500")
                await socket.receive(timeout=10)
                code = socket.close_code
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(address)
        return code, refused.value.status

    assert asyncio.run(fail_while_open()) == (1011, 500)
