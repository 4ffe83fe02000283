"""Event types of the conversation itself: words, voices, states. Fields and units as the client sends them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Meta

from streaming_hub.events.types import effects
from streaming_hub.events.types.base import Opt, Stored
from streaming_hub.events.views import VIEWER

AgentState = Annotated[
    str,
    Meta(
        description="`initializing`, `idle`, `listening`, `thinking` or `speaking`.",
        examples=["listening", "thinking", "speaking"],
    ),
]
UserState = Annotated[
    str,
    Meta(
        description="`speaking`, `listening`, or `away` (silent for a long time).",
        examples=["speaking", "listening"],
    ),
]

AGENT = {
    "room": "rehearsal",
    "session_id": "d74c",
    "turn_id": "d74c.t3",
    "role": "agent",
    "participant": "agent",
}
USER = {**AGENT, "role": "user", "participant": "user"}


class Transcript(Stored, tag="transcript", kw_only=True):
    """Spoken words. Each interim of a `segment_id` has all words so far; the final one ends the segment."""

    text: Annotated[str, Meta(description="The words.")]
    is_final: Opt[
        Annotated[bool, Meta(description="`false` for interims. Without it, the transcript is final.")]
    ] = UNSET
    segment_id: Opt[Annotated[str, Meta(description="Shared by interims and their final.")]] = UNSET
    interrupted: Opt[
        Annotated[bool, Meta(description="In the agent's finals: whether the agent was cut off.")]
    ] = UNSET
    interrupted_at: Opt[
        Annotated[float, Meta(description="When the agent was cut off, seconds since 1970.")]
    ] = UNSET
    language: Opt[Annotated[str, Meta(description="As reported by the speech recognition.")]] = UNSET
    speaker_id: Opt[Annotated[str, Meta(description="As reported by the speech recognition.")]] = UNSET

    view: ClassVar = VIEWER
    effect: ClassVar = effects.transcript()
    example: ClassVar = {
        "type": "transcript",
        "timestamp": 1795429993.485,
        **USER,
        "text": "Hello! What time is it in Paris?",
        "is_final": True,
        "segment_id": "d74c.s4",
    }


class AgentSpeechStarted(Stored, tag="agent_speech_started", kw_only=True):
    """The agent starts to speak."""

    view: ClassVar = VIEWER
    effect: ClassVar = effects.speech("agent", speaks=True)
    example: ClassVar = {"type": "agent_speech_started", "timestamp": 1795429987.125, **AGENT}


class AgentSpeechFinished(Stored, tag="agent_speech_finished", kw_only=True):
    """The agent stops speaking."""

    interrupted: Opt[Annotated[bool, Meta(description="Whether the user interrupted it.")]] = UNSET

    view: ClassVar = VIEWER
    effect: ClassVar = effects.speech("agent", speaks=False)
    example: ClassVar = {
        "type": "agent_speech_finished",
        "timestamp": 1795429990.276,
        **AGENT,
        "interrupted": False,
    }


class UserSpeechStarted(Stored, tag="user_speech_started", kw_only=True):
    """The user starts to speak."""

    started_at: Opt[
        Annotated[float, Meta(description="When the first sound was heard, seconds since 1970.")]
    ] = UNSET

    view: ClassVar = VIEWER
    effect: ClassVar = effects.speech("user", speaks=True)
    example: ClassVar = {
        "type": "user_speech_started",
        "timestamp": 1795429990.699,
        **USER,
        "started_at": 1795429990.699,
    }


class UserSpeechFinished(Stored, tag="user_speech_finished", kw_only=True):
    """The user stops speaking."""

    stopped_at: Opt[
        Annotated[float, Meta(description="When the last sound was heard, seconds since 1970.")]
    ] = UNSET

    view: ClassVar = VIEWER
    effect: ClassVar = effects.speech("user", speaks=False)
    example: ClassVar = {
        "type": "user_speech_finished",
        "timestamp": 1795429993.485,
        **USER,
        "stopped_at": 1795429992.913,
    }


class Interruption(Stored, tag="interruption", kw_only=True):
    """The user interrupted the agent."""

    interrupted_at: Opt[Annotated[float, Meta(description="When the agent stopped, seconds since 1970.")]] = (
        UNSET
    )

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "interruption",
        "timestamp": 1795430003.644,
        **AGENT,
        "interrupted_at": 1795430003.644,
    }


class AgentFalseInterruption(Stored, tag="agent_false_interruption", kw_only=True):
    """The agent paused for a noise that was not an interruption."""

    resumed: Opt[Annotated[bool, Meta(description="Whether the agent continued by itself.")]] = UNSET

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "agent_false_interruption",
        "timestamp": 1795430003.9,
        "room": "support-7",
        "resumed": True,
    }


class UserTranscriptionTimeout(Stored, tag="user_transcription_timeout", kw_only=True):
    """The user spoke, but no transcript arrived."""

    speech_duration: Opt[Annotated[float | None, Meta(description="How long the speech was, seconds.")]] = (
        UNSET
    )
    started_at: Opt[
        Annotated[float | None, Meta(description="When the speech began, seconds since 1970.")]
    ] = UNSET

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "user_transcription_timeout",
        "timestamp": 1795430009.1,
        "room": "support-7",
        "speech_duration": 1.8,
        "started_at": 1795430002.2,
    }


class AgentStateChanged(Stored, tag="agent_state", kw_only=True):
    """The agent's current state."""

    state: AgentState
    previous: Opt[AgentState] = UNSET

    view: ClassVar = VIEWER
    effect: ClassVar = effects.state("agent")
    example: ClassVar = {
        "type": "agent_state",
        "timestamp": 1795429986.695,
        **AGENT,
        "state": "listening",
        "previous": "initializing",
    }


class UserStateChanged(Stored, tag="user_state", kw_only=True):
    """The user's current state."""

    state: UserState
    previous: Opt[UserState] = UNSET

    view: ClassVar = VIEWER
    effect: ClassVar = effects.state("user")
    example: ClassVar = {
        "type": "user_state",
        "timestamp": 1795429990.699,
        **USER,
        "state": "speaking",
        "previous": "listening",
    }


class Handoff(Stored, tag="handoff", kw_only=True):
    """Another agent takes over within the session."""

    old_agent: Annotated[str, Meta(description="The previous agent.")]
    new_agent: Annotated[str, Meta(description="The new agent.")]

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "handoff",
        "timestamp": 1795430100.2,
        "room": "support-7",
        "old_agent": "greeter",
        "new_agent": "billing",
    }


class AgentReady(Stored, tag="agent_ready", kw_only=True):
    """The agent is ready for a conversation."""

    message: Opt[Annotated[str, Meta(description="Text for display.")]] = UNSET

    view: ClassVar = VIEWER
    example: ClassVar = {
        "type": "agent_ready",
        "message": "Voice agent is ready and listening",
        "timestamp": 1795429986.487,
    }


class SessionStarted(Stored, tag="session_started", kw_only=True):
    """A session begins; the first event with its `session_id`."""

    lease: Opt[Annotated[float, Meta(description="Seconds within which its agent will renew its lease.")]] = (
        UNSET
    )
    supervised: Opt[
        Annotated[bool, Meta(description="Whether the hub started the agent and notices its end.")]
    ] = UNSET
    job_id: Opt[Annotated[str, Meta(description="LiveKit's id of the agent's job.")]] = UNSET
    room_sid: Opt[Annotated[str, Meta(description="LiveKit's id of the room.")]] = UNSET
    agent_name: Opt[Annotated[str, Meta(description="The name by which LiveKit dispatches the agent.")]] = (
        UNSET
    )

    source: Opt[Annotated[str, Meta(description="`watcher` if the hub's watcher reports the session.")]] = (
        UNSET
    )

    view: ClassVar = VIEWER
    effect: ClassVar = effects.session_started()
    example: ClassVar = {
        "type": "session_started",
        "timestamp": 1795429986.66,
        "room": "rehearsal",
        "session_id": "d74c",
    }


class SessionEnded(Stored, tag="session_ended", kw_only=True):
    """The session has ended; no event with its `session_id` follows."""

    reason: Opt[
        Annotated[
            str,
            Meta(
                description="Such as `participant_disconnected`, `room_disconnected`, `agent_stopped`, "
                "`conversation_over`, `worker_lost`, `lease_expired`, `error`, `replaced` (the agent itself "
                "now reports it, in another session), or LiveKit's own reason.",
                examples=["participant_disconnected", "agent_stopped", "error"],
            ),
        ]
    ] = UNSET
    disconnect_reason: Opt[
        Annotated[
            str,
            Meta(
                description="LiveKit's reason, if the user's or the agent's connection to the room ended.",
                examples=["client_initiated", "connection_timeout"],
            ),
        ]
    ] = UNSET
    source: Opt[Annotated[str, Meta(description="With an error: which part failed.")]] = UNSET
    message: Opt[Annotated[str, Meta(description="With an error: its message.")]] = UNSET

    view: ClassVar = VIEWER
    effect: ClassVar = effects.session_ended()
    example: ClassVar = {
        "type": "session_ended",
        "timestamp": 1795430014.03,
        "room": "rehearsal",
        "session_id": "d74c",
        "reason": "conversation_over",
    }
