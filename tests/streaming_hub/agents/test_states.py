"""The supervisor's pure parts: what state may follow, when to start again, what is kept of the output."""

import json
import logging
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.agents.output import (
    LINE_LIMIT,
    Cleaner,
    Splitter,
    Tail,
    levelled,
)
from streaming_hub.agents.process import exit_name, parse_report
from streaming_hub.agents.states import (
    ALIVE,
    TRANSITIONS,
    Past,
    Policy,
    State,
    after_report,
    judge,
)

POLICY = Policy(first_delay=1.0, max_delay=10.0, quick=60.0, limit=4)


def test_every_state_has_a_row_and_can_be_reached_and_left():
    assert set(TRANSITIONS) == set(State)
    assert {after for row in TRANSITIONS.values() for after in row} == set(State)
    assert all(TRANSITIONS[state] for state in State)


def test_only_ready_and_running_may_follow_themselves():
    assert {state for state in State if state in TRANSITIONS[state]} == {State.READY, State.RUNNING}


def test_a_living_process_can_always_end_and_a_dead_one_can_only_be_started_or_written_off():
    for state in ALIVE:
        assert {State.STOPPED, State.FAILED} <= TRANSITIONS[state]
    for state in set(State) - ALIVE:
        assert TRANSITIONS[state] <= {State.STARTING, State.STOPPED}


@pytest.mark.parametrize(
    ("state", "told", "after"),
    [
        (State.STARTING, State.READY, State.READY),
        (State.STARTING, State.RUNNING, State.RUNNING),
        (State.READY, State.RUNNING, State.RUNNING),
        (State.RUNNING, State.READY, State.READY),
        (State.READY, State.DRAINING, State.DRAINING),
        (State.DRAINING, State.RUNNING, State.DRAINING),
        (State.DRAINING, State.READY, State.DRAINING),
        (State.READY, State.READY, State.READY),
        (State.READY, State.STOPPED, State.READY),
        (State.STOPPED, State.READY, State.STOPPED),
        (State.FAILED, State.STARTING, State.FAILED),
    ],
)
def test_what_the_child_says_changes_the_state_only_where_it_fits(state, told, after):
    assert after_report(state, told) is after


def test_a_child_that_never_was_ready_is_not_started_again():
    verdict = judge(POLICY, Past(), None, 0.5)
    assert verdict.restart_in is None
    assert not verdict.gave_up


def test_the_wait_doubles_up_to_its_limit_and_then_it_gives_up():
    past, waits = Past(), []
    while (verdict := judge(POLICY, past, 1.0, 1.0)).restart_in is not None:
        waits.append(verdict.restart_in)
        past = verdict.past
    assert waits == [1.0, 2.0, 4.0]
    assert verdict.gave_up


def test_restarts_that_do_not_get_ready_count_as_quick_failures():
    past = judge(POLICY, Past(), 5.0, 0.0).past
    past = judge(POLICY, past, None, 0.0).past
    verdict = judge(POLICY, past, None, 0.0)
    assert verdict.past.quick_failures == 3
    assert judge(POLICY, verdict.past, None, 0.0).gave_up


def test_a_long_life_forgets_the_quick_failures():
    verdict = judge(POLICY, Past(was_ready=True, quick_failures=3), 60.0, 1.0)
    assert verdict.past.quick_failures == 0
    assert verdict.restart_in == 1.0


@given(
    failures=st.integers(0, 10_000),
    draw=st.floats(0, 1, exclude_max=True),
    ready_for=st.none() | st.floats(0, 1e9),
)
def test_a_wait_is_never_longer_than_the_longest_nor_shorter_than_half_the_first(failures, draw, ready_for):
    policy = Policy(first_delay=1.0, max_delay=10.0, limit=100_000)
    verdict = judge(policy, Past(was_ready=True, quick_failures=failures), ready_for, draw)
    assert 0.5 <= verdict.restart_in <= 10.0


@pytest.mark.parametrize(
    ("code", "name"), [(0, 0), (7, 7), (-9, "SIGKILL"), (-15, "SIGTERM"), (-99, "signal 99")]
)
def test_an_exit_is_named(code, name):
    assert exit_name(code) == name


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4))
def test_no_value_in_a_control_message_breaks_it(value):
    message = {"state": "running", "sessions": value, "reason": value}
    told = parse_report(json.dumps(message).encode())
    assert told.state is State.RUNNING
    assert told.sessions >= 0
    assert isinstance(told.reason, str)


@pytest.mark.parametrize(
    ("told", "count"),
    [
        ("3", 3),
        ("true", 0),
        ("false", 0),
        ("-1", 0),
        ("2.0", 0),
        ('"3"', 0),
        ("1000000", 1_000_000),
        ("1" * 30, 0),
    ],
)
def test_a_number_of_sessions_that_cannot_be_right_counts_as_none(told, count):
    found = parse_report(b'{"state": "running", "sessions": %s}' % told.encode()).sessions
    assert (found, type(found)) == (count, int)


@pytest.mark.parametrize(
    "line", [b"", b"x", b"[]", b"3", b"{}", b'{"state":"stopped"}', b'{"state":["ready"]}', b"\xff"]
)
def test_a_control_message_without_a_tellable_state_is_refused(line):
    with pytest.raises(ValueError, match=r"."):
        parse_report(line)


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.lists(st.integers(0, 400)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(lines, cuts):
    data = b"".join(line + b"\n" for line in lines)
    splitter, got = Splitter(), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        got += splitter.feed(data[start:end])
    assert got == lines
    assert splitter.flush() == b""


def test_a_line_that_never_ends_is_held_in_bounded_memory():
    splitter = Splitter(limit=10)
    for _ in range(1000):
        assert splitter.feed(b"x" * 7) == []
    assert splitter.feed(b"x\nnext\n") == [b"x" * 10, b"next"]


def test_secrets_are_hidden_whole_even_where_the_line_is_cut():
    cleaner = Cleaner(
        {
            "OPENAI_API_KEY": "sk-abcdef",
            "LIVEKIT_API_SECRET": "sk-abcdefghi",
            "A_TOKEN": "tok en",
            "PATH": "/usr/bin",
        }
    )
    assert (
        cleaner.clean(b"a sk-abcdefghi b sk-abcdef c tok en /usr/bin")
        == "a [hidden] b [hidden] c [hidden] /usr/bin"
    )
    assert "sk-" not in cleaner.clean("x" * (LINE_LIMIT - 3) + "sk-abcdefghi")


def test_each_of_a_list_of_keys_is_hidden_and_very_short_values_are_not():
    cleaner = Cleaner({"STREAM_OPERATOR_KEYS": "first-key, second-key", "X_KEY": "a"})
    assert cleaner.clean("second-key and a first-key") == "[hidden] and a [hidden]"


def test_a_line_is_freed_of_escapes_and_control_characters_and_is_not_too_long():
    cleaner = Cleaner({})
    assert cleaner.clean(b"\x1b[31mred\x1b[0m\ttab \x07bell \xff\r") == "red\ttab \ufffdbell \ufffd"
    assert len(cleaner.clean("y" * 100_000)) <= LINE_LIMIT + 4


def test_half_of_a_surrogate_pair_is_not_passed_on():
    reason = parse_report(rb'{"state": "ready", "reason": "no \udcff here, \ud83d\ude00"}').reason
    assert Cleaner({}).clean(reason).encode() == "no \ufffd here, \U0001f600".encode()


@pytest.mark.parametrize(
    ("line", "level", "words"),
    [
        ("INFO livekit.agents: starting worker", logging.INFO, "livekit.agents: starting worker"),
        ("WARNING livekit.agents: slow", logging.WARNING, "livekit.agents: slow"),
        ("ERROR:root:no space after it", logging.INFO, "ERROR:root:no space after it"),
        ("CRITICAL: it ends", logging.CRITICAL, "it ends"),
        ("DEBUG  x", logging.DEBUG, "x"),
        ("INFORMATION about it", logging.INFO, "INFORMATION about it"),
        ("ERROR", logging.INFO, "ERROR"),
        ("Traceback (most recent call last):", logging.INFO, "Traceback (most recent call last):"),
        ("", logging.INFO, ""),
    ],
)
def test_a_line_shows_its_level(line, level, words):
    assert levelled(line) == (level, words)


def test_the_tail_keeps_the_last_lines():
    tail = Tail(size=3)
    for number in range(5):
        tail.add(str(number))
    assert tail.last() == ["2", "3", "4"]
    assert tail.last(2) == ["3", "4"]
