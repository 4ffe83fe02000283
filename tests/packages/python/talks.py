"""A real AgentSession with scripted models, its hub events, and LiveKit's own account of the same conversation."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from livekit.agents import Agent, AgentSession
from streaming_hub_client.attachment import Attachment, attach
from streaming_hub_client.data import repair

from tests.stubs.models import Microphone, PushedSTT, ScriptedChat, ScriptedRealtime, ShortTTS, Speaker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from streaming_hub_client.conversation import Event

SECONDS = 10.0


class Recorder:
    """A poster that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def post(self, event: Event) -> None:
        self.events.append(event)

    def flush(self, _timeout: float, /) -> bool:
        return True

    def close(self, _timeout: float, /) -> bool:
        return True

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


class Talk:
    """One conversation: the session, what the hub was sent, and helpers to wait for what happens."""

    def __init__(self, session: AgentSession[Any]) -> None:
        self.session = session
        self.poster = Recorder()
        self.stream: Attachment = attach(session, room="r1", session_id="S1", poster=self.poster)

    @property
    def events(self) -> list[Event]:
        return self.poster.events

    def of_type(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    def lines(self) -> list[tuple[str, str]]:
        """Return the transcript as a reader shows it: one line a segment, in the order in which they began."""
        lines: dict[tuple[str, str], tuple[str, str]] = {}
        for event in self.of_type("transcript"):
            lines[event["session_id"], event["segment_id"]] = (event["role"], event["text"])
        return list(lines.values())

    def open_segments(self) -> set[str]:
        """Return the segments whose last transcript is not final."""
        last = {event["segment_id"]: event["is_final"] for event in self.of_type("transcript")}
        return {segment for segment, final in last.items() if not final}

    def turns_of(self, text: str) -> set[str]:
        return {event["turn_id"] for event in self.of_type("transcript") if event["text"] == text}

    def history(self) -> list[tuple[str, str]]:
        """Return LiveKit's own messages, in its order."""
        roles = {"user": "user", "assistant": "agent"}
        return [
            (roles[item.role], repair(item.text_content or ""))
            for item in self.session.history.items
            if item.type == "message" and item.role in roles
        ]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until the condition holds.

        Raises:
            AssertionError: It did not, for 10 s.
        """
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not within {SECONDS} s: {self.lines()} {self.history()}"
            await asyncio.sleep(0.005)

    async def said(self, text: str) -> None:
        """Wait until a final transcript has this text."""
        await self.until(lambda: any(e["text"] == text and e["is_final"] for e in self.of_type("transcript")))

    async def quiet(self) -> None:
        """Wait until the agent listens."""
        await self.until(lambda: self.session.agent_state == "listening")


async def pipeline(*answers: Any, agent: Agent | None = None, **options: Any) -> Talk:
    """Start a session of speech recognition, language model and synthesis."""
    turns: dict[str, Any] = {
        "turn_detection": "stt",
        "endpointing": {"min_delay": 0.0, "max_delay": 0.05},
        **options.pop("turn_handling", {}),
    }
    session: AgentSession[Any] = AgentSession(
        stt=PushedSTT(), llm=ScriptedChat(*answers), tts=ShortTTS(), vad=None, turn_handling=turns, **options
    )
    session.input.audio = Microphone()
    session.output.audio = Speaker()
    talk = Talk(session)
    session.output.transcription = talk.stream.words
    await session.start(agent or Agent(instructions="be brief"))
    return talk


async def realtime(agent: Agent | None = None) -> tuple[Talk, ScriptedRealtime]:
    """Start a session of a realtime model, with text output."""
    model = ScriptedRealtime()
    session: AgentSession[Any] = AgentSession(llm=model)
    talk = Talk(session)
    session.output.transcription = talk.stream.words
    await session.start(agent or Agent(instructions="be brief"))
    return talk, model


async def typed(*answers: Any, agent: Agent | None = None, **options: Any) -> Talk:
    """Start a session of a language model alone."""
    session: AgentSession[Any] = AgentSession(llm=ScriptedChat(*answers), **options)
    talk = Talk(session)
    await session.start(agent or Agent(instructions="be brief"))
    return talk


def ended(talk: Coroutine[Any, Any, Talk]) -> Talk:
    """Run a talk to its end, close its session, and return it."""

    async def whole() -> Talk:
        done = await talk
        await done.session.aclose()
        return done

    return asyncio.run(whole())


def spoken(
    say: Callable[[Talk, ScriptedRealtime], Coroutine[Any, Any, None]], agent: Agent | None = None
) -> Talk:
    """Run what is said in a session of a realtime model; return the talk, whose session is closed."""

    async def talk() -> Talk:
        begun, model = await realtime(agent)
        await say(begun, model)
        return begun

    return ended(talk())
