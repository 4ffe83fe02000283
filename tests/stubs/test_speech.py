"""The ear understands what it was taught, however badly it arrives, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.stubs.speech import RATE, Vocabulary, say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

TAUGHT = (
    "Tell me a long story about the sea.",
    "Tell me a short story about the sea.",
    "My number is four two seven.",
    "My number is four two nine.",
    "Stop please.",
)
PIECE = RATE // 50


@pytest.fixture(scope="module")
def ear() -> Vocabulary:
    vocabulary = Vocabulary()
    for phrase in TAUGHT:
        vocabulary.learn(phrase)
    return vocabulary


def through_a_busy_machine(phrase: str, seed: int) -> bytes:
    """Insert gaps, lose pieces and repeat pieces of 20 ms, as a jitter buffer that is short of audio does."""
    chance = np.random.default_rng(seed)
    samples = np.frombuffer(say(phrase), np.int16)
    heard: list[Samples] = []
    for start in range(0, len(samples), PIECE):
        piece = samples[start : start + PIECE]
        fate = chance.random()
        if fate < 0.05:
            heard += [np.zeros(PIECE * int(chance.integers(1, 8)), np.int16), piece]
        elif fate < 0.15:
            heard += [piece] * int(chance.integers(2, 5))
        elif fate > 0.2:
            heard.append(piece)
    return np.concatenate(heard).tobytes()


@pytest.mark.parametrize("phrase", TAUGHT)
def test_taught_phrases_are_understood_however_they_arrive(ear: Vocabulary, phrase: str) -> None:
    for seed in range(5):
        assert ear.recognise(through_a_busy_machine(phrase, seed), RATE) == phrase


@pytest.mark.parametrize(
    "phrase", ["Good morning my friend.", "Where is the railway station?", "A cup of coffee."]
)
def test_what_was_not_taught_is_not_understood(ear: Vocabulary, phrase: str) -> None:
    assert ear.recognise(say(phrase), RATE) is None


def test_noise_and_half_a_phrase_are_not_a_phrase(ear: Vocabulary) -> None:
    noise = np.random.default_rng(1).normal(0, 2000, RATE).astype(np.int16).tobytes()
    assert ear.recognise(noise, RATE) is None
    whole = say(TAUGHT[0])
    assert ear.recognise(whole[: len(whole) // 4 * 2], RATE) is None


def test_words_that_two_phrases_share_come_first_and_are_never_taken_back(ear: Vocabulary) -> None:
    for phrase in TAUGHT:
        pcm, before = say(phrase), list[str]()
        for end in range(RATE // 5, len(pcm) // 2, RATE // 5):
            words = ear.words_so_far(pcm[: end * 2], RATE)
            assert words == phrase.split()[: len(words)]
            before = max(before, words, key=len)
        assert len(before) >= 1
