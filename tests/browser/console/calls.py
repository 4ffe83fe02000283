"""Calls for the console's tests: events as an agent posts them, at given times."""

from __future__ import annotations

from typing import Any, Final

START: Final = 1_795_430_000.0
"""Seconds since 1970: 2026-11-23T10:33:20Z."""

QUESTIONS: Final = (
    ("What time do you open tomorrow?", "We open at nine and close at six."),
    ("Is there parking for two cars?", "Yes, there is a car park behind the house, and it is free."),
    ("Can I move my appointment to Friday?", "Friday at half past ten is free. Shall I book it?"),
    ("Yes, please.", "Done. You will get a message with the details."),
)


def call(
    session_id: str = "d74c",
    room: str | None = "support-7",
    *,
    turns: int = 4,
    start: float = START,
    ended: bool = True,
) -> list[dict[str, Any]]:
    """Return the events of a call: a greeting, then questions and answers of ten seconds each.

    The second turn calls a tool that fails, the third has an error and is interrupted, every seventh is slow.

    Args:
        session_id: the session's.
        room: its room; None for none.
        turns: questions.
        start: seconds since 1970.
        ended: whether it has ended.
    """
    events: list[dict[str, Any]] = []

    def add(at: float, kind: str, **fields: Any) -> None:
        where = {} if room is None else {"room": room}
        events.append(
            {"type": kind, "timestamp": round(start + at, 3), "session_id": session_id, **where, **fields}
        )

    user = {"role": "user", "participant": "alice"}
    agent = {"role": "agent", "participant": "agent"}
    add(0, "session_started", agent_name="reception")
    add(0.4, "agent_speech_started", turn_id="t0", **agent)
    add(
        2.6,
        "transcript",
        text="Hello, how can I help?",
        is_final=True,
        segment_id="a0",
        turn_id="t0",
        **agent,
    )
    add(2.7, "agent_speech_finished", turn_id="t0", **agent)
    for turn in range(1, turns + 1):
        at, here = (turn - 1) * 10 + 4.0, {"turn_id": f"t{turn}"}
        question, answer = QUESTIONS[(turn - 1) % len(QUESTIONS)]
        slow = 1.6 if turn % 7 == 0 else 0.0
        words = question.split()
        add(at, "user_speech_started", **here, **user)
        for count in range(1, len(words)):
            said = " ".join(words[:count])
            add(
                at + 0.3 * count,
                "transcript",
                text=said,
                is_final=False,
                segment_id=f"u{turn}",
                **here,
                **user,
            )
        add(at + 2.4, "user_speech_finished", stopped_at=round(start + at + 2.2, 3), **here, **user)
        add(at + 2.5, "transcript", text=question, is_final=True, segment_id=f"u{turn}", **here, **user)
        add(at + 2.6, "agent_state", state="thinking", previous="listening")
        add(at + 2.6, "turn_metrics", transcription_delay=0.28, end_of_turn_delay=0.55, **here, **user)
        if turn == 2:
            called = {"call_id": "c1", "name": "find_parking"}
            add(at + 2.7, "tool_call_started", arguments={"cars": 2, "near": "entrance"}, **called, **here)
            add(
                at + 2.9,
                "tool_call_finished",
                status="error",
                output="timeout",
                duration=0.2,
                **called,
                **here,
            )
        if turn == 3:
            add(at + 2.8, "error", source="llm", message="the model is overloaded", recoverable=True, **here)
        spoke = at + 3.4 + slow
        add(spoke, "agent_state", state="speaking", previous="thinking")
        add(spoke, "agent_speech_started", **here, **agent)
        add(
            spoke + 0.01,
            "turn_metrics",
            e2e_latency=round(1.18 + slow, 3),
            llm_node_ttft=round(0.34 + slow, 3),
            tts_node_ttfb=0.21,
            playback_latency=0.02,
            **here,
            **agent,
        )
        cut = turn == 3
        if cut:
            add(at + 7.0, "interruption", **here)
        add(
            at + 7.5,
            "transcript",
            text=answer,
            is_final=True,
            segment_id=f"a{turn}",
            interrupted=cut,
            **here,
            **agent,
        )
        add(at + 7.6, "agent_speech_finished", interrupted=cut, **here, **agent)
        add(at + 7.6, "agent_state", state="listening", previous="speaking")
    end = turns * 10 + 4.0
    used = {"type": "llm_usage", "provider": "openai", "model": "gpt-4.1-mini", "input_tokens": 48 * turns}
    add(end, "usage", model_usage=[used])
    if ended:
        add(end + 1, "session_ended", reason="participant_disconnected")
    return events


def short_call(
    session_id: str,
    room: str | None = "support-7",
    at: float = START,
    *,
    ends: bool = True,
    said: str = "I would like a refund, please.",
    waits: float = 1.0,
    error: bool = False,
    who: str = "alice",
) -> list[dict[str, Any]]:
    """Return the events of a call of one turn."""
    common: dict[str, Any] = {"session_id": session_id} | ({} if room is None else {"room": room})
    user = {"role": "user", "participant": who, "turn_id": f"{session_id}.t1", **common}
    agent = {"role": "agent", "participant": "agent", "turn_id": f"{session_id}.t1", **common}
    made: list[tuple[float, str, dict[str, Any]]] = [
        (0.0, "session_started", {"agent_name": "helper", **common}),
        (1.0, "user_speech_started", user),
        (3.0, "user_speech_finished", user),
        (3.0, "transcript", {"text": said, **user}),
        (3.0 + waits, "agent_speech_started", agent),
        (9.0, "transcript", {"text": "Of course. It takes three days.", **agent}),
        (9.0, "agent_speech_finished", agent),
    ]
    if error:
        made += [
            (9.5, "error", {"source": "llm", "message": "overloaded", "recoverable": True, **common}),
            (9.6, "tool_call_started", {"call_id": "c", "name": "clock", **agent}),
            (9.7, "tool_call_finished", {"call_id": "c", "status": "error", **agent}),
        ]
    if ends:
        made.append((10.0, "session_ended", {"reason": "participant_disconnected", **common}))
    return [{"type": kind, "timestamp": at + after, **rest} for after, kind, rest in made]
