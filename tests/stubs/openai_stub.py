"""An OpenAI-compatible model server on loopback, for tests and for trying the agent without any account.

It speaks the real protocol, so that the agent's own OpenAI plugins talk to it unchanged:

    GET  /v1/, /v1/models                         answered, because clients warm up with them
    POST /v1/chat/completions                     streamed (usage chunk, [DONE]) or whole; tool calls
    POST /v1/audio/transcriptions                 multipart WAV in, JSON out
    POST /v1/audio/speech                         espeak-ng's voice as audio/wav
    WS   /v1/realtime?intent=transcription        interim and final transcripts during speech

Inside a test:

    with OpenAIStub() as stub:
        stub.learn("What time is it?")            # now it understands this phrase when it is spoken
        stub.script.add(Rule("time", tool="get_time", text="It is {output}."))
        stub.fail("llm", "500", times=4)          # or "401", "hang"; models: "llm", "stt", "tts"
        stub.heal()
        os.environ["OPENAI_BASE_URL"] = stub.base_url

By hand: `python -m tests.stubs.openai_stub --port 0` prints its address; `GET /control` shows the faults and
the requests, `POST /control` changes it: {"learn": ["What time is it?"], "hear": ["text"], "heal": true,
"fail": {"llm": "500"}, "rules": [{"match": "time", "text": "It is noon."}]}.

Without a rule the language model greets, calls the tool whose name shares a word with what the user said, or
answers "You said: ...". Phrases are single sentences: a pause ends an utterance.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from aiohttp import WSMsgType, web

from tests.stubs.realtime import Transcriber
from tests.stubs.script import Answer, Fault, Faults, Model, Rule, Script
from tests.stubs.speech import AGENT_VOICE, longest_pause, read_wav, say, write_wav

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LONGEST_PAUSE = 0.3  # seconds; OpenAI's plugin asks for the end of speech after 0.35 s


class OpenAIStub:
    """The server, in a thread of its own with its own event loop; a context manager.

    Args:
        port: The port on 127.0.0.1; 0 lets the system choose.
        api_keys: The accepted keys; None accepts every one. Others get 401.
    """

    def __init__(self, port: int = 0, api_keys: set[str] | None = None) -> None:
        self.script = Script()
        self.faults = Faults()
        self.requests: deque[dict[str, Any]] = deque(maxlen=10_000)
        self.port = port
        self._api_keys = api_keys
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="openai-stub", daemon=True)

    @property
    def base_url(self) -> str:
        """The value for OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(30):
            raise TimeoutError("the OpenAI stub did not start within 30 s")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def learn(self, *phrases: str) -> None:
        """Teach phrases, so that they are recognised when they are spoken in the user's voice.

        Raises:
            ValueError: The phrase has a pause that would end the utterance in its middle.
        """
        for phrase in phrases:
            pause = longest_pause(say(phrase))
            if pause > _LONGEST_PAUSE:
                raise ValueError(f"{phrase!r} has a pause of {pause:.2f} s: teach its sentences one by one")
            self.script.vocabulary.learn(phrase)

    def fail(self, model: Model, fault: Fault, times: int | None = None) -> None:
        """Make a model fail from now on. Open realtime connections are closed by "500" and "401"."""
        self.faults.set(model, fault, times)
        if model == "stt" and fault != "hang":
            self._loop.call_soon_threadsafe(self._close_sockets)

    def heal(self, model: Model | None = None) -> None:
        """End the fault of one model, or of all."""
        self.faults.heal(model)

    def requested(self, kind: str) -> list[dict[str, Any]]:
        """Return the recorded requests of a kind ("llm", "stt", "tts"), oldest first."""
        return [request for request in list(self.requests) if request["kind"] == kind]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.5)
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", self.port)
            await site.start()
            self.port = runner.addresses[0][1]
        except OSError as failure:
            self._failure = failure
            self._stop.set()
        self._started.set()
        await self._stop.wait()
        self.faults.heal()
        self._close_sockets()
        await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/", self._authorised(_root))
        app.router.add_get("/v1/models", self._authorised(_models))
        app.router.add_post("/v1/chat/completions", self._authorised(self._chat))
        app.router.add_post("/v1/audio/transcriptions", self._authorised(self._transcriptions))
        app.router.add_post("/v1/audio/speech", self._authorised(self._speech))
        app.router.add_get("/v1/realtime", self._authorised(self._realtime))
        app.router.add_get("/control", self._show)
        app.router.add_post("/control", self._control)
        return app

    def _authorised(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            key = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self._api_keys is not None and key not in self._api_keys:
                return _bad_key(key)
            return await handler(request)

        return guarded

    def _close_sockets(self) -> None:
        for socket in list(self._sockets):
            closing = asyncio.ensure_future(socket.close(code=1011, message=b"stub fault"))
            closing.add_done_callback(lambda task: task.exception())

    async def _fault(self, model: Model, key: str) -> web.Response | None:
        """Return the error to answer with; wait while the model hangs."""
        fault = self.faults.take(model)
        version = self.faults.version(model)
        while fault == "hang" and self.faults.version(model) == version:
            await asyncio.sleep(0.05)
        if fault == "500":
            return _error(500, "The server had an error while processing your request.", "server_error")
        return _bad_key(key) if fault == "401" else None

    def _record(self, kind: str, **fields: Any) -> None:
        self.requests.append({"kind": kind, "at": time.time(), **fields})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self._record("llm", messages=body.get("messages", []), stream=bool(body.get("stream")))
        if (failed := await self._fault("llm", _key(request))) is not None:
            return failed
        answer = self.script.answer(body)
        if not body.get("stream"):
            return web.json_response(_completion(body, answer))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for chunk in self._chunks(body, answer):
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _chunks(self, body: dict[str, Any], answer: Answer) -> AsyncIterator[dict[str, Any]]:
        head = _head(body, "chat.completion.chunk")
        finish = "stop"
        yield {**head, "choices": [_choice({"role": "assistant", "content": ""})]}
        if answer.tool is not None:
            finish = "tool_calls"
            yield {**head, "choices": [_choice({"tool_calls": [{"index": 0, **_tool_call(answer)}]})]}
        for position, word in enumerate(answer.text.split()):
            await asyncio.sleep(self.script.token_seconds)
            yield {**head, "choices": [_choice({"content": word if position == 0 else f" {word}"})]}
        yield {**head, "choices": [_choice({}, finish)]}
        if (body.get("stream_options") or {}).get("include_usage"):
            yield {**head, "choices": [], "usage": _usage(body, answer)}

    async def _transcriptions(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        upload = form["file"]
        if not isinstance(upload, web.FileField):
            return _error(400, "file: expected an uploaded WAV file", "invalid_request_error")
        samples, rate = read_wav(upload.file.read())
        self._record("stt", seconds=len(samples) / rate)
        if (failed := await self._fault("stt", _key(request))) is not None:
            return failed
        text = await asyncio.to_thread(self.script.transcript, samples.tobytes(), rate)
        return web.json_response({"text": text})

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self._record("tts", text=body["input"], voice=body.get("voice"))
        if (failed := await self._fault("tts", _key(request))) is not None:
            return failed
        spoken = await asyncio.to_thread(say, body["input"], AGENT_VOICE)
        return web.Response(body=write_wav(spoken), content_type="audio/wav")

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        self._record("stt", realtime=True)
        if (
            self.faults.now("stt") != "hang"
            and (failed := await self._fault("stt", _key(request))) is not None
        ):
            return failed
        socket = web.WebSocketResponse(max_msg_size=16 * 1024 * 1024)
        await socket.prepare(request)
        self._sockets.add(socket)
        transcriber = Transcriber(self.script)
        try:
            for event in transcriber.opened():
                await socket.send_json(event)
            async for message in socket:
                if message.type is WSMsgType.TEXT and self.faults.now("stt") != "hang":
                    for event in transcriber.receive(json.loads(message.data)):
                        await socket.send_json(event)
        except ConnectionError:
            self._record("gone", model="stt")
        finally:
            self._sockets.discard(socket)
        return socket

    async def _show(self, _: web.Request) -> web.Response:
        shown = {"faults": self.faults.shown(), "phrases": self.script.vocabulary.phrases()}
        return web.json_response({**shown, "requests": list(self.requests)[-200:]})

    async def _control(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        try:
            if wanted.get("heal"):
                self.heal()
            for model, fault in wanted.get("fail", {}).items():
                self.fail(model, fault)
            for rule in wanted.get("rules", []):
                self.script.add(Rule(**rule))
            await asyncio.to_thread(self.learn, *wanted.get("learn", []))
            self.script.hear(*wanted.get("hear", []))
        except (TypeError, ValueError) as wrong:
            return _error(422, str(wrong), "invalid_request_error")
        return await self._show(request)


async def _root(_: web.Request) -> web.StreamResponse:
    return web.json_response({"object": "stub"})


async def _models(_: web.Request) -> web.StreamResponse:
    names = ("gpt-4.1", "gpt-4o-mini-transcribe", "gpt-4o-mini-tts")
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "stub"} for name in names]
    return web.json_response({"object": "list", "data": listed})


def _key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _error(status: int, message: str, kind: str, code: str | None = None) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


def _bad_key(key: str) -> web.Response:
    text = f"Incorrect API key provided: {key[:3]}***."
    return _error(401, text, "invalid_request_error", "invalid_api_key")


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    number = f"chatcmpl-{uuid.uuid4().hex[:20]}"
    return {"id": number, "object": kind, "created": int(time.time()), "model": body.get("model", "stub")}


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _tool_call(answer: Answer) -> dict[str, Any]:
    function = {"name": answer.tool, "arguments": answer.arguments}
    return {"id": f"call_{uuid.uuid4().hex[:20]}", "type": "function", "function": function}


def _usage(body: dict[str, Any], answer: Answer) -> dict[str, int]:
    prompt = sum(len(str(message.get("content", "")).split()) for message in body.get("messages", []))
    completion = len((answer.text or answer.arguments).split())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _completion(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool is not None:
        message["tool_calls"] = [_tool_call(answer)]
    finish = "stop" if answer.tool is None else "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {**_head(body, "chat.completion"), "choices": [choice], "usage": _usage(body, answer)}


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="OpenAI-compatible stub on loopback")
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--api-key", action="append", help="accept only this key; may be given several times")
    options = parser.parse_args()
    with OpenAIStub(options.port, set(options.api_key) if options.api_key else None) as stub:
        print(f"OPENAI_BASE_URL={stub.base_url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
