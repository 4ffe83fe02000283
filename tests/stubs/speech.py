"""Speech for the tests: says a text, and recognises the texts it has been told to expect.

`say` makes audio with espeak-ng, or with one tone per word where espeak-ng is not installed. `Vocabulary`
is the ear: it compares the spectrum of what it hears with the spectrum of every phrase it knows, so a test
that speaks known phrases gets the exact words back, however many rooms speak at the same time.

Touches nothing but the espeak-ng program. Audio is 16-bit mono PCM everywhere.
"""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import threading
import wave
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]
    Features = NDArray[np.float32]

RATE = 24_000
"""Sample rate in hertz of what `say` returns; the rate of OpenAI's realtime audio, too."""

_FRAME_SECONDS = 0.02
_BANDS = 24
_LOWEST_HZ, _HIGHEST_HZ = 120.0, 6_000.0
_QUIET = 1e-4  # of the loudest frame's power: quieter ones are pauses, or gaps that a busy machine left
_ALIKE = 0.68  # other phrases stay below it, the same phrase through a lossy room above it
_CLOSE = 0.08  # a beginning that comes so near to the best one may still be the right one
_STANDING = 0.3  # what it costs to stay at a frame of the phrase while another one is heard
_LAST = 5  # frames at either end that may be missing


@dataclass(frozen=True)
class Voice:
    """How a text is spoken: an espeak-ng voice name, and its speed in words per minute."""

    name: str = "en-us"
    words_per_minute: int = 160


USER_VOICE = Voice("en-gb", 150)
AGENT_VOICE = Voice("en-us", 175)


@functools.lru_cache(maxsize=512)
def say(text: str, voice: Voice = USER_VOICE) -> bytes:
    """Speak a text.

    Args:
        text: What to say.
        voice: Who says it.

    Returns:
        16-bit mono PCM at `RATE`, without silence at either end.

    Raises:
        subprocess.CalledProcessError: espeak-ng is installed but failed, for example on an unknown voice.
    """
    if shutil.which("espeak-ng") is None:
        return _tones(text, voice).tobytes()
    command = ["espeak-ng", "--stdout", "-v", voice.name, "-s", str(voice.words_per_minute), "--", text]
    spoken = subprocess.run(command, check=True, capture_output=True, timeout=30).stdout
    samples, rate = read_wav(spoken)
    return _without_silence(resample(samples, rate, RATE)).tobytes()


def _tones(text: str, voice: Voice) -> Samples:
    """One tone per word, its pitch taken from the word, so that every text sounds different."""
    parts = []
    for word in text.lower().split():
        pitch = 200 + zlib.crc32(word.encode()) % 3000
        seconds = 60 / voice.words_per_minute * 0.85
        moments = np.arange(int(RATE * seconds)) / RATE
        parts += [8000 * np.sin(2 * np.pi * pitch * moments), np.zeros(int(RATE * seconds * 0.15))]
    return np.concatenate(parts or [np.zeros(RATE // 10)]).astype(np.int16)


def _without_silence(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > 200)
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples


def read_wav(data: bytes) -> tuple[Samples, int]:
    """Read a WAV file of 16-bit mono PCM; espeak-ng's streamed ones, whose length field is wrong, too.

    Returns:
        The samples and their rate in hertz.
    """
    with wave.open(io.BytesIO(data)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16), file.getframerate()


def write_wav(pcm: bytes, rate: int = RATE) -> bytes:
    """Wrap 16-bit mono PCM into a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return buffer.getvalue()


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Change the rate by linear interpolation: good enough for ears that compare spectra."""
    if rate == wanted:
        return samples
    count = int(len(samples) * wanted / rate)
    moments = np.arange(count) * rate / wanted
    return np.interp(moments, np.arange(len(samples)), samples).astype(np.int16)


@functools.lru_cache(maxsize=8)
def _band_weights(rate: int, size: int) -> Features:
    edges = np.geomspace(_LOWEST_HZ, min(_HIGHEST_HZ, rate / 2), _BANDS + 1)
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    inside = (frequencies >= edges[:-1, None]) & (frequencies < edges[1:, None])
    nearest = np.abs(frequencies[None, :] - np.sqrt(edges[:-1] * edges[1:])[:, None]).argmin(axis=1)
    inside[np.arange(_BANDS), nearest] = True
    weights: Features = (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def _bands(samples: Samples, rate: int) -> Features:
    """Return the loudness of each band, relative to the frame's, for every 20 ms that are not silent."""
    hop = int(rate * _FRAME_SECONDS)
    count = len(samples) // hop - 1
    if count < 1:
        return np.zeros((0, _BANDS), np.float32)
    starts = np.arange(count)[:, None] * hop + np.arange(2 * hop)[None, :]
    frames = samples[starts].astype(np.float32) * np.hanning(2 * hop).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 @ _band_weights(rate, 2 * hop).T
    loudness = power.sum(axis=1)
    bands: Features = np.log(power[loudness > loudness.max() * _QUIET] + 1e3)
    bands -= bands.mean(axis=1, keepdims=True)
    return bands


@functools.lru_cache(maxsize=1)
def _typical() -> Features:
    """Return the mean of the voice's bands: what all its words have in common distinguishes none of them."""
    sample = "The quick brown fox jumps over the lazy dog, while nine big wolves judge her from a park."
    mean: Features = _bands(np.frombuffer(say(sample), np.int16), RATE).mean(axis=0)
    return mean


def features(samples: Samples, rate: int) -> Features:
    """Describe speech by one unit vector for every 20 ms that are not silent, whatever its rate and level."""
    bands = _bands(samples, rate) - _typical()
    length = np.linalg.norm(bands, axis=1, keepdims=True)
    described: Features = (bands / np.maximum(length, 1e-3)).astype(np.float32)
    return described


def _align(heard: Features, known: Features) -> Features:
    """Return, for every frame of a phrase, how well everything that was heard fits up to there: up to 1.

    Both are walked from the first frame on; for each heard frame the phrase advances by none, one or two, so
    that audio which a busy machine has stretched, repeated or cut still fits.
    """
    cost: Features = np.float32(1) - heard @ known.T
    total: Features = np.full(
        len(known) + 2, np.inf, np.float32
    )  # two frames before the first, for the steps
    total[2 : 2 + _LAST] = cost[0, :_LAST]
    for row in cost[1:]:
        total[2:] = row + np.minimum(np.minimum(total[2:] + _STANDING, total[1:-1]), total[:-2])
    return np.float32(1) - total[2:] / np.float32(len(heard))


def longest_pause(pcm: bytes) -> float:
    """Return the longest silence inside the audio, in seconds."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, np.int16)) > 200)
    return float(np.diff(loud).max() / RATE) if loud.size > 1 else 0.0


class Vocabulary:
    """The phrases that can be recognised. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Features] = {}

    def learn(self, text: str, voice: Voice = USER_VOICE) -> None:
        """Add a phrase as the given voice says it; a known text is left as it is."""
        with self._lock:
            if text in self._known:
                return
        described = features(np.frombuffer(say(text, voice), np.int16), RATE)
        with self._lock:
            self._known[text] = described

    def phrases(self) -> list[str]:
        """Return the texts that are known."""
        with self._lock:
            return list(self._known)

    def recognise(self, pcm: bytes, rate: int) -> str | None:
        """Return the phrase that this is a whole recording of, or None.

        Args:
            pcm: 16-bit mono PCM; silence at both ends is allowed.
            rate: Its rate in hertz.
        """
        alike = self._compare(pcm, rate, whole=True)
        return alike[0][1] if alike else None

    def words_so_far(self, pcm: bytes, rate: int) -> list[str]:
        """Return the words said so far in a phrase that is not over.

        Where several phrases begin alike, only the words they share are returned: a later word may not
        take back an earlier one.
        """
        said = []
        for _, text, part in self._compare(pcm, rate, whole=False):
            words = text.split()
            said.append(words[: int(len(words) * part)])
        shared = []
        for together in zip(*said, strict=False):
            if len(set(together)) > 1:
                break
            shared.append(together[0])
        return shared

    def _compare(self, pcm: bytes, rate: int, *, whole: bool) -> list[tuple[float, str, float]]:
        """Return (likeness, phrase, part of it that was heard) of the best match and of those close to it."""
        heard = features(np.frombuffer(pcm, np.int16), rate)
        if not len(heard):
            return []
        with self._lock:
            known = dict(self._known)
        found = []
        for text, described in known.items():
            fits = _align(heard, described)
            place = len(fits) - _LAST + int(fits[-_LAST:].argmax()) if whole else int(fits.argmax())
            found.append((float(fits[place]), text, (place + 1) / len(fits)))
        found.sort(reverse=True)
        return [match for match in found if match[0] > max(_ALIKE, found[0][0] - _CLOSE)]
