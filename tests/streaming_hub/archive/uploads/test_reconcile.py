"""The chat history against the transcript."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.archive.uploads.reconcile import reconcile
from streaming_hub.archive.uploads.recording import Message


def messages(*said: str) -> list[Message]:
    return [Message(*one.split(": ", 1), float(at)) for at, one in enumerate(said)]


def lines(*said: str | None) -> list[dict[str, Any]]:
    return [
        {"role": one.split(": ", 1)[0], "text": one.split(": ", 1)[1], "at": float(at)}
        if one
        else {"role": "user", "text": None, "at": float(at)}
        for at, one in enumerate(said)
    ]


def test_the_same_is_complete() -> None:
    found = reconcile(
        messages("user: Hi  there.", "agent: Hello."), lines("user: Hi there.", None, "agent: Hello.")
    )
    assert found == {"complete": True, "missing": [], "unexpected": []}


def test_what_is_missing_and_what_is_too_much() -> None:
    found = reconcile(
        messages("user: one", "agent: two", "agent: two", "user: lost"),
        lines("agent: two", "user: one", "user: extra", "agent: also"),
    )
    assert found == {
        "complete": False,
        "missing": [
            {"role": "agent", "text": "two", "at": 2.0},
            {"role": "user", "text": "lost", "at": 3.0},
        ],
        "unexpected": [
            {"role": "user", "text": "extra", "at": 2.0},
            {"role": "agent", "text": "also", "at": 3.0},
        ],
    }


def test_an_interrupted_answer_may_be_cut_elsewhere() -> None:
    cut = [Message("agent", "Once there was a small", 1.0, interrupted=True)]
    for text in ("Once there was a", "Once there was a small boat"):
        assert reconcile(cut, lines(f"agent: {text}")) == {"complete": True, "missing": [], "unexpected": []}
    for text in ("Once there were", "Once there was a small boat that sailed over the sea"):
        assert not reconcile(cut, lines(f"agent: {text}"))["complete"]
    whole = [Message("agent", "Once there was a small", 1.0)]
    assert not reconcile(whole, lines("agent: Once there was a"))["complete"]


def test_the_same_words_of_another_do_not_count() -> None:
    assert not reconcile(messages("user: yes"), lines("agent: yes"))["complete"]


def test_a_message_may_consist_of_several_lines() -> None:
    found = reconcile(
        messages("user: Is there parking?"), lines("user: Is there", "agent: Hm.", "user: parking?")
    )
    assert (found["complete"], [line["text"] for line in found["unexpected"]]) == (True, ["Hm."])


@given(st.lists(st.sampled_from(["user: a", "user: a b", "agent: b", "agent: a"]), max_size=12))
def test_what_is_equal_is_complete_whatever_it_is(said: list[str]) -> None:
    assert reconcile(messages(*said), lines(*said)) == {"complete": True, "missing": [], "unexpected": []}


@given(
    st.lists(st.sampled_from(["user: a", "agent: b", "user: c"]), max_size=8),
    st.lists(st.sampled_from(["user: a", "agent: b", "user: c"]), max_size=8),
)
def test_words_that_are_not_joined_are_counted_as_sets_are(said: list[str], heard: list[str]) -> None:
    from collections import Counter

    found = reconcile(messages(*said), lines(*heard))
    missing = Counter(f"{one['role']}: {one['text']}" for one in found["missing"])
    assert missing == Counter(said) - Counter(heard)
    assert Counter(f"{one['role']}: {one['text']}" for one in found["unexpected"]) == Counter(
        heard
    ) - Counter(said)
