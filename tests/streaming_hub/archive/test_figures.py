"""The figures against a slow, obvious version: second by second, over times that are whole seconds."""

from __future__ import annotations

import math
import time

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.archive import figures
from streaming_hub.archive.reduce import Reduction, State, rounded

START = 1000
VOICES = (("user", "alice"), ("user", "bob"), ("agent", "agent"))

speech = st.tuples(
    st.integers(0, 40), st.sampled_from(VOICES), st.sampled_from(["started", "finished"]), st.integers(1, 3)
)
steps = st.lists(speech, max_size=40)
ends = st.one_of(st.none(), st.integers(0, 50))


def events_of(steps: list, end: int | None) -> list[dict]:
    made = [{"type": "session_started", "session_id": "s", "timestamp": START}]
    for at, (role, who), what, turn in steps:
        made.append(
            {
                "type": f"{role}_speech_{what}",
                "session_id": "s",
                "timestamp": START + at,
                "role": role,
                "participant": who,
                "turn_id": f"t{turn}",
            }
        )
    if end is not None:
        made.append({"type": "session_ended", "session_id": "s", "timestamp": START + end})
    return made


def reduced(events: list[dict]) -> State:
    reduction = Reduction.of(events[0])
    for event in events:
        reduction.take(event)
    return reduction.state


def slowly(steps: list, end: int | None) -> dict:
    last = max([0, *(at for at, *_ in steps)] + ([] if end is None else [end]))
    finish = last if end is None else end
    open_since: dict = {}
    talks: list[tuple[str, int, int]] = []
    for at, voice, what, _ in steps:
        if what == "started":
            open_since.setdefault(voice, at)
        elif voice in open_since:
            talks.append((voice[0], open_since.pop(voice), at))
    talks += [(voice[0], at, finish) for voice, at in open_since.items()]

    def speaks(role: str, second: int) -> bool:
        return any(who == role and start <= second < stop for who, start, stop in talks)

    seconds = range(100)
    user = [speaks("user", second) for second in seconds]
    agent = [speaks("agent", second) for second in seconds]
    return {
        "duration": max(0, finish),
        "user_talk": sum(user),
        "agent_talk": sum(agent),
        "overlap": sum(a and b for a, b in zip(user, agent, strict=True)),
        "silence": max(0, max(0, finish) - sum(a or b for a, b in zip(user, agent, strict=True))),
    }


@given(steps, ends)
def test_talk_overlap_and_silence(steps: list, end: int | None) -> None:
    found = figures.summary(reduced(events_of(steps, end)))
    assert {name: found[name] for name in slowly(steps, end)} == slowly(steps, end)


@given(steps, ends)
def test_heard_latency_is_from_the_last_stop_before_the_first_sound(steps: list, end: int | None) -> None:
    state = reduced(events_of(steps, end))
    for turn in state.turns:
        mine = [step for step in steps if f"t{step[3]}" == turn.turn_id]
        sounds = [at for at, (role, _), what, _ in mine if role == "agent" and what == "started"]
        heard = None
        if sounds:
            waits = [
                min(sounds) - at for at, (role, _), what, _ in mine if role == "user" and what == "finished"
            ]
            heard = min((wait for wait in waits if wait >= 0), default=None)
        assert figures.heard_latency(turn) == heard


def test_a_speech_that_stops_after_its_words_were_dropped_changes_no_utterance() -> None:
    common = {"timestamp": 1.0, "session_id": "s", "role": "user", "participant": "a"}
    started = {"type": "user_speech_started", **common}
    reduction = Reduction.of(started)
    reduction.take(started)
    reduction.take({"type": "transcript", "text": "hello", **common})
    reduction.drop_words()
    reduction.take({"type": "user_speech_finished", **common})
    assert (reduction.state.utterances, reduction.changes.utterances) == ([], set())


def test_many_voices_that_never_stop_do_not_slow_it_down() -> None:
    began = time.process_time()
    common = {"timestamp": 1.0, "session_id": "s", "role": "user", "turn_id": "t"}
    started = [
        {"type": "user_speech_started", "participant": f"p{number}", **common} for number in range(60_000)
    ]
    state = reduced([*started, {"type": "user_speech_finished", "participant": "p59999", **common}])
    assert sum(speech.stopped is None for speech in state.speeches) == 59_999
    # A search for each event would take minutes; this takes some tenths of a second.
    assert time.process_time() - began < 20


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from(figures.PERCENTS))
def test_nearest_rank_is_the_smallest_value_that_covers_the_share(values: list[float], percent: int) -> None:
    found = figures.nearest_rank(sorted(values), percent)
    covered = [
        value for value in values if sum(one <= value for one in values) * 100 >= percent * len(values)
    ]
    assert found == min(covered)


@given(steps, ends, st.data())
def test_a_session_that_was_stored_half_way_ends_the_same(steps: list, end: int | None, data) -> None:
    events = events_of(steps, end)
    cut = data.draw(st.integers(1, len(events)))
    stored = msgspec.msgpack.encode(reduced(events[:cut]))
    later = Reduction(msgspec.msgpack.decode(stored, type=State))
    for event in events[cut:]:
        later.take(event)
    assert figures.detail(later.state) == figures.detail(reduced(events))


@given(steps, ends)
def test_every_row_that_differs_is_named_as_changed(steps: list, end: int | None) -> None:
    events = events_of(steps, end)
    for event in list(events):
        said = {**event, "type": "transcript", "text": "Yes."}
        events.append(said)
    reduction = Reduction.of(events[0])
    turns: dict[int, dict] = {}
    said_rows: dict[int, dict] = {}
    for event in events:
        reduction.take(event)
        for index in reduction.changes.turns:
            turns[index] = figures.turn_row(reduction.state, reduction.state.turns[index])
        for index in reduction.changes.utterances:
            said_rows[index] = figures.utterance_row(reduction.state, reduction.state.utterances[index])
        reduction.changes = type(reduction.changes)()
    whole = figures.detail(reduction.state)
    assert [turns[index] for index in sorted(turns)] == whole["turns"]
    assert [said_rows[index] for index in sorted(said_rows)] == whole["transcript"]


@given(st.floats(-1e6, 1e6))
def test_rounding_is_to_the_nearest_microsecond(seconds: float) -> None:
    assert math.isclose(rounded(seconds), seconds, abs_tol=0.51e-6)
    assert rounded(rounded(seconds)) == rounded(seconds)
