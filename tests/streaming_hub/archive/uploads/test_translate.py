"""Spans to events: for one real call the same words, in the same order and turns, as `attach` sent.

What differs, and may: interim words, agent and user states, `usage` and `language` are not in spans; turns and segments
have other ids; times may differ by a tenth of a second.
"""

from __future__ import annotations

from typing import Any

import pytest

from streaming_hub.archive.uploads import otlp
from streaming_hub.archive.uploads.otlp import Happening, Span
from streaming_hub.archive.uploads.translate import Facts, Memory, ended, translate
from streaming_hub.events import posted
from tests.uploads import replay

Event = dict[str, Any]

JOB = "AJ_1"
FACTS = Facts(JOB, "RM_1", "helper")
ONLY_ATTACHED = {"agent_state", "user_state", "usage", "agent_ready"}
DIFFER = {"1.8.0": {"session_ended", "tool_call_finished"}}
"""Types by version of the SDK: 1.8.0 has no span with the reason of the end, and reports no tool's end to `attach`."""
OTHERWISE = {
    "session_id",
    "event_id",
    "turn_id",
    "segment_id",
    "timestamp",
    "lease",
    "language",
    "room",
    "disconnect_reason",
    "supervised",
    # `attach` has these on starts of the user's speech and stops of it alone.
    "started_at",
    "stopped_at",
    "interrupted_at",
    "interrupted",
    "duration",
}


def batches(version: str = replay.VERSION) -> list[list[Span]]:
    return [
        list(otlp.spans(one.content_type, otlp.unpacked(one.body, one.encoding)))
        for one in replay.uploads(version)
        if one.kind == "traces"
    ]


def translated(parts: list[list[Span]]) -> list[Event]:
    memory = Memory()
    facts = Facts(parts[0][0].job, parts[0][0].attributes["room_id"])
    return [event for part in parts for event in translate(memory, facts, part)]


def attached(version: str = replay.VERSION) -> list[Event]:
    return [
        event
        for event in replay.attached(version)
        if event["type"] not in ONLY_ATTACHED and event.get("is_final") is not False
    ]


def by_turn(events: list[Event]) -> list[Any]:
    """Return finals with their turns numbered in order."""
    numbers: dict[str, int] = {}
    return [
        (
            event["role"],
            event["text"],
            numbers.setdefault(event["turn_id"], len(numbers)),
            event.get("interrupted", False),
        )
        for event in events
        if event["type"] == "transcript"
    ]


@pytest.mark.parametrize("version", replay.VERSIONS)
def test_the_finals_are_those_of_attach_in_the_same_order_and_turns(version: str) -> None:
    found = by_turn(translated(batches(version)))
    assert found == by_turn(attached(version))
    assert len(found) == 9
    assert any(cut for *_, cut in found)


@pytest.mark.parametrize("version", replay.VERSIONS)
def test_the_other_events_are_those_of_attach_turn_by_turn(version: str) -> None:
    differ = DIFFER.get(version, set())

    def told(events: list[Event]) -> dict[str, list[tuple[str, Event]]]:
        turns: dict[str, list[tuple[str, Event]]] = {}
        for event in events:
            if event["type"] not in {"turn_metrics", "transcript", *differ}:
                fields = {name: value for name, value in event.items() if name not in OTHERWISE}
                turns.setdefault(event.get("turn_id", ""), []).append((event["type"], fields))
        return {str(place): sorted(turns[name], key=str) for place, name in enumerate(turns)}

    assert told(translated(batches(version))) == told(attached(version))


def test_a_node_agents_call_has_its_words_turns_tools_and_figures() -> None:
    events = translated(batches(replay.NODE))
    assert by_turn(sorted(events, key=lambda event: event["timestamp"])) == [
        ("agent", "Hello, how can I help you?", 0, False),
        ("user", "Hello there.", 1, False),
        ("agent", "You said: Hello there.", 1, False),
        ("user", "What is the current time in London?", 2, False),
        ("agent", 'It is "noon in Europe/London".', 2, False),
        ("user", "Tell me a long story about the sea.", 3, False),
        ("agent", "Once upon a time there was a small boat that sailed over", 3, True),
        ("user", "Stop please.", 4, False),
        ("agent", "You said: Stop please.", 4, False),
    ]
    delays = [
        event[name]
        for event in events
        for name in ("transcription_delay", "end_of_turn_delay")
        if name in event
    ]
    assert len(delays) == 8
    assert all(0 < delay < 5 for delay in delays), "seconds, where the SDK gives milliseconds"
    (call,) = (event for event in events if event["type"] == "tool_call_finished")
    assert (call["name"], call["status"]) == ("current_time", "done")


def test_a_speech_of_its_own_is_no_answer_because_it_has_a_latency() -> None:
    asked = Span(
        JOB, "t", "u", "", "user_turn", 1.0, 2.0, None, {"lk.pii.user_transcript": "The clerk, please."}
    )
    answer = Span(
        JOB, "t", "a", "", "agent_turn", 2.1, 5.0, None, {"lk.pii.user_input": "The clerk, please."}
    )
    told = {"lk.pii.response.text": "The clerk is here.", "lk.e2e_latency": 1.2}
    greeting = Span(JOB, "t", "g", "", "agent_turn", 2.5, 4.0, None, told)
    events = translate(Memory(), FACTS, [asked, greeting, answer])
    said = {event["text"]: event["turn_id"] for event in events if event["type"] == "transcript"}
    assert said["The clerk is here."] != said["The clerk, please."]


def test_times_and_figures_are_those_of_attach() -> None:
    ours, theirs = translated(batches()), attached()
    for kind in (
        "user_speech_started",
        "user_speech_finished",
        "agent_speech_started",
        "transcript",
        "session_ended",
    ):
        mine = [one["timestamp"] for one in ours if one["type"] == kind]
        assert mine == pytest.approx([one["timestamp"] for one in theirs if one["type"] == kind], abs=0.15), (
            kind
        )
    for name in ("e2e_latency", "transcription_delay", "end_of_turn_delay", "tts_node_ttfb", "llm_node_ttft"):
        mine = [one[name] for one in ours if name in one]
        wanted = [one[name] for one in theirs if name in one]
        assert mine == pytest.approx(wanted), name
        assert wanted


def test_it_is_the_same_however_often_and_in_which_batches_it_comes() -> None:
    one_by_one = translated(
        [[span] for part in batches() for span in sorted(part, key=lambda span: span.ended)]
    )
    ids = [event["event_id"] for event in translated(batches())]
    assert sorted(event["event_id"] for event in one_by_one) == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert [one for one in by_turn(one_by_one) if one[0] == "user"] == [
        one for one in by_turn(translated(batches())) if one[0] == "user"
    ]


def test_every_event_may_be_published() -> None:
    for event in translated(batches()):
        made = posted.make(event)
        assert made.session_id == event["session_id"]
        with pytest.raises(posted.InvalidEvent):
            posted.parse_one(made.body)


def test_a_redacted_call_has_turns_and_times_and_no_words() -> None:
    events = translated(batches(replay.REDACTED))
    types = [event["type"] for event in events]
    assert "transcript" not in types
    assert types.count("user_speech_started") == 4
    assert (types[0], types[-1]) == ("session_started", "session_ended")
    heard = {event["turn_id"] for event in events if event["type"] == "user_speech_started"}
    answered = {event["turn_id"] for event in events if "e2e_latency" in event}
    assert heard == answered
    tools = [event for event in events if event["type"].startswith("tool_")]
    assert {(event.get("arguments"), event.get("output")) for event in tools} == {(None, None)}


def span(
    name: str, number: str, parent: str = "", at: tuple[float, float] = (100.0, 101.0), **attributes: Any
) -> Span:
    error = attributes.pop("error", None)
    sdk = attributes.pop("sdk", "python")
    told = {key.replace("__", "."): value for key, value in attributes.items()}
    events = [Happening("exception", at[1], {"exception.message": "500"})] if error is not None else []
    return Span(JOB, "t", number, parent, name, *at, error, told, events, sdk)


def user(number: str, text: str, at: tuple[float, float]) -> Span:
    return span("user_turn", number, at=at, lk__pii__user_transcript=text)


def agent(number: str, text: str, at: tuple[float, float], asked: str | None = None, **more: Any) -> Span:
    given = {} if asked is None else {"lk.pii.user_input": asked}
    made = span("agent_turn", number, at=at, lk__pii__response__text=text, **more)
    return Span(*[getattr(made, name) for name in made.__struct_fields__[:8]], made.attributes | given)


def turns_of(*parts: list[Span]) -> dict[str, str]:
    memory = Memory()
    events = [event for part in parts for event in translate(memory, FACTS, part)]
    return {event["text"]: event["turn_id"] for event in events if event["type"] == "transcript"}


def test_the_same_words_twice_are_answered_one_after_the_other() -> None:
    found = turns_of(
        [user("u1", "Yes.", (1, 2)), agent("a1", "One.", (2, 3), "Yes.")],
        [user("u2", "Yes.", (4, 5)), agent("a2", "Two.", (5, 6), "Yes.")],
    )
    assert found == {"Yes.": f"{JOB}.u2", "One.": f"{JOB}.u1", "Two.": f"{JOB}.u2"}


def test_a_tool_step_with_a_span_of_its_own_belongs_to_the_question() -> None:
    # Node's SDK has two agent_turns where Python's has one.
    found = turns_of(
        [user("u1", "Time?", (1, 2)), agent("a1", "", (2, 3), "Time?"), agent("a2", "Noon.", (3, 4), "Time?")]
    )
    assert found["Noon."] == found["Time?"]


def test_speech_that_answers_no_user_is_its_own_turn() -> None:
    found = turns_of([user("u1", "Hi.", (1, 2)), agent("a1", "Are you there?", (9, 10))])
    assert found["Are you there?"] == f"{JOB}.a1"


def test_an_answer_that_continues_is_reported_before_its_span_has_ended() -> None:
    memory = Memory()
    speaking = span("agent_speaking", "s1", "a1", (2.5, 4))
    first = translate(memory, FACTS, [user("u1", "Hi.", (1, 2)), speaking])
    assert {event["turn_id"] for event in first if "turn_id" in event} == {f"{JOB}.u1"}
    (final,) = [
        event
        for event in translate(memory, FACTS, [agent("a1", "Hello.", (2, 6), "Hi.")])
        if event["type"] == "transcript"
    ]
    assert final["turn_id"] == f"{JOB}.u1"


def test_nodes_milliseconds_become_seconds() -> None:
    for sdk, value in (("nodejs", 595.0), ("python", 0.595)):
        events = translate(Memory(), FACTS, [span("user_turn", "u", sdk=sdk, lk__transcription_delay=value)])
        assert [event["transcription_delay"] for event in events if event["type"] == "turn_metrics"] == [
            0.595
        ]


def test_tries_that_fail_are_errors_and_the_last_one_is_final() -> None:
    runs = [span("llm_request_run", f"r{n}", "l", (100 + n, 101 + n), error="") for n in range(2)]
    memory = Memory()
    early = [event for event in translate(memory, FACTS, runs[:1]) if event["type"] == "error"]
    late = translate(memory, FACTS, [*runs[1:], span("llm_request", "l", "n", (100, 102), error="")])
    assert [(one["source"], one["message"], one["recoverable"]) for one in early] == [("llm", "500", True)]
    assert [one["recoverable"] for one in late if one["type"] == "error"] == [False]


def test_the_node_sdk_marks_attempts_and_not_the_request() -> None:
    request = span("llm_request", "l", "n", (100, 110), sdk="nodejs", error=None)

    def runs(*errors: str | None) -> list[Span]:
        return [
            span("llm_request_run", f"r{n}", "l", (100 + n, 101 + n), sdk="nodejs", error=error)
            for n, error in enumerate(errors)
        ]

    def recoverable(spans: list[Span]) -> list[bool]:
        events = translate(Memory(), FACTS, spans)
        return [one["recoverable"] for one in events if one["type"] == "error"]

    assert recoverable([*runs("", "", ""), request]) == [True, True, False]
    assert recoverable([*runs("", None), request]) == [True]
    assert recoverable(runs("")) == [True]


def test_the_end_is_reported_once_by_the_best_that_comes() -> None:
    memory = Memory()
    close = span("session_close", "c", at=(5, 7), lk__close_reason="participant_disconnected")
    first = translate(memory, FACTS, [close, span("agent_session", "s", at=(1, 8))])
    assert [(one["timestamp"], one["reason"]) for one in first if one["type"] == "session_ended"] == [
        (7, "participant_disconnected")
    ]
    assert translate(memory, FACTS, [span("job_entrypoint", "j", at=(0, 9))]) == []
    assert ended(memory, JOB, 10.0, None) == []
    other = Memory()
    assert [one["type"] for one in translate(other, FACTS, [span("job_entrypoint", "j", at=(0, 9))])] == [
        "session_started",
        "session_ended",
    ]
    assert [one["timestamp"] for one in ended(Memory(), JOB, 10.0, None)] == [10.0]


def test_an_answer_cut_off_by_the_end_is_not_an_interruption() -> None:
    for closes, wanted in ((True, 0), (False, 1)):
        spans = [
            span("agent_speaking", "s", "a", (2, 4)),
            agent("a", "Once", (1, 5), lk__interrupted=True),
            *([span("session_close", "c", at=(3.9, 6))] if closes else []),
        ]
        types = [event["type"] for event in translate(Memory(), FACTS, spans)]
        assert types.count("interruption") == wanted


def test_a_long_call_is_remembered_only_as_far_as_needed() -> None:
    memory = Memory()
    for number in range(500):
        at = (float(number), number + 0.5)
        translate(
            memory, FACTS, [user(f"u{number}", "x", at), agent(f"a{number}", "y", (at[1], at[1] + 0.4), "x")]
        )
    assert len(memory.turns) <= 50
    assert len(memory.answers) <= 50


ODD = (
    "lk__pii__user_transcript",
    "lk__stt__events",
    "lk__transcription_delay",
    "lk__interrupted",
    "lk__pii__participant_identity",
    "lk__function_tool__id",
    "lk__pii__function_tool__arguments",
    "lk__close_reason",
)
NAMES = ("user_turn", "agent_turn", "agent_speaking", "user_speaking", "function_tool", "session_close", "x")


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, True])
def test_odd_attributes_are_ignored(value: Any) -> None:
    for name in NAMES:
        events = translate(Memory(), FACTS, [span(name, "1", "2", **dict.fromkeys(ODD, value))])
        # Each of them could be posted.
        assert len([posted.make(event) for event in events]) == len(events)
