"""The archive's figures of a real conversation against what an energy detector measures on the recorded voices."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest

from bench import sound_figures
from bench.sound_figures import CALLER, STOP, STORY, converse

if TYPE_CHECKING:
    from tests.livekit.processes import HubServer, LiveKitServer
    from tests.stubs.openai_stub import OpenAIStub

MOST = {
    "user_talk": 1.0,
    "agent_talk": 1.0,
    "overlap": 0.7,
    "user_started": 0.5,
    "user_stopped": 0.5,
    "agent_started": 0.5,
    "agent_stopped": 0.5,
    "heard_latency": 0.6,
    CALLER: 0.7,
}
"""Seconds by which the archive may differ (the median over the turns): two to three times a quiet machine's."""

pytestmark = [pytest.mark.livekit, pytest.mark.timeout(300)]


def test_the_figures_are_those_of_the_sound(
    hub: HubServer, livekit_server: LiveKitServer, stub: OpenAIStub
) -> None:
    hub.start_agent()
    said = [sound_figures.QUESTIONS[0], STORY, STOP, sound_figures.QUESTIONS[1]]
    talk = converse(hub, livekit_server, stub, "measured", said)
    compared = talk.compared()
    print(sound_figures.table(compared))
    found = sound_figures.differences(compared)
    assert (
        [one.archive for one in found["interruptions"]]
        == [one.sound for one in found["interruptions"]]
        == [1]
    )
    for figure, most in MOST.items():
        assert abs(statistics.median(one.difference for one in found[figure])) < most, figure
    for figure in ("heard_latency", CALLER):
        assert len(found[figure]) == len(said), figure
    session = talk.detail["session"]
    assert session["heard_latency"]["count"] == len(said)
    assert session["heard_latency"]["max"] == max(one.archive for one in found["heard_latency"])
