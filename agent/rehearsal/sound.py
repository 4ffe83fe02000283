"""The rehearsal's microphone and loudspeaker: recordings in and speech out, both at real time.

The microphone paces 20 ms frames, silence between the recordings; the loudspeaker is silent, but takes as
long as a real one would, pauses and can be cut short.
"""

from __future__ import annotations

import asyncio
import time
import wave
from typing import TYPE_CHECKING

from livekit import rtc
from livekit.agents.voice import io

if TYPE_CHECKING:
    from pathlib import Path

    from .script import Line

MICROPHONE_RATE = 16_000
SPEAKER_RATE = 24_000
FRAME_SECONDS = 0.02
FRAME_SAMPLES = int(MICROPHONE_RATE * FRAME_SECONDS)
SILENCE = b"\0\0" * FRAME_SAMPLES


def read_recording(path: Path) -> list[bytes]:
    """Read a recording as 20 ms frames.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not 16 kHz, mono, 16 bit.
    """
    with wave.open(str(path)) as recording:
        form = (recording.getframerate(), recording.getnchannels(), recording.getsampwidth())
        if form != (MICROPHONE_RATE, 1, 2):
            raise ValueError(
                f"{path} has {form[0]} Hz, {form[1]} channels, {8 * form[2]} bit; needs 16000, 1, 16"
            )
        return split(recording.readframes(recording.getnframes()))


def split(sound: bytes) -> list[bytes]:
    """Cut 16-bit mono PCM at 16 kHz into 20 ms frames; the last one is filled with silence."""
    step = len(SILENCE)
    return [sound[start : start + step].ljust(step, b"\0") for start in range(0, len(sound), step)]


class Microphone(io.AudioInput):
    """Recordings at real time, silence between them.

    Args:
        recordings: Frames of each line, by its name.
    """

    def __init__(self, recordings: dict[str, list[bytes]]) -> None:
        super().__init__(label="recordings")
        self._recordings = recordings
        self._line: Line | None = None
        self._frames: list[bytes] = []
        self._position = 0
        self._due: float | None = None
        self._ended = asyncio.Event()

    async def play(self, line: Line) -> None:
        """Play a line's recording and wait for its end."""
        self._line, self._frames, self._position = line, self._recordings[line.name], 0
        self._ended.clear()
        await self._ended.wait()

    def words_said(self) -> list[str]:
        """Return the words of the last line, up to its playback position."""
        if self._line is None or not self._frames:
            return []
        words = self._line.text.split()
        return words[: round(len(words) * self._position / len(self._frames))]

    async def __anext__(self) -> rtc.AudioFrame:
        """Return the next frame when it is due."""
        now = time.monotonic()
        self._due = now if self._due is None else self._due + FRAME_SECONDS
        if self._due < now - 1.0:  # Far behind after a stall: continue from here rather than in a burst.
            self._due = now
        await asyncio.sleep(max(self._due - now, 0.0))
        sound = SILENCE
        if self._position < len(self._frames):
            sound = self._frames[self._position]
            self._position += 1
            if self._position == len(self._frames):
                self._ended.set()
        return rtc.AudioFrame(sound, MICROPHONE_RATE, 1, FRAME_SAMPLES)


class Speaker(io.AudioOutput):
    """Discards audio at the rate of real time."""

    def __init__(self) -> None:
        super().__init__(
            label="silent speaker",
            capabilities=io.AudioOutputCapabilities(pause=True),
            sample_rate=SPEAKER_RATE,
        )
        self._pushed = 0.0
        self._played = 0.0
        self._running_since: float | None = None
        self._started = False
        self._paused = False
        self._changed = asyncio.Event()
        self._cleared = False
        self._playout: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Add sound to play; faster than real time is fine."""
        if self._playout is not None:
            await self._playout
        await super().capture_frame(frame)
        self._pushed += frame.duration
        self._start_clock()

    def flush(self) -> None:
        """Play the rest of a complete segment."""
        super().flush()
        if self._pushed and self._playout is None:
            self._playout = asyncio.create_task(self._play_rest())

    def clear_buffer(self) -> None:
        """Stop at once."""
        if self._pushed:
            self._cleared = True
            self._changed.set()
            self.flush()

    def pause(self) -> None:
        """Pause; LiveKit calls this many times for one interruption."""
        super().pause()
        self._played, self._running_since = self._position(), None
        self._paused = True
        self._changed.set()

    def resume(self) -> None:
        """Resume from the pause."""
        super().resume()
        self._paused = False
        self._start_clock()
        self._changed.set()

    def _start_clock(self) -> None:
        if self._paused or self._running_since is not None or not self._pushed:
            return
        self._running_since = time.monotonic()
        if not self._started:  # speech that was held before its first sound starts only now
            self._started = True
            self.on_playback_started(created_at=time.time())

    def _position(self) -> float:
        running = 0.0 if self._running_since is None else time.monotonic() - self._running_since
        return min(self._played + running, self._pushed)

    async def _play_rest(self) -> None:
        while not self._cleared and (rest := self._pushed - self._position()) > 0:
            self._changed.clear()
            wait = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait([wait], timeout=None if self._paused else rest)
            wait.cancel()
        position, cleared = self._position(), self._cleared
        self._pushed = self._played = 0.0
        self._running_since, self._started, self._cleared, self._playout = None, False, False, None
        self.on_playback_finished(playback_position=position, interrupted=cleared)
