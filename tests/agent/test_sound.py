"""The rehearsal's microphone and loudspeaker."""

from __future__ import annotations

import asyncio
import time
import wave
from typing import TYPE_CHECKING

import pytest
from livekit import rtc

from agent.rehearsal.models import SECONDS_PER_CHARACTER, hum
from agent.rehearsal.performance import AUDIO, read_recordings
from agent.rehearsal.script import LINES, Line
from agent.rehearsal.sound import (
    FRAME_SAMPLES,
    FRAME_SECONDS,
    SILENCE,
    SPEAKER_RATE,
    Microphone,
    Speaker,
    split,
)
from agent.rehearsal.sound import read_recording as read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from livekit.agents.voice.io import PlaybackFinishedEvent

LINE = Line("line", "one two three four")
LOUD = b"\1\1" * FRAME_SAMPLES


class TestRecordings:
    def test_each_line_has_one_and_it_is_not_silent(self) -> None:
        recordings = read_recordings()
        assert set(recordings) == {line.name for line in LINES}
        assert all(any(frame != SILENCE for frame in frames) for frames in recordings.values())

    def test_the_script_that_made_them_says_the_same_words(self) -> None:
        made = (AUDIO / "make.sh").read_text()
        for line in LINES:
            assert f'speak {line.name} "{line.text}"' in made

    def test_another_form_is_refused(self, tmp_path: Path) -> None:
        with wave.open(str(tmp_path / "x.wav"), "wb") as recording:
            recording.setnchannels(2)
            recording.setsampwidth(2)
            recording.setframerate(44_100)
            recording.writeframes(b"\0" * 400)
        with pytest.raises(ValueError, match=r"x\.wav has 44100 Hz, 2 channels, 16 bit"):
            read(tmp_path / "x.wav")

    def test_the_last_frame_is_filled_with_silence(self) -> None:
        frames = split(LOUD + b"\1\1")
        assert [len(frame) for frame in frames] == [len(SILENCE)] * 2
        assert frames[1] == b"\1\1" + SILENCE[2:]


class TestMicrophone:
    def test_silence_then_the_line_then_silence(self) -> None:
        async def listen() -> list[bytes]:
            microphone = Microphone({"line": [LOUD, LOUD]})
            heard = [await microphone.__anext__()]
            playing = asyncio.create_task(microphone.play(LINE))
            await asyncio.sleep(0)
            heard += [await microphone.__anext__() for _ in range(3)]
            await playing
            return [bytes(frame.data) for frame in heard]

        assert asyncio.run(listen()) == [SILENCE, LOUD, LOUD, SILENCE]

    def test_it_takes_real_time(self) -> None:
        async def listen() -> float:
            microphone = Microphone({})
            started = time.monotonic()
            for _ in range(6):
                await microphone.__anext__()
            return time.monotonic() - started

        assert asyncio.run(listen()) >= 5 * FRAME_SECONDS

    def test_the_words_follow_the_playing(self) -> None:
        async def listen() -> list[list[str]]:
            microphone = Microphone({"line": [LOUD] * 4})
            said = [microphone.words_said()]
            playing = asyncio.create_task(microphone.play(LINE))
            await asyncio.sleep(0)
            for _ in range(4):
                await microphone.__anext__()
                said.append(microphone.words_said())
            await playing
            return said

        words = LINE.text.split()
        assert asyncio.run(listen()) == [words[:count] for count in range(5)]


def frame(seconds: float) -> rtc.AudioFrame:
    samples = int(seconds * SPEAKER_RATE)
    return rtc.AudioFrame(b"\0\0" * samples, SPEAKER_RATE, 1, samples)


class TestSpeaker:
    """The session's playback events; times are lower bounds, which a busy machine only exceeds."""

    def play(
        self, script: Callable[[Speaker], Awaitable[None]]
    ) -> tuple[list[str], PlaybackFinishedEvent, float]:
        async def run() -> tuple[list[str], PlaybackFinishedEvent, float]:
            speaker = Speaker()
            log: list[str] = []
            speaker.on("playback_started", lambda _event: log.append("started"))
            speaker.on("playback_finished", lambda _event: log.append("finished"))
            begun = time.monotonic()
            await script(speaker)
            finished = await speaker.wait_for_playout()
            return log, finished, time.monotonic() - begun

        return asyncio.run(run())

    def test_it_takes_as_long_as_the_sound(self) -> None:
        async def script(speaker: Speaker) -> None:
            await speaker.capture_frame(frame(0.06))
            await speaker.capture_frame(frame(0.06))
            speaker.flush()
            speaker.flush()

        log, finished, seconds = self.play(script)
        assert log == ["started", "finished"]
        assert (finished.interrupted, seconds >= 0.12) == (False, True)
        assert finished.playback_position == pytest.approx(0.12)

    def test_it_can_be_cut_short(self) -> None:
        async def script(speaker: Speaker) -> None:
            await speaker.capture_frame(frame(60))
            speaker.flush()
            await asyncio.sleep(0.05)
            speaker.clear_buffer()

        log, finished, seconds = self.play(script)
        assert log == ["started", "finished"]
        assert finished.interrupted
        assert 0.05 <= finished.playback_position < 60
        assert seconds < 60

    def test_it_can_be_cut_before_all_sound_has_come(self) -> None:
        async def script(speaker: Speaker) -> None:
            await speaker.capture_frame(frame(60))
            speaker.clear_buffer()

        assert self.play(script)[1].interrupted

    def test_a_pause_holds_it(self) -> None:
        async def script(speaker: Speaker) -> None:
            await speaker.capture_frame(frame(0.05))
            speaker.flush()
            speaker.pause()
            speaker.pause()
            await asyncio.sleep(0.1)
            speaker.resume()

        log, finished, seconds = self.play(script)
        assert log == ["started", "finished"]
        assert (finished.interrupted, seconds >= 0.15) == (False, True)

    def test_sound_that_comes_during_a_pause_starts_after_it(self) -> None:
        async def script(speaker: Speaker) -> None:
            started: list[float] = []
            speaker.on("playback_started", lambda event: started.append(event.created_at))
            speaker.pause()
            await speaker.capture_frame(frame(0.02))
            assert started == []
            speaker.resume()
            assert len(started) == 1
            speaker.flush()

        assert self.play(script)[0] == ["started", "finished"]

    def test_segments_follow_each_other(self) -> None:
        async def script(speaker: Speaker) -> None:
            for _ in range(2):
                await speaker.capture_frame(frame(0.02))
                speaker.flush()

        assert self.play(script)[0] == ["started", "finished", "started", "finished"]

    def test_clearing_nothing_is_nothing(self) -> None:
        async def script(speaker: Speaker) -> None:
            speaker.clear_buffer()
            speaker.flush()

        assert self.play(script)[0] == []


def test_the_hum_is_as_long_as_asked() -> None:
    sound = hum(10 * SECONDS_PER_CHARACTER)
    assert len(sound) == pytest.approx(10 * SECONDS_PER_CHARACTER * SPEAKER_RATE * 2, abs=2)
    assert any(sound)
