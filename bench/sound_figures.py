"""The archive's figures held against sound: `uv run python -m bench.sound_figures [--talks N] [--turns N]`.

A caller talks to the hub's own agent in a real room and cuts into some answers. A third participant records both
voices, and an energy detector (`hearing`) measures on the recording what `GET /api/sessions/ID` says of the session:
when each voice began and stopped, how long both talked, what was cut off, and how long the caller waited. The wait is
also taken at the caller's own end, from the last sample that left the microphone to the first sound of the answer.

Needs livekit-server on PATH and espeak-ng. Prints one line of JSON for each figure, then a table of the differences
(archive minus sound). They are explained in docs/reference/archive.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import hearing
from bench.hearing import Compared, Stretch, Wait
from tests.kit.wait import until
from tests.livekit.participant import FRAME_SECONDS, Participant
from tests.livekit.processes import HubServer, LiveKitServer
from tests.stubs.openai_stub import OpenAIStub
from tests.stubs.script import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.livekit.processes import Seen

QUESTIONS: Final = (
    "Roses are red in summer.",
    "My neighbour grows tall cucumbers.",
    "Whales swim in deep oceans.",
    "I painted the old barn yesterday.",
)
STORY: Final = "Tell me a long story about the sea."
STOP: Final = "That is enough."
TALE: Final = (
    "Once upon a time there was a small boat that sailed over the wide blue sea, past seven islands and through three "
    "storms, until it came to a harbour where nobody had ever seen a boat before."
)
WORDS_BEFORE_THE_CUT: Final = 6
COUNTED: Final = frozenset({"interruptions"})
"""Figures that are no seconds."""
CALLER: Final = "heard_latency, at the caller's end"


@dataclass(frozen=True)
class Talk:
    """A conversation as the archive has it, and as it sounded.

    Attributes:
        detail: the answer of `GET /api/sessions/ID` after the end.
        user: the caller's stretches of speech on the recording.
        agent: the agent's.
        at_caller: what the caller waited, by the caller's own microphone and ear.
    """

    detail: dict[str, Any]
    user: list[Stretch]
    agent: list[Stretch]
    at_caller: list[Wait]

    def compared(self) -> list[Compared]:
        """Return every figure of the archive beside what was measured."""
        found = hearing.compare(self.detail, self.user, self.agent)
        answered = [turn for turn in self.detail["turns"] if turn["heard_latency"] is not None]
        for turn, wait in zip(answered, self.at_caller, strict=True):
            found.append(Compared(CALLER, turn["heard_latency"], wait.seconds, turn["turn_id"]))
        return found


def script(turns: int) -> list[str]:
    """Return what the caller says: every third time something that is cut into."""
    plain = itertools.cycle(QUESTIONS)
    said: list[str] = []
    while len(said) < turns:
        said += [next(plain), STORY, STOP]
    return said[:turns] if said[turns - 1] != STORY else [*said[: turns - 1], next(plain)]


def converse(
    hub: HubServer, livekit: LiveKitServer, stub: OpenAIStub, room: str, said: Sequence[str]
) -> Talk:
    """Talk to the agent, which is started, and return what came of it.

    Args:
        hub: with its agent in LiveKit mode.
        livekit: the rooms.
        stub: the models.
        room: a room of its own.
        said: what the caller says; `STORY` is cut into by what follows.
    """
    stub.learn(*QUESTIONS, STORY, STOP)
    stub.script.add(Rule(re.escape(STORY), TALE))
    stream = hub.stream
    with Participant(livekit.url, livekit.token(room, "caller"), "caller") as caller:
        agent = caller.wait_for_agent(40)
        # Later than the caller, whom the agent listens to.
        with Participant(livekit.url, livekit.token(room, "recorder"), "recorder", speaks=False) as recorder:
            session = stream.wait("session_started", room=room, seconds=40)["session_id"]
            begun = stream.wait("agent_speech_started", room=room, seconds=40)
            quiet = stream.wait("agent_speech_finished", room=room, after=begun)
            until(
                lambda: {"caller", agent} <= recorder.recorded.keys(),
                seconds=20,
                what="both voices are recorded",
            )
            ends: list[float] = []
            for phrase in said:
                if phrase != STOP:
                    # What sounds before a question is over, or the detector would take both for one.
                    time.sleep(hearing.PAUSE + 0.5)
                ends.append(caller.say(phrase))
                quiet = _answer(hub, room, phrase, quiet)
            # The recording lags behind by as much as the sound is buffered.
            time.sleep(1.0)
            caller.leave()
            stream.wait("session_ended", session_id=session, seconds=60)
            recorded = {who: list(frames) for who, frames in recorder.recorded.items()}
            heard = list(caller.recorded[agent])
    return Talk(
        _archived(hub, session, room),
        hearing.stretches(recorded["caller"], FRAME_SECONDS),
        hearing.stretches(recorded[agent], FRAME_SECONDS),
        _waits(ends, hearing.stretches(heard, FRAME_SECONDS)),
    )


def _answer(hub: HubServer, room: str, phrase: str, quiet: Seen) -> Seen:
    """Wait for the end of the answer, or until enough of it was said to be cut into."""
    heard = hub.stream.wait(
        "transcript", role="user", is_final=True, room=room, text=phrase, after=quiet, seconds=30
    )
    turn = heard["turn_id"]
    if phrase != STORY:
        return hub.stream.wait("agent_speech_finished", room=room, turn_id=turn, after=heard, seconds=60)

    def far_enough(seen: Seen) -> bool:
        mine = seen.type == "transcript" and (seen["role"], seen["turn_id"]) == ("agent", turn)
        return mine and len(seen["text"].split()) >= WORDS_BEFORE_THE_CUT

    return hub.stream.events.wait(far_enough, seconds=30, text="words of the tale", after=heard)


def _waits(ends: Iterable[float], agent: Sequence[Stretch]) -> list[Wait]:
    return [Wait(end, next(start for start, _ in agent if start > end)) for end in ends]


def _archived(hub: HubServer, session: str, room: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def ended() -> bool:
        listed = hub.get(f"/api/sessions?room={room}&state=ended")["sessions"]
        if listed:
            found.update(hub.get(f"/api/sessions/{session}"))
        return bool(listed)

    until(ended, seconds=30, what="the session is archived")
    return found


def differences(compared: Iterable[Compared]) -> dict[str, list[Compared]]:
    """Return what was compared, by figure."""
    found: dict[str, list[Compared]] = {}
    for one in compared:
        found.setdefault(one.figure, []).append(one)
    return found


def table(compared: Iterable[Compared]) -> str:
    """Return the differences as a table in Markdown."""
    lines = ["| figure | n | archive minus sound, median | range |", "|---|---|---|---|"]
    for figure, several in differences(compared).items():
        values = [one.difference for one in several]
        shown = [_shown(figure, value) for value in (statistics.median(values), min(values), max(values))]
        lines.append(f"| {figure} | {len(values)} | {shown[0]} | {shown[1]} to {shown[2]} |")
    return "\n".join(lines)


def _shown(figure: str, value: float) -> str:
    return f"{value:+.0f}" if figure in COUNTED else f"{value * 1000:+.0f} ms"


def main() -> None:
    """Hold some talks, and print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--talks", type=int, default=3, help="conversations, each in a room of its own")
    parser.add_argument("--turns", type=int, default=9, help="phrases of each conversation")
    options = parser.parse_args()
    compared: list[Compared] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        OpenAIStub() as stub,
        LiveKitServer(Path(folder)) as livekit,
    ):
        models = {"OPENAI_API_KEY": "any", "OPENAI_BASE_URL": stub.base_url}
        with HubServer(Path(folder), {**livekit.environment, **models}) as hub:
            hub.start_agent()
            for number in range(1, options.talks + 1):
                talk = converse(hub, livekit, stub, f"talk-{number}", script(options.turns))
                for one in talk.compared():
                    fields = {"archive": round(one.archive, 3), "sound": round(one.sound, 3)}
                    print(
                        json.dumps({"talk": number, "figure": one.figure, "turn": one.turn, **fields}),
                        flush=True,
                    )
                compared += talk.compared()
    load = [round(one, 2) for one in os.getloadavg()]
    print(json.dumps({"figure": "load average", "values": load}))
    print(table(compared))


if __name__ == "__main__":
    main()
