"""Room state: what it contains, the law that the stored window alone decides it, and what viewers may not learn."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_hub.rooms.facts import EFFECTS, Limits
from streaming_hub.rooms.state import Rooms

TINY = Limits(segments=2, order=3, people=2, sessions=2, tools=1)


def reduced(*events):
    rooms = Rooms()
    for seq, event in enumerate(events, 1):
        rooms.apply(seq, {"room": "r", **event})
    return rooms


def described(*events):
    return reduced(*events).describe("r", viewer=False)


def said(text, segment=None, role="user", **more):
    return {
        "type": "transcript",
        "text": text,
        "segment_id": segment,
        "role": role,
        "participant": role,
        **more,
    }


def texts(state):
    return [line["text"] for line in state["transcript"]]


def test_an_unknown_room_is_none_and_an_event_without_a_room_belongs_to_none():
    rooms = Rooms()
    rooms.apply(1, {"type": "agent_process", "state": "ready"})
    rooms.apply(2, {"type": "test", "room": ""})
    assert rooms.names() == []
    assert rooms.describe("r", viewer=False) is None


def test_the_whole_shape():
    state = described(
        {"type": "session_started", "session_id": "s", "timestamp": 1.0},
        {"type": "participant_joined", "participant": "ann", "role": "user", "timestamp": 2.0},
        {"type": "agent_state", "state": "listening", "session_id": "s", "timestamp": 3.0},
        {"type": "user_state", "state": "speaking", "session_id": "s", "timestamp": 4.0},
        {"type": "user_speech_started", "participant": "ann", "session_id": "s", "turn_id": "t", "timestamp": 5.0},
        {
            "type": "transcript", "text": "Hi", "is_final": False, "segment_id": "g", "role": "user",
            "participant": "ann", "session_id": "s", "turn_id": "t", "timestamp": 6.0,
        },
        {"type": "tool_call_started", "call_id": "c", "name": "f", "arguments": {"x": [1]}, "session_id": "s",
         "turn_id": "t", "timestamp": 7.0},
    )  # fmt: skip
    assert state == {
        "room": "r",
        "last_seq": 7,
        "updated": 7.0,
        "participants": [{"identity": "ann", "role": "user"}],
        "agent_state": "listening",
        "user_state": "speaking",
        "speaking": ["ann"],
        "turn": {"turn_id": "t", "session_id": "s", "user": "Hi", "agent": ""},
        "transcript": [
            {
                "segment_id": "g", "role": "user", "participant": "ann", "text": "Hi", "is_final": False,
                "interrupted": False, "turn_id": "t", "session_id": "s", "timestamp": 6.0,
            }
        ],
        "sessions": [{"session_id": "s", "started": 1.0, "updated": 7.0}],
        "tools": [
            {
                "session_id": "s", "call_id": "c", "turn_id": "t", "name": "f", "arguments": {"x": [1]},
                "started": 7.0, "status": "running", "output": None, "duration": None, "finished": None,
            }
        ],
    }  # fmt: skip


def test_a_final_replaces_its_interims_at_the_segments_start():
    state = described(
        said("I am", "a", is_final=False),
        said("Yes", "b", role="agent", is_final=False),
        said("I am here", "a", is_final=True),
    )
    assert texts(state) == ["I am here", "Yes"]
    assert [line["is_final"] for line in state["transcript"]] == [True, False]


def test_equal_segment_ids_of_other_sessions_and_speakers_are_other_lines():
    state = described(
        said("one", "a", session_id="s1"), said("two", "a", session_id="s2"), said("three", "a", role="agent")
    )
    assert texts(state) == ["one", "two", "three"]


def test_transcripts_without_a_segment_are_lines_of_their_own_and_final():
    state = described(
        {"type": "transcript", "text": "User said something", "participant": "u"},
        {"type": "transcript", "text": "User said something", "participant": "u"},
    )
    assert texts(state) == ["User said something"] * 2
    assert all(line["is_final"] and line["segment_id"] is None for line in state["transcript"])


def test_only_the_last_lines_are_kept():
    state = described(*(said(str(number)) for number in range(120)))
    assert texts(state) == [str(number) for number in range(70, 120)]


def test_speech_starts_and_finishes():
    started = [{"type": "agent_speech_started"}, {"type": "user_speech_started", "participant": "ann"}]
    assert described(*started)["speaking"] == ["agent", "ann"]
    assert described(*started, {"type": "agent_speech_finished"})["speaking"] == ["ann"]
    assert described(*started, {"type": "user_speech_finished", "participant": "ann"})["speaking"] == [
        "agent"
    ]


def test_an_end_of_speech_without_a_participant_ends_all_of_that_role():
    started = {"type": "agent_speech_started", "participant": "bot", "session_id": "s"}
    assert described(started, {"type": "agent_speech_finished"})["speaking"] == []
    assert described(started, {"type": "agent_speech_finished", "session_id": "s"})["speaking"] == []
    assert described(started, {"type": "agent_speech_finished", "session_id": "other"})["speaking"] == ["bot"]
    assert described({"type": "agent_speech_finished"}, started)["speaking"] == ["bot"]


@pytest.mark.parametrize(
    "end",
    [{"type": "session_ended", "session_id": "s"}, {"type": "session_ended"}, {"type": "room_finished"}],
)
def test_the_end_of_a_session_clears_speech_state_turn_and_those_only_seen_in_it(end):
    state = described(
        {"type": "agent_state", "state": "speaking", "session_id": "s", "participant": "bot"},
        {"type": "agent_speech_started", "session_id": "s", "turn_id": "t", "participant": "bot"},
        said("word", "a", role="agent", is_final=False, session_id="s", turn_id="t"),
        end,
    )
    assert (state["speaking"], state["agent_state"], state["turn"], state["participants"]) == (
        [],
        None,
        None,
        [],
    )
    assert texts(state) == ["word"]


def test_the_end_of_one_session_leaves_the_other_alone():
    state = described(
        {"type": "agent_state", "state": "thinking", "session_id": "s1"},
        {"type": "agent_speech_started", "session_id": "s1", "participant": "bot1", "timestamp": 5.0},
        {"type": "agent_state", "state": "speaking", "session_id": "s2"},
        {"type": "agent_speech_started", "session_id": "s2", "participant": "bot2"},
        {"type": "session_ended", "session_id": "s2", "reason": "worker_lost", "timestamp": 9.0},
    )
    assert state["speaking"] == ["bot1"]
    assert state["agent_state"] == "thinking"
    assert state["sessions"] == [
        {"session_id": "s1", "started": None, "updated": 5.0},
        {"session_id": "s2", "started": None, "updated": 9.0, "ended": 9.0, "reason": "worker_lost"},
    ]


def test_a_session_that_starts_again_has_not_ended():
    state = described(
        {"type": "session_started", "session_id": "s", "timestamp": 1.0},
        {"type": "session_ended", "session_id": "s", "timestamp": 2.0},
        {"type": "session_started", "session_id": "s", "timestamp": 3.0},
    )
    assert state["sessions"] == [{"session_id": "s", "started": 3.0, "updated": 3.0}]


def test_who_left_is_gone_and_a_late_transcript_does_not_bring_them_back():
    events = [
        {"type": "participant_joined", "participant": "user"},
        {"type": "user_speech_started", "participant": "user"},
        {"type": "participant_left", "participant": "user"},
        said("last words"),
    ]
    state = described(*events)
    assert (state["participants"], state["speaking"]) == ([], [])
    state = described(*events, {"type": "participant_joined", "participant": "user"})
    assert state["participants"] == [{"identity": "user", "role": "user"}]


def test_the_open_turn_has_the_words_of_both_until_the_agent_has_finished():
    turn = {"session_id": "s", "turn_id": "t"}
    events = [
        said("What is", "a", is_final=False, **turn),
        said("What is the time?", "a", **turn),
        said("And the day?", "b", **turn),
        {"type": "agent_speech_started", **turn},
        said("It is", "c", role="agent", is_final=False, **turn),
    ]
    assert described(*events)["turn"] == {
        "turn_id": "t", "session_id": "s", "user": "What is the time? And the day?", "agent": "It is",
    }  # fmt: skip
    assert described(*events, {"type": "agent_speech_finished", **turn})["turn"] is None
    assert described(*events, said("It is noon", "c", role="agent", **turn))["turn"] is None


def test_a_late_final_of_an_interrupted_turn_does_not_close_the_next_nor_open_itself_again():
    old, new = {"session_id": "s", "turn_id": "1"}, {"session_id": "s", "turn_id": "2"}
    events = [
        {"type": "agent_speech_started", **old},
        {"type": "user_speech_started", **new},
        {"type": "agent_speech_finished", "interrupted": True, **old},
        said("Stop", "u", is_final=False, **new),
        said("Once upon", "a", role="agent", interrupted=True, **old),
    ]
    assert described(*events)["turn"]["turn_id"] == "2"
    assert described(*events, {"type": "agent_speech_finished", **new})["turn"] is None
    assert described(*events)["transcript"][-1]["interrupted"] is True


def test_tools_run_finish_or_stay_unfinished():
    started = {"type": "tool_call_started", "call_id": "c", "name": "f", "session_id": "s", "timestamp": 1.0}
    finished = {
        "type": "tool_call_finished",
        "call_id": "c",
        "status": "done",
        "output": 3,
        "session_id": "s",
    }
    assert described(started)["tools"][0]["status"] == "running"
    tool = described(started, {**finished, "timestamp": 2.0, "duration": 1.0})["tools"][0]
    assert (tool["status"], tool["output"], tool["started"], tool["finished"]) == ("done", 3, 1.0, 2.0)
    ended = {"type": "session_ended", "session_id": "s"}
    assert described(started, ended)["tools"][0]["status"] == "unfinished"
    assert described(finished)["tools"][0]["name"] is None


def test_rooms_come_newest_first_and_go_with_their_last_event():
    rooms = Rooms()
    for seq, room in enumerate(["a", "b", "a", "c"], 1):
        rooms.apply(seq, {"type": "test", "room": room})
    assert rooms.names() == ["c", "a", "b"]
    rooms.prune(3)
    assert rooms.names() == ["c", "a"]
    assert rooms.describe("b", viewer=False) is None
    assert [entry["room"] for entry in rooms.summaries(viewer=True, limit=1)] == ["c"]
    rooms.prune(5)
    assert rooms.names() == []


def test_a_forgotten_room_is_rebuilt_from_what_is_left():
    rooms = reduced(said("one"), said("two"), said("three"))
    rooms.apply(4, {"type": "test", "room": "other"})
    rooms.forget("r")
    assert rooms.describe("r", viewer=False) is None
    rooms.apply(1, {"room": "r", **said("one")})
    assert texts(rooms.describe("r", viewer=False)) == ["one"]
    rooms.prune(2)
    assert rooms.names() == ["other"]


def test_viewers_see_no_tools_and_nothing_of_operators_events():
    rooms = Rooms()
    rooms.apply(1, {"room": "r", **said("public")})
    rooms.apply(2, {"room": "r", **said("secret", participant="spy"), "audience": "operator"})
    rooms.apply(
        3, {"room": "r", "type": "tool_call_started", "call_id": "c", "name": "f"}, operator_only=True
    )
    rooms.apply(4, {"room": "hidden", "type": "error", "message": "m"}, operator_only=True)
    seen = rooms.describe("r", viewer=True)
    assert seen == reduced(said("public")).describe("r", viewer=True)
    assert "tools" not in seen
    assert rooms.names(viewer=True) == ["r"]
    assert rooms.describe("hidden", viewer=True) is None
    assert [entry["last_seq"] for entry in rooms.summaries(viewer=True)] == [1]
    assert texts(rooms.describe("r", viewer=False)) == ["public", "secret"]
    assert rooms.names() == ["hidden", "r"]
    rooms.apply(5, {"room": "hidden", **said("now public")})
    assert texts(rooms.describe("hidden", viewer=True)) == ["now public"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)


def plausible(*values):
    return st.sampled_from([None, *values])


EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from([*EFFECTS, "custom", "turn_metrics"]),
        "room": st.sampled_from(["r", "r", "q", None]),
    },
    optional={
        "session_id": plausible("s1", "s2", "s3"),
        "participant": plausible("ann", "bob", "bot"),
        "role": plausible("user", "agent"),
        "turn_id": plausible("t1", "t2", "t3"),
        "segment_id": plausible("g1", "g2", "g3"),
        "call_id": plausible("c1", "c2"),
        "is_final": st.booleans(),
        "state": plausible("listening", "speaking"),
        "timestamp": st.integers(0, 9),
        "status": plausible("done"),
    },
)
HOSTILE = st.dictionaries(
    st.sampled_from(
        ["room", "session_id", "participant", "role", "turn_id", "segment_id", "call_id", "text", "is_final",
         "interrupted", "state", "timestamp", "status", "name", "arguments", "reason", "audience", "type"]
    ),
    JSON,
)  # fmt: skip
DENSE = st.fixed_dictionaries(
    {
        "type": st.sampled_from(list(EFFECTS)),
        "room": st.just("r"),
        "session_id": st.sampled_from(["s1", "s2"]),
        "participant": st.sampled_from(["ann", "bot"]),
        "role": st.sampled_from(["user", "agent"]),
        "turn_id": st.sampled_from(["t1", "t2"]),
        "segment_id": st.sampled_from(["g1", "g2", "g3"]),
        "call_id": st.just("c"),
        "is_final": st.booleans(),
    }
)
"""Events that have much to do with each other: what breaks the law needs three or four that meet."""
TALK = st.tuples(
    DENSE, st.sampled_from(["transcript", "transcript", "session_ended", "agent_speech_started"])
).map(lambda pair: {**pair[0], "type": pair[1]})
STORIES = st.one_of(
    *(st.lists(st.tuples(events, st.booleans()), max_size=30) for events in (EVENTS, DENSE, TALK))
)


def everything(rooms):
    """All that can be asked of the rooms, for both audiences."""
    return {
        viewer: (
            rooms.names(viewer=viewer),
            rooms.summaries(viewer=viewer),
            {room: rooms.describe(room, viewer=viewer) for room in ("r", "q")},
        )
        for viewer in (False, True)
    }


def live(story, limits, first=1):
    rooms = Rooms(limits)
    for seq, (event, hidden) in enumerate(story, 1):
        if seq >= first:
            rooms.apply(seq, {"text": str(seq), **event}, operator_only=hidden)
    return rooms


@settings(max_examples=4 * settings.default.max_examples)
@given(story=STORIES, oldest=st.integers(1, 32), limits=st.sampled_from([TINY, Limits()]))
def test_living_through_everything_equals_reducing_the_stored_window(story, oldest, limits):
    lived, window = live(story, limits), live(story, limits, first=oldest)
    lived.prune(oldest)
    assert everything(lived) == everything(window)


@settings(max_examples=2 * settings.default.max_examples)
@given(story=STORIES, keep=st.integers(0, 10))
def test_the_same_holds_while_events_expire_one_by_one_and_it_is_read_in_between(story, keep):
    rooms = Rooms(TINY)
    for seq, (event, hidden) in enumerate(story, 1):
        rooms.apply(seq, {"text": str(seq), **event}, operator_only=hidden)
        rooms.prune(seq - keep + 1)
        everything(rooms)
    assert everything(rooms) == everything(live(story, TINY, first=len(story) - keep + 1))


@settings(max_examples=2 * settings.default.max_examples)
@given(story=STORIES)
def test_what_viewers_see_is_what_it_would_be_without_the_operators_events(story):
    rooms, public = Rooms(TINY), Rooms(TINY)
    for seq, (event, hidden) in enumerate(story, 1):
        rooms.apply(seq, event, operator_only=hidden)
        if not hidden:
            public.apply(seq, event)
    assert everything(rooms)[True] == everything(public)[True]


@given(story=st.lists(st.tuples(EVENTS, HOSTILE), max_size=8))
def test_no_value_in_any_field_raises_and_all_that_is_reported_is_json(story):
    rooms = Rooms(TINY)
    for seq, (event, hostile) in enumerate(story, 1):
        rooms.apply(seq, {**event, **hostile, "room": "r"})
    json.dumps(everything(rooms), allow_nan=False)
    rooms.apply(len(story) + 1, {"type": [], "room": {}, "session_id": [1]})


def test_a_rooms_memory_is_bounded_by_its_limits():
    rooms = Rooms(TINY)
    for seq in range(1, 5000):
        kind = list(EFFECTS)[seq % len(EFFECTS)]
        rooms.apply(seq, {"room": "r", "type": kind, "participant": f"p{seq}", "session_id": f"s{seq}",
                          "segment_id": f"g{seq}", "turn_id": f"t{seq}", "call_id": f"c{seq}"})  # fmt: skip
    operators, _ = rooms._rooms["r"]
    assert max(len(family.since(0)) for family in operators._families.values()) <= 2
    assert len(operators.order) <= TINY.order
