"""A conversation by script: what a person says in a room, turn by turn, and what the agent has to make of it.

`Dialogue` gives the turns of one room, without end; `perform` speaks them and teaches the stub each answer just before
its question. Every phrase belongs to one room and every answer has a number, so that no word can be taken for another.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.livekit.test_conversation import greeted
from tests.stubs.script import Rule
from tests.stubs.speech import RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.livekit.participant import Participant
    from tests.livekit.processes import HubServer, Seen
    from tests.stubs.openai_stub import OpenAIStub

SHORT = "Answer {n} of the {room} room is a short one."
LONG = (
    "Answer {n} of the {room} room takes longer: there was a boat that sailed over the wide sea, past seven islands "
    "and through three storms, until it came to a harbour where nobody had ever seen a boat before. There it stayed."
)
CLOCK = "Answer {n} of the {room} room, from the clock: {{output}}."
WORDS_BEFORE_THE_CUT = 5
SHORT_PAUSE = 4.0  # seconds
AWAY = math.inf  # a silence as long as it takes LiveKit to call the user away

PHRASES = {
    "red": {
        "plain": ["Roses are red in summer.", "I painted the old barn yesterday."],
        "time": ["What is the current time in London?"],
        "nowhere": ["Which hour do the Martians have?"],
        "long": ["Describe a sunset over the desert."],
        "cut": ["Tell me a long story about the sea."],
        "stop": ["Stop please."],
        "late": ["Are you still with me?"],
    },
    "green": {
        "plain": ["Frogs live in muddy water.", "My neighbour grows tall cucumbers."],
        "time": ["Is it already evening in Tokyo?"],
        "nowhere": ["How late is it on the moon?"],
        "long": ["Explain how trees drink."],
        "cut": ["Read the whole forest chapter to me."],
        "stop": ["That is enough."],
        "late": ["Sorry, I fell asleep."],
    },
    "blue": {
        "plain": ["Whales swim in deep oceans.", "Nobody bought the blue bicycle."],
        "time": ["Check a clock in New York."],
        "nowhere": ["Give me Atlantis daylight saving."],
        "long": ["Why does the sky change colours?"],
        "cut": ["Begin with your voyage around the world."],
        "stop": ["Wait a moment."],
        "late": ["The phone rang downstairs."],
    },
}
ZONES = {"red": "Europe/London", "green": "Asia/Tokyo", "blue": "America/New_York"}
NOWHERE = "Mars/Olympus"


@dataclass(frozen=True)
class Turn:
    """A question and its answer.

    Attributes:
        phrase: What the person says.
        answer: What the agent says, with `{output}` for a tool's.
        zone: The argument of the tool `current_time`; None: no tool.
        cut: The person begins the next turn while the agent speaks.
        before: The silence before it, seconds.
    """

    phrase: str
    answer: str
    zone: str | None = None
    cut: bool = False
    before: float = 0.0


class Dialogue:
    """The turns of one room, in an order of its own, so that the rooms do not do the same at the same time."""

    def __init__(self, room: str) -> None:
        self.room = room
        self._phrases = {kind: itertools.cycle(phrases) for kind, phrases in PHRASES[room].items()}
        self._numbers = itertools.count(1)

    def __iter__(self) -> Iterator[Turn]:
        kinds = ["plain", "time", "cut", "long", "plain", "cut", "nowhere", "late"]
        start = list(PHRASES).index(self.room) * 3
        for kind in itertools.cycle(kinds[start:] + kinds[:start]):
            yield self._turn(kind)
            if kind == "cut":
                yield self._turn("stop")

    def _turn(self, kind: str) -> Turn:
        text = {"long": LONG, "cut": LONG, "time": CLOCK, "nowhere": CLOCK}.get(kind, SHORT)
        return Turn(
            next(self._phrases[kind]),
            text.format(n=next(self._numbers), room=self.room),
            zone={"time": ZONES[self.room], "nowhere": NOWHERE}.get(kind),
            cut=kind == "cut",
            before={"late": AWAY, "long": SHORT_PAUSE}.get(kind, 0.0),
        )


def phrases(room: str) -> list[str]:
    """Return all that may be said in a room."""
    return [phrase for some in PHRASES[room].values() for phrase in some]


def perform(room: str, hub: HubServer, stub: OpenAIStub, person: Participant, until: float) -> list[Turn]:
    """Talk until the time has come, and finish what was begun.

    Args:
        room: The room; the person is in it.
        hub: Its stream reports when the agent has answered.
        stub: Learns the answers.
        person: Who talks.
        until: By `time.monotonic`.

    Returns:
        The turns that were spoken.
    """
    quiet = greeted(hub.stream, room)
    spoken: list[Turn] = []
    for turn in Dialogue(room):
        if time.monotonic() > until and not (spoken and spoken[-1].cut):
            return spoken
        _keep_silent(turn.before, hub, person, room, quiet)
        spoken.append(turn)
        quiet = _ask(turn, room, hub, stub, person, quiet)
    return spoken


def _keep_silent(silence: float, hub: HubServer, person: Participant, room: str, quiet: Seen) -> None:
    if silence == AWAY:
        hub.stream.wait("user_state", room=room, state="away", after=quiet, seconds=30)
    elif silence:
        person.play(bytes(int(RATE * silence) * 2), "silence")


def _ask(turn: Turn, room: str, hub: HubServer, stub: OpenAIStub, person: Participant, quiet: Seen) -> Seen:
    """Say the phrase; return the end of the answer, or what the next turn may cut into."""
    tool = None if turn.zone is None else "current_time"
    match = f"^{re.escape(turn.phrase)}$"
    stub.script.add(Rule(match, turn.answer, tool, {"time_zone": turn.zone} if turn.zone else {}))
    person.say(turn.phrase)
    said = hub.stream.wait(
        "transcript", role="user", is_final=True, room=room, text=turn.phrase, after=quiet, seconds=30
    )
    if not turn.cut:
        return hub.stream.wait("agent_speech_finished", turn_id=said["turn_id"], after=said, seconds=60)

    def far_enough(seen: Seen) -> bool:
        mine = seen.type == "transcript" and (seen["role"], seen["turn_id"]) == ("agent", said["turn_id"])
        return mine and len(seen["text"].split()) >= WORDS_BEFORE_THE_CUT

    return hub.stream.events.wait(far_enough, seconds=30, text=f"words of {turn.answer!r}", after=said)
