"""Where a recorded voice sounds, and what a conversation's figures are by sound alone. Pure; times are in seconds.

An energy detector knows nothing of LiveKit: a frame sounds if it is loud enough, and a stretch of speech lasts from its
first loud frame to its last one. What it measures on recorded tracks is held against the archive's figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Stretch = tuple[float, float]
"""From its first sound to its last one, seconds since 1970."""

LOUD: Final = 0.01
"""A frame sounds from this share of the loudest frame's level on (-40 dB)."""
FLOOR: Final = 60.0
"""Level (RMS of 16-bit samples) below which nothing sounds, however quiet the rest of the track is."""
PAUSE: Final = 0.55
"""Shorter silences belong to what is being said: Silero's `min_silence_duration` in livekit-plugins-silero."""
CLICK: Final = 0.03
"""Shorter sounds are no speech."""
WINDOW: Final = 200
"""Frames that are looked ahead at for the least delay; two seconds of 10 ms."""
YIELD: Final = 1.5
"""A voice that falls silent at most this long after another one began was interrupted."""
SAME: Final = 1.5
"""How far apart the archive's and the detector's start of the same answer may be."""


def clocked(arrivals: Sequence[float], length: float) -> list[float]:
    """Return when each frame began, from when it arrived.

    Frames are made at a steady pace, and a busy machine hands them over late, never early: the least delay within the
    next two seconds is the pace's own.

    Args:
        arrivals: seconds since 1970, in order.
        length: of a frame.
    """
    late = np.asarray(arrivals) - np.arange(len(arrivals)) * length
    # Padding with the last value keeps the window within the recording.
    padded = np.concatenate([late, np.full(WINDOW - 1, np.inf)])
    least = np.lib.stride_tricks.sliding_window_view(padded, WINDOW).min(axis=1)
    return [float(one) for one in least + (np.arange(len(arrivals)) - 1) * length]


def stretches(frames: Sequence[tuple[float, bytes]], length: float, *, pause: float = PAUSE) -> list[Stretch]:
    """Return the stretches of speech in a recorded track.

    Args:
        frames: (arrival, 16-bit mono PCM), in order.
        length: seconds of a frame.
        pause: shorter silences are bridged.
    """
    if not frames:
        return []
    levels = [
        float(np.sqrt(np.mean(np.square(np.frombuffer(pcm, np.int16), dtype=np.float64))))
        for _, pcm in frames
    ]
    least = max(FLOOR, max(levels) * LOUD)
    begins = clocked([at for at, _ in frames], length)
    return joined(
        [(at, at + length) for at, level in zip(begins, levels, strict=True) if level >= least], pause
    )


def joined(sounds: Iterable[Stretch], pause: float) -> list[Stretch]:
    """Join sounds that are less than a pause apart, and drop clicks."""
    found: list[Stretch] = []
    for start, stop in sounds:
        if found and start - found[-1][1] < pause:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return [one for one in found if one[1] - one[0] >= CLICK]


def talk(found: Iterable[Stretch]) -> float:
    """Return how long a voice sounds."""
    return sum(stop - start for start, stop in found)


def overlap(one: Iterable[Stretch], other: Sequence[Stretch]) -> float:
    """Return how long two voices sound at the same time."""
    return sum(
        max(0.0, min(stop, their_stop) - max(start, their_start))
        for start, stop in one
        for their_start, their_stop in other
    )


def interruptions(user: Iterable[Stretch], agent: Sequence[Stretch]) -> list[Stretch]:
    """Return the agent's stretches that the user cut off: the user began meanwhile, and the agent soon fell silent."""
    starts = [start for start, _ in user]
    return [
        (begun, ended)
        for begun, ended in agent
        if any(begun < start < ended <= start + YIELD for start in starts)
    ]


@dataclass(frozen=True)
class Wait:
    """What a caller waited for an answer: when the last words ended, and when the answer's first sound came."""

    stopped: float
    started: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.started - self.stopped


def waits(user: Sequence[Stretch], agent: Sequence[Stretch]) -> list[Wait]:
    """Return the waits between the user's words and the agent's answers.

    An answer counts once, from the last words before it; what the agent says after a pause of its own is no new one.
    """
    marks = sorted([(stop, 0, start) for start, stop in user] + [(start, 1, 0.0) for start, _ in agent])
    return [
        Wait(before[0], after[0]) for before, after in pairwise(marks) if before[1] == 0 and after[1] == 1
    ]


@dataclass(frozen=True)
class Compared:
    """One figure of the archive beside the detector's, in seconds or as a count; `turn` for those of one turn."""

    figure: str
    archive: float
    sound: float
    turn: str | None = None

    @property
    def difference(self) -> float:
        """How much larger, or later, the archive's is."""
        return self.archive - self.sound


def compare(detail: dict[str, Any], user: Sequence[Stretch], agent: Sequence[Stretch]) -> list[Compared]:
    """Hold a session's figures against what sounded.

    Args:
        detail: the answer of `GET /api/sessions/ID`.
        user: the caller's stretches.
        agent: the agent's.

    Raises:
        ValueError: a turn of the archive has no counterpart in the sound.
    """
    session = detail["session"]
    found = [
        Compared("user_talk", session["user_talk"], talk(user)),
        Compared("agent_talk", session["agent_talk"], talk(agent)),
        Compared("overlap", session["overlap"], overlap(user, agent)),
        Compared("interruptions", session["interruptions"], len(interruptions(user, agent))),
    ]
    for turn in detail["turns"]:
        found += _compare_turn(turn, user, agent)
    return found


def _compare_turn(turn: dict[str, Any], user: Sequence[Stretch], agent: Sequence[Stretch]) -> list[Compared]:
    name = turn["turn_id"]

    def nearest(figure: str, sounds: Iterable[float]) -> Compared:
        at = min(sounds, key=lambda one: abs(one - turn[figure]), default=float("inf"))
        if abs(at - turn[figure]) > SAME:
            raise ValueError(f"turn {name}: nothing sounded near its {figure}, {turn[figure]}")
        return Compared(figure, turn[figure], at, name)

    sides: dict[str, Callable[[], list[float]]] = {
        "user_started": lambda: [start for start, _ in user],
        "user_stopped": lambda: [stop for _, stop in user],
        "agent_started": lambda: [start for start, _ in agent],
        "agent_stopped": lambda: [stop for _, stop in agent],
    }
    found = [nearest(figure, sounds()) for figure, sounds in sides.items() if turn[figure] is not None]
    if turn["heard_latency"] is not None:
        begun = nearest("agent_started", [wait.started for wait in waits(user, agent)]).sound
        (wait,) = (one for one in waits(user, agent) if one.started == begun)
        found.append(Compared("heard_latency", turn["heard_latency"], wait.seconds, name))
    return found
