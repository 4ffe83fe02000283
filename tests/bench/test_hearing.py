"""The energy detector, on sound whose figures are known."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from bench import hearing
from bench.hearing import Compared, Wait

LENGTH = 0.01
RATE = 24_000
START = 1_795_430_000.0


def track(*spoken: tuple[float, float], seconds: float, lag: float = 0.0) -> list[tuple[float, bytes]]:
    """Make a recording in which a tone sounds from and to these times, each frame handed over when it is over."""
    moments = np.arange(int(seconds * RATE)) / RATE
    sound = np.zeros(len(moments))
    for start, stop in spoken:
        inside = (moments >= start) & (moments < stop)
        sound[inside] = 8000.0 * np.sin(2 * math.pi * 440 * moments[inside])
    noise = np.random.default_rng(1).normal(0, 3, len(moments))
    samples = (sound + noise).astype(np.int16)
    size = int(RATE * LENGTH)
    return [
        (START + (number + 1) * LENGTH + lag, samples[number * size : (number + 1) * size].tobytes())
        for number in range(int(seconds / LENGTH))
    ]


def near(found: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(round(start - START, 2), round(stop - START, 2)) for start, stop in found]


def test_speech_lasts_from_its_first_sound_to_its_last_over_short_pauses() -> None:
    frames = track((0.5, 1.0), (1.4, 2.0), (3.0, 3.5), seconds=5)
    assert near(hearing.stretches(frames, LENGTH)) == [(0.5, 2.0), (3.0, 3.5)]
    assert near(hearing.stretches(frames, LENGTH, pause=0.1)) == [(0.5, 1.0), (1.4, 2.0), (3.0, 3.5)]


def test_silence_and_noise_are_no_speech() -> None:
    assert hearing.stretches(track(seconds=2), LENGTH) == []
    assert hearing.stretches([], LENGTH) == []


def test_frames_that_are_handed_over_late_do_not_move_the_sound() -> None:
    random.seed(2)
    frames = track((0.5, 1.0), (2.0, 2.5), seconds=4)
    late, last = [], 0.0
    for number, (at, pcm) in enumerate(frames):
        # A machine that stands still for 0.3 s now and then hands several frames over at once.
        stall = 0.3 if number % 100 < 30 else 0.0
        last = max(last, at + stall * random.random())
        late.append((last, pcm))
    found = hearing.stretches(late, LENGTH)
    assert [pytest.approx(edge, abs=0.02) for one in found for edge in one] == [
        START + edge for edge in (0.5, 1.0, 2.0, 2.5)
    ]


def test_a_track_that_stood_still_goes_on_at_its_new_place() -> None:
    before, after = track((0.2, 0.5), seconds=3), track((0.2, 0.5), seconds=3, lag=10.0)
    assert near(hearing.stretches([*before, *after], LENGTH)) == [(0.2, 0.5), (10.2, 10.5)]


def test_talk_overlap_and_interruptions() -> None:
    agent = [(0.0, 4.0), (6.0, 9.0), (12.0, 15.0)]
    # Cuts into the first answer, speaks along with the second one, which continues, and asks after the third.
    user = [(3.5, 5.0), (7.0, 7.5), (16.0, 17.0)]
    assert hearing.talk(agent) == 10.0
    assert hearing.overlap(user, agent) == 1.0
    assert hearing.interruptions(user, agent) == [(0.0, 4.0)]


def test_a_wait_runs_from_the_last_words_to_the_answer_alone() -> None:
    user = [(1.0, 2.0), (2.8, 3.0), (9.0, 10.0)]
    agent = [(4.5, 6.0), (7.0, 8.0), (10.8, 12.0)]
    found = hearing.waits(user, agent)
    assert found == [Wait(3.0, 4.5), Wait(10.0, 10.8)]
    assert found[0].seconds == 1.5


def turn(**fields: float | None) -> dict[str, object]:
    names = ("user_started", "user_stopped", "agent_started", "agent_stopped", "heard_latency")
    return {"turn_id": "t", **dict.fromkeys(names), **fields}


def test_each_figure_is_held_against_the_nearest_sound() -> None:
    detail = {
        "session": {"user_talk": 1.1, "agent_talk": 1.9, "overlap": 0.0, "interruptions": 0},
        "turns": [
            turn(user_started=1.1, user_stopped=2.2, agent_started=3.5, agent_stopped=5.6, heard_latency=1.3)
        ],
    }
    found = {one.figure: one for one in hearing.compare(detail, [(1.0, 2.0)], [(3.6, 5.5)])}
    assert found["user_stopped"] == Compared("user_stopped", 2.2, 2.0, "t")
    assert found["heard_latency"].sound == pytest.approx(1.6)
    assert found["heard_latency"].difference == pytest.approx(-0.3)
    assert found["agent_talk"].difference == pytest.approx(0.0)
    assert found["interruptions"].sound == 0


def test_a_turn_without_sound_is_no_match() -> None:
    detail = {
        "session": {"user_talk": 1.0, "agent_talk": 0.0, "overlap": 0.0, "interruptions": 0},
        "turns": [turn(agent_started=30.0)],
    }
    with pytest.raises(ValueError, match="nothing sounded near its agent_started"):
        hearing.compare(detail, [(1.0, 2.0)], [(3.6, 5.5)])
