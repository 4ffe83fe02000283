"""One connection of the stub's realtime transcription: OpenAI's events, without a socket.

`Transcriber.receive` takes a client event and returns the server events that follow from it. Speech is distinguished
from silence by its loudness; time is the audio's own, so a fast or slow sender changes nothing.
"""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.stubs.speech import RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stubs.script import Script

Event = dict[str, Any]

_LOUD = 250.0  # root mean square of 16-bit samples: above a microphone's noise, below quiet speech
_CHUNK_SECONDS = 0.05
_CHUNK_BYTES = int(RATE * _CHUNK_SECONDS) * 2
_START_CHUNKS = 2
_DELTA_CHUNKS = 4  # look for new words every 0.2 s
_NAME = "conversation.item.input_audio_transcription"


class Transcriber:
    """Turns appended audio into speech_started, delta, speech_stopped and completed events."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._numbers = itertools.count(1)
        self._pending = b""
        self._before = b""  # the chunk before speech was certain belongs to it
        self._speech = bytearray()
        self._elapsed_ms = 0
        self._loud = self._quiet = self._chunks = 0
        self._silence_ms = 500
        self._item: str | None = None
        self._previous: str | None = None
        self._words: list[str] = []

    def opened(self) -> list[Event]:
        """Return the events that greet a new connection."""
        return [
            self._event("session.created", session={"type": "transcription", "object": "realtime.session"})
        ]

    def receive(self, message: Event) -> list[Event]:
        """Take one client event and return the server events it causes."""
        kind = message.get("type")
        if kind == "session.update":
            return [self._update(message.get("session") or {})]
        if kind == "input_audio_buffer.append":
            return list(self._append(base64.b64decode(message["audio"])))
        if kind == "input_audio_buffer.commit":
            return list(self._finish())
        if kind == "input_audio_buffer.clear":
            self._speech.clear()
            return [self._event("input_audio_buffer.cleared")]
        text = f"Invalid value: {kind!r}. The stub knows session.update and input_audio_buffer.*"
        return [self._event("error", error={"type": "invalid_request_error", "message": text})]

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}

    def _update(self, session: Event) -> Event:
        detection = ((session.get("audio") or {}).get("input") or {}).get("turn_detection") or {}
        self._silence_ms = detection.get("silence_duration_ms", self._silence_ms)
        return self._event("session.updated", session=session)

    def _append(self, audio: bytes) -> Iterator[Event]:
        self._pending += audio
        while len(self._pending) >= _CHUNK_BYTES:
            chunk, self._pending = self._pending[:_CHUNK_BYTES], self._pending[_CHUNK_BYTES:]
            self._elapsed_ms += int(_CHUNK_SECONDS * 1000)
            yield from self._chunk(chunk)

    def _chunk(self, chunk: bytes) -> Iterator[Event]:
        samples = np.frombuffer(chunk, np.int16).astype(np.float32)
        loud = float(np.sqrt(np.mean(samples**2))) > _LOUD
        self._loud, self._quiet = (self._loud + 1, 0) if loud else (0, self._quiet + 1)
        if self._item is None:
            yield from self._maybe_start(chunk)
            return
        self._speech += chunk
        self._chunks += 1
        if self._quiet * _CHUNK_SECONDS * 1000 >= self._silence_ms:
            yield from self._finish()
        elif self._chunks % _DELTA_CHUNKS == 0:
            yield from self._delta()

    def _maybe_start(self, chunk: bytes) -> Iterator[Event]:
        if self._loud < _START_CHUNKS:
            self._before = chunk
            return
        self._item = f"item_{next(self._numbers)}"
        self._speech = bytearray(self._before + chunk)
        self._chunks, self._words = 0, []
        start = self._elapsed_ms - int(_START_CHUNKS * _CHUNK_SECONDS * 1000)
        yield self._event("input_audio_buffer.speech_started", audio_start_ms=start, item_id=self._item)

    def _delta(self) -> Iterator[Event]:
        words = self._script.vocabulary.words_so_far(bytes(self._speech), RATE)
        new = words[len(self._words) :]
        if not new or words[: len(self._words)] != self._words:
            return
        delta = (" " if self._words else "") + " ".join(new)
        self._words = words
        yield self._event(f"{_NAME}.delta", item_id=self._item, content_index=0, delta=delta)

    def _finish(self) -> Iterator[Event]:
        if self._item is None:
            return
        item, self._item = self._item, None
        text = self._script.transcript(bytes(self._speech), RATE)
        seconds = len(self._speech) / 2 / RATE
        yield self._event("input_audio_buffer.speech_stopped", audio_end_ms=self._elapsed_ms, item_id=item)
        yield self._event("input_audio_buffer.committed", item_id=item, previous_item_id=self._previous)
        self._previous = item
        tokens = {"input_tokens": int(seconds * 10), "output_tokens": len(text.split())}
        usage = {"type": "tokens", **tokens, "total_tokens": sum(tokens.values())}
        yield self._event(f"{_NAME}.completed", item_id=item, content_index=0, transcript=text, usage=usage)
