"""Simulated calls as timed events: greetings, turns, tools, interruptions, and occasional failures.

Pure: everything follows from the numbers of the line and the call. Event types and fields are those of
docs/reference/events.md, as `attach` sends them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.demo.scenes import CALLERS, SCENES, Exchange, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

Event = dict[str, Any]
Timed = tuple[float, Event]
"""When an event happens, and the event."""

OLDEST: Final = 240.0
"""How long, in seconds, the oldest call has been running when the demo begins."""
SECONDS_PER_CHARACTER: Final = 0.065
INTERIM_SECONDS: Final = 0.35
"""Seconds between two interims of an utterance."""
SLOW_LINES: Final = 9
"""One in this number of lines has a slow model."""


def timelines(count: int, now: float) -> list[Iterator[Timed]]:
    """Return each line's endless events, from its first call on, oldest first.

    Args:
        count: Lines; each has one call after the other.
        now: Seconds since 1970. Calls begin up to `OLDEST` seconds before.
    """
    return [line(number, now - OLDEST * Random(f"age {number}").random()) for number in range(count)]


def line(number: int, begin: float) -> Iterator[Timed]:
    """Yield the events of a line: call after call in one room, with pauses between them.

    Args:
        number: Which line.
        begin: When its first call begins, seconds since 1970.
    """
    run = 0
    while True:
        call = Call(number, run, begin)
        call.play()
        for at, event in call.events:
            yield at, {**event, "timestamp": round(at, 3)}
        begin = call.now + call.pause
        run += 1


@dataclass
class Call:
    """A call, played from beginning to end.

    Attributes:
        number: Its line.
        run: Which call of that line.
        now: How far it has been played, seconds since 1970.
        events: What happened so far, oldest first.
        pause: Seconds until the line's next call.
    """

    number: int
    run: int
    now: float
    events: list[Timed] = field(default_factory=list)
    pause: float = 0.0

    def __post_init__(self) -> None:
        self.chance = Random(f"line {self.number} call {self.run}")
        self.scene: Scene = SCENES[self.number % len(SCENES)]
        self.is_slow = self.number % SLOW_LINES == SLOW_LINES - 3
        self.session = f"demo-{self.number + 1}-{self.run + 1}"
        caller = CALLERS[(self.number * 7 + self.run) % len(CALLERS)]
        self.common: Event = {"room": f"{self.scene.room}-{self.number + 1}", "session_id": self.session}
        self.user: Event = {"participant": caller, "role": "user"}
        self.agent: Event = {"participant": self.scene.agent, "role": "agent"}
        self.turns = 0
        self.segments = 0
        self.calls = 0
        self.usage = {"input_tokens": 0, "output_tokens": 0}

    def play(self) -> None:
        """Play the call to its end."""
        self._talk()
        self.events.sort(key=itemgetter(0))

    def _talk(self) -> None:
        self._add("session_started", agent_name=self.scene.agent)
        self.pause = self.chance.uniform(3, 12)
        self._wait(0.6)
        self._new_turn()
        self._answer(self.scene.greeting, None)
        rounds = [*self.scene.exchanges] * self.chance.randint(2, 5)
        for exchange in rounds:
            if self.chance.random() < 0.006:
                self._lose_agent()
                return
            self._turn(exchange)
        self._wait(0.8)
        self._new_turn()
        self._answer(self.scene.goodbye, None)
        self._wait(0.5)
        self._add("session_ended", reason="participant_disconnected")

    def _turn(self, exchange: Exchange) -> None:
        chance = self.chance
        away = chance.random() < 0.03
        self._wait(chance.uniform(17, 24) if away else chance.uniform(0.5, 2.2))
        self._new_turn()
        transcription = chance.uniform(0.12, 0.35)
        stopped = self._speak("user", self.user, exchange.user, SECONDS_PER_CHARACTER, wait=transcription)
        end_of_turn = transcription + chance.uniform(0.15, 0.4)
        self._add("agent_state", **self.agent, state="thinking", previous="listening", after=end_of_turn)
        self._add(
            "turn_metrics",
            **self.user,
            transcription_delay=round(transcription, 3),
            end_of_turn_delay=round(end_of_turn, 3),
            after=end_of_turn,
        )
        self.now += end_of_turn
        if chance.random() < 0.012:
            self._add(
                "error",
                source="llm",
                label="openai.LLM",
                message="APIStatusError('the model is overloaded')",
                recoverable=True,
            )
            self._wait(chance.uniform(0.8, 2.0))
        if exchange.tool:
            self._call(exchange)
        ttft = chance.uniform(1.3, 2.6) if self.is_slow else chance.uniform(0.2, 0.6)
        if chance.random() < 0.006:
            ttft = chance.uniform(6, 11)
        ttfb = chance.uniform(0.09, 0.28)
        playback = chance.uniform(0.02, 0.06)
        self.now += ttft + ttfb + playback
        heard = self.now - stopped
        stages = {"llm_node_ttft": ttft, "tts_node_ttfb": ttfb, "playback_latency": playback}
        cut_off = len(exchange.agent) > 40 and chance.random() < 0.14
        self._answer(exchange.agent, {"e2e_latency": heard, **stages}, cut_off=cut_off)
        if chance.random() < 0.004:
            self._add("events_dropped", count=chance.randint(2, 40), reason="the spool is full")

    def _speak(
        self, kind: str, who: Event, text: str, pace: float, *, until: float = 1.0, wait: float = 0.0
    ) -> float:
        """Speak a text with interims; return when the voice stopped.

        Args:
            kind: `user` or `agent`.
            who: Fields of the one who speaks.
            text: What is said.
            pace: Seconds per character.
            until: The share of it that is said before it is cut off.
            wait: Seconds from the last sound to the final transcript.
        """
        self.segments += 1
        segment = f"{self.session}.s{self.segments}"
        began = self.now
        more = {"started_at": round(began, 3)} if kind == "user" else {}
        self._add(f"{kind}_state", **who, state="speaking", previous="listening")
        self._add(f"{kind}_speech_started", **who, **more)
        length = max(0.7, len(text) * pace) * until
        shown = ""
        for step in range(1, int(length / INTERIM_SECONDS)):
            said = _beginning(text, step * INTERIM_SECONDS / (length / until))
            if said and said != shown:
                shown = said
                self._add(
                    "transcript",
                    **who,
                    text=said,
                    is_final=False,
                    segment_id=segment,
                    after=step * INTERIM_SECONDS,
                )
        self.now = began + length
        cut_off = until < 1
        ends = {"interrupted": cut_off} if kind == "agent" else {"stopped_at": round(self.now, 3)}
        self._add(f"{kind}_speech_finished", **who, **ends)
        final: Event = {"text": _beginning(text, until) if cut_off else text, "is_final": True}
        if cut_off:
            final |= {"interrupted": True, "interrupted_at": round(self.now, 3)}
        self._add("transcript", **who, **final, segment_id=segment, after=wait)
        self._add(f"{kind}_state", **who, state="listening", previous="speaking")
        return self.now

    def _answer(self, text: str, metrics: dict[str, float] | None, *, cut_off: bool = False) -> None:
        share = self.chance.uniform(0.3, 0.7) if cut_off else 1.0
        self._speak("agent", self.agent, text, SECONDS_PER_CHARACTER * 0.9, until=share)
        if cut_off:
            self._add("interruption", **self.agent, interrupted_at=round(self.now, 3))
        if metrics:
            figures = {name: round(value, 3) for name, value in metrics.items()}
            self._add("turn_metrics", **self.agent, segment_id=f"{self.session}.s{self.segments}", **figures)
        self.usage["input_tokens"] += 180 + 40 * self.turns
        self.usage["output_tokens"] += len(text) // 4
        model = {"type": "llm_usage", "provider": "simulated", "model": "demo"}
        self._add("usage", model_usage=[{**model, **self.usage}])

    def _call(self, exchange: Exchange) -> None:
        tool = exchange.tool
        if tool is None:
            return
        self.calls += 1
        call: Event = {"call_id": f"{self.session}.c{self.calls}", "name": tool.name}
        self._add("tool_call_started", **call, arguments=tool.arguments)
        took = self.chance.uniform(0.06, 0.45)
        self._wait(took)
        end: Event = {"status": "done", "output": tool.output}
        if self.chance.random() < 0.05:
            end = {"status": "error", "output": "TimeoutError: the booking system did not answer"}
        self._add("tool_call_finished", **call, **end, duration=round(took, 4))

    def _lose_agent(self) -> None:
        self._wait(0.4)
        self._add("session_ended", reason="worker_lost")
        self.pause = self.chance.uniform(2, 4)

    def _new_turn(self) -> None:
        self.turns += 1
        self.common["turn_id"] = f"{self.session}.t{self.turns}"

    def _wait(self, seconds: float) -> None:
        self.now += seconds

    def _add(self, kind: str, *, after: float = 0.0, **fields: Any) -> None:
        self.events.append((self.now + after, {"type": kind, **self.common, **fields}))


def _beginning(text: str, share: float) -> str:
    """Return whole words, or characters where there are no spaces, of the first `share` (0 to 1) of a text."""
    end = int(len(text) * share)
    if end >= len(text) or " " not in text:
        return text[:end]
    return text[: text.rfind(" ", 0, end + 1) + 1].rstrip()
