"""Positions: a cursor matches exactly, and each other one says why it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.events.cursor import (
    MAX_SHOWN,
    Range,
    Reset,
    resolve,
    show,
)

STORED = Range("abc1", oldest=10, head=20)
EMPTY = Range("abc1", oldest=21, head=20)
NEW = Range("abc1", oldest=1, head=0)


@pytest.mark.parametrize("seq", [9, 10, 15, 20])
def test_a_cursor_within_the_window_is_a_position(seq: int) -> None:
    assert resolve(f"abc1-{seq}", STORED) == seq


@pytest.mark.parametrize(
    ("cursor", "reason", "seq"),
    [
        ("abc1-8", "expired", 8),
        ("abc1-0", "expired", 0),
        ("abc1-21", "future", None),
        ("abc1-99999999999999999999", "future", None),
        ("abc1-" + "9" * 4900, "future", None),
        ("abc2-15", "foreign", None),
        ("ABC1-15", "foreign", None),
        ("other-99999", "foreign", None),
    ],
)
def test_other_cursors_say_why(cursor: str, reason: str, seq: int | None) -> None:
    assert resolve(cursor, STORED) == Reset(reason, cursor[:MAX_SHOWN], seq)  # type: ignore[arg-type] # parametrized


@pytest.mark.parametrize(
    "cursor",
    [
        *(
            "",
            "abc1",
            "abc1-",
            "-15",
            "15",
            "abc1--15",
            "abc1-+15",
            "abc1-015",
            "abc1-00",
            "abc1-1_5",
            "abc1-15.0",
        ),
        *("abc1-15 ", " abc1-15", "abc1-15\n", "abc1-\n15", "abc1- 15", "abc1-15-15", "abc1_15", "abc1-0x1"),
        *(
            "abc1-\u0661\u0665",
            "abc1-\uff11\uff15",
            "ÄBC-15",
            "abc1-²",
            "abc1-1e1",
            "null",
            "undefined",
            "\x00",
            "*",
            "a" * 33 + "-1",
        ),
        "x" * 5000,
    ],
)
def test_anything_else_is_malformed(cursor: str) -> None:
    found = resolve(cursor, STORED)
    assert isinstance(found, Reset)
    assert (found.reason, found.seq) == ("malformed", None)
    assert found.requested == cursor[:200]


def test_an_empty_history_still_has_a_place_to_continue_from() -> None:
    assert resolve("abc1-20", EMPTY) == 20
    assert resolve("abc1-19", EMPTY) == Reset("expired", "abc1-19", 19)
    assert resolve("abc1-0", NEW) == 0
    assert resolve("abc1-1", NEW) == Reset("future", "abc1-1")


@given(
    st.text(max_size=60) | st.from_regex(r"abc1-[0-9]{1,25}", fullmatch=True),
    st.integers(1, 50),
    st.integers(0, 50),
)
def test_a_position_is_found_only_for_its_own_text(cursor: str, oldest: int, count: int) -> None:
    stored = Range("abc1", oldest, oldest - 1 + count)
    found = resolve(cursor, stored)
    if isinstance(found, int):
        assert cursor == show("abc1", found)
        assert stored.oldest - 1 <= found <= stored.head
    else:
        assert cursor not in {show("abc1", seq) for seq in range(stored.oldest - 1, stored.head + 1)}
