"""Event types that only operators see: tools, latencies, usage, errors. Fields as the client sends them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta

from streaming_hub.events.types import effects
from streaming_hub.events.types.base import Opt, Stored
from streaming_hub.events.views import OPERATOR

CallId = Annotated[str, Meta(description="Shared by the events of one call.")]

_CALL = {"room": "rehearsal", "session_id": "d74c", "turn_id": "d74c.t3", "call_id": "call_a99c25baafb8"}


class ToolCallStarted(Stored, tag="tool_call_started", kw_only=True):
    """The model calls a function."""

    call_id: CallId
    name: Annotated[str, Meta(description="The function's name.")]
    arguments: Annotated[Any, Meta(description="An object, or the model's text if it is not JSON.")]

    view: ClassVar = OPERATOR
    effect: ClassVar = effects.tool_started()
    example: ClassVar = {
        "type": "tool_call_started",
        "timestamp": 1795429993.747,
        **_CALL,
        "name": "current_time",
        "arguments": {"time_zone": "Europe/Paris"},
    }


class ToolCallUpdated(Stored, tag="tool_call_updated", kw_only=True):
    """Progress of a long call."""

    call_id: CallId
    message: Annotated[Any, Meta(description="The progress.")]
    silent: Opt[Annotated[bool, Meta(description="`true` if the agent does not mention it.")]] = UNSET

    view: ClassVar = OPERATOR
    example: ClassVar = {
        "type": "tool_call_updated",
        "timestamp": 1795429995.1,
        **_CALL,
        "message": "still searching",
        "silent": False,
    }


class ToolCallFinished(Stored, tag="tool_call_finished", kw_only=True):
    """A function's result, or why there is none."""

    call_id: CallId
    status: Annotated[Literal["done", "error", "cancelled"], Meta(description="How it ended.")]
    name: Opt[Annotated[str, Meta(description="The function's name.")]] = UNSET
    output: Opt[Annotated[Any, Meta(description="The result as JSON, or the error's text.")]] = UNSET
    handoff: Opt[Annotated[str, Meta(description="The agent that takes over.")]] = UNSET
    duration: Opt[Annotated[float, Meta(description="How long it took, seconds.")]] = UNSET

    view: ClassVar = OPERATOR
    effect: ClassVar = effects.tool_finished()
    example: ClassVar = {
        "type": "tool_call_finished",
        "timestamp": 1795429993.754,
        **_CALL,
        "name": "current_time",
        "status": "done",
        "output": "Monday, 23 November 2026, 11:33",
        "duration": 0.0075,
    }


class TurnMetrics(Stored, tag="turn_metrics", kw_only=True):
    """How long the parts of a turn took, under LiveKit's names; values that it did not measure are missing.

    One event has the user's part (`role`: `user`), one the agent's.
    """

    e2e_latency: Opt[
        Annotated[
            float, Meta(description="Seconds from the end of the user's speech to the agent's first sound.")
        ]
    ] = UNSET
    transcription_delay: Opt[
        Annotated[float, Meta(description="Seconds from the end of speech to the final transcript.")]
    ] = UNSET
    end_of_turn_delay: Opt[
        Annotated[
            float, Meta(description="Seconds from the end of speech to the decision that the turn is over.")
        ]
    ] = UNSET
    on_user_turn_completed_delay: Opt[
        Annotated[float, Meta(description="Seconds in the agent's hook `on_user_turn_completed`.")]
    ] = UNSET
    llm_node_ttft: Opt[Annotated[float, Meta(description="Seconds to the language model's first token.")]] = (
        UNSET
    )
    llm_node_ttfs: Opt[
        Annotated[float, Meta(description="Seconds to the language model's first sentence.")]
    ] = UNSET
    llm_node_tps: Opt[
        Annotated[float, Meta(description="The language model's speed, tokens per second.")]
    ] = UNSET
    tts_node_ttfb: Opt[Annotated[float, Meta(description="Seconds to the first byte of speech.")]] = UNSET
    playback_latency: Opt[
        Annotated[float, Meta(description="Seconds from that byte to the first sound.")]
    ] = UNSET
    started_speaking_at: Opt[
        Annotated[float, Meta(description="When this part's speech began, seconds since 1970.")]
    ] = UNSET
    stopped_speaking_at: Opt[
        Annotated[float, Meta(description="When that speech ended, seconds since 1970.")]
    ] = UNSET
    interrupted_at: Opt[
        Annotated[float, Meta(description="When the agent was cut off, seconds since 1970.")]
    ] = UNSET
    stt_metadata: Opt[Annotated[Any, Meta(description="Name and provider of the speech recognition.")]] = (
        UNSET
    )
    llm_metadata: Opt[Annotated[Any, Meta(description="Name and provider of the language model.")]] = UNSET
    tts_metadata: Opt[Annotated[Any, Meta(description="Name and provider of the speech synthesis.")]] = UNSET
    segment_id: Opt[
        Annotated[str, Meta(description="In the agent's part: the transcript it belongs to.")]
    ] = UNSET

    view: ClassVar = OPERATOR
    example: ClassVar = {
        "type": "turn_metrics",
        "timestamp": 1795429997.255,
        "room": "rehearsal",
        "session_id": "d74c",
        "turn_id": "d74c.t3",
        "role": "agent",
        "participant": "agent",
        "segment_id": "d74c.s5",
        "e2e_latency": 1.42,
        "llm_node_ttft": 0.151,
        "tts_node_ttfb": 0.124,
        "playback_latency": 0.00005,
    }


class Usage(Stored, tag="usage", kw_only=True):
    """What the session has used of each model so far; sent when it changes."""

    model_usage: Annotated[
        list[dict[str, Any]],
        Meta(
            description="One entry for each model, with LiveKit's fields: tokens, characters, seconds of audio."
        ),
    ]

    view: ClassVar = OPERATOR
    example: ClassVar = {
        "type": "usage",
        "timestamp": 1795429987.106,
        "room": "rehearsal",
        "session_id": "d74c",
        "model_usage": [
            {
                "type": "llm_usage",
                "provider": "openai",
                "model": "gpt-4.1-mini",
                "input_tokens": 48,
                "output_tokens": 12,
            }
        ],
    }


class Error(Stored, tag="error", kw_only=True):
    """Something failed."""

    source: Annotated[
        str,
        Meta(
            description="Which part: `llm`, `stt`, `tts`, `realtime_model`, `room`, `worker`, `dispatch`, `webhook` or "
            "another.",
            examples=["llm", "stt", "tts", "worker"],
        ),
    ]
    message: Annotated[str, Meta(description="The error's message.")]
    recoverable: Annotated[bool, Meta(description="Whether it is retried.")]
    label: Opt[Annotated[str, Meta(description="Which plugin.")]] = UNSET
    webhook_id: Opt[Annotated[str, Meta(description="With the source `webhook`: which one.")]] = UNSET
    reason: Opt[
        Annotated[
            str,
            Meta(
                description="With the source `webhook`: `gone`, `no_success`, `failing`, `overflow`, "
                "`expired`, `history_moved_on` or `history_lost`."
            ),
        ]
    ] = UNSET
    missed: Opt[
        Annotated[int, Meta(description="With `history_moved_on`: how many events were missed, at most.")]
    ] = UNSET

    view: ClassVar = OPERATOR
    example: ClassVar = {
        "type": "error",
        "timestamp": 1795430020.3,
        "room": "support-7",
        "session_id": "b1f0",
        "source": "llm",
        "label": "livekit.plugins.openai.llm.LLM",
        "message": "APIStatusError('the model is overloaded')",
        "recoverable": True,
    }


class EventsDropped(Stored, tag="events_dropped", kw_only=True):
    """The client dropped events; takes the place of the missing ones."""

    count: Annotated[int, Meta(ge=1, description="How many.")]
    reason: Opt[Annotated[str, Meta(description="Why.")]] = UNSET

    view: ClassVar = OPERATOR
    example: ClassVar = {
        "type": "events_dropped",
        "timestamp": 1795430300.0,
        "count": 12,
        "reason": "the spool is full",
    }


class SessionReport(Stored, tag="session_report", kw_only=True):
    """A summary of an ended session. Created only by the hub, once for each session."""

    session: Annotated[
        dict[str, Any], Meta(description="The session, as `GET /api/sessions/ID` returns it to operators.")
    ]
    transcript: Annotated[
        list[dict[str, Any]], Meta(description="Its final transcripts; 48 KiB of JSON at most.")
    ]
    truncated: Opt[Annotated[bool, Meta(description="`true` if the transcript had more.")]] = UNSET

    view: ClassVar = OPERATOR
    by_hub: ClassVar = True
    effect: ClassVar = effects.about_session()
    example: ClassVar = {
        "type": "session_report",
        "timestamp": 1795430091.2,
        "event_id": "report:support-7:d74c",
        "room": "support-7",
        "session_id": "d74c",
        "session": {
            "session_id": "d74c",
            "room": "support-7",
            "agent": None,
            "state": "ended",
            "started": 1795429986.66,
            "ended": 1795430090.1,
            "duration": 103.44,
            "reason": "participant_disconnected",
            "participants": [{"identity": "alice", "role": "user"}],
            "turns": 1,
            "first_response": 0.465,
            "user_talk": 2.2,
            "agent_talk": 3.1,
            "overlap": 0.0,
            "silence": 98.14,
            "user_words": 7,
            "agent_words": 9,
            "interruptions": 0,
            "false_interruptions": 0,
            "tool_calls": 1,
            "tool_failures": 0,
            "errors": 0,
            "latency": {"count": 1, "p50": 1.42, "p90": 1.42, "p95": 1.42, "p99": 1.42, "max": 1.42},
            "heard_latency": {"count": 1, "p50": 1.5, "p90": 1.5, "p95": 1.5, "p99": 1.5, "max": 1.5},
            "usage": None,
            "missing_events": 0,
            "incomplete": False,
            "recorded": True,
            "audio": False,
            "recording_start": None,
        },
        "transcript": [
            {
                "at": 1795429993.485,
                "role": "user",
                "participant": "alice",
                "turn_id": "d74c.t3",
                "text": "Hello! What time is it in Paris?",
                "interrupted": False,
                "started": 1795429990.699,
                "stopped": 1795429992.913,
            }
        ],
    }
