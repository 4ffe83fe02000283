"""The checker itself: a stream that keeps the rules passes, and each violation is noticed. Quick, no sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.checker import Checker, Frame


def control(kind: str, *, event_id: str | None = None, retry: int | None = None, **fields: Any) -> Frame:
    return Frame(event_id, retry, json.dumps({"type": kind, **fields}).encode())


def stored(seq: int, number: int | None = None, publisher: str = "p") -> Frame:
    event_id = f"e-{seq}"
    fields: dict[str, Any] = {} if number is None else {"p": publisher, "n": number}
    return control("test", event_id=event_id, id=event_id, **fields)


def connected(seq: int) -> Frame:
    return control("connected", cursor=f"e-{seq}")


def reset(requested: int, oldest: int, missed: int | None) -> Frame:
    return control(
        "stream_reset", reason="expired", requested=f"e-{requested}", oldest=f"e-{oldest}", missed=missed
    )


def heartbeat(seq: int) -> Frame:
    return control("heartbeat", event_id=f"e-{seq}")


def goodbye(retry: int, told: int) -> Frame:
    return control("goodbye", retry=retry, reason="draining", retry_ms=told)


def judge(*connections: list[Frame], whole: bool = True) -> Checker:
    checker = Checker("reader", whole=whole)
    for frames in connections:
        checker.connect()
        for frame in frames:
            checker.feed(frame)
    return checker


def test_a_right_stream_passes() -> None:
    checker = judge(
        [
            connected(4),
            stored(5, 0),
            heartbeat(5),
            stored(6, 1),
            reset(6, 9, 2),
            stored(9, 4),
            goodbye(1500, 1500),
        ],
        [connected(9), stored(10, 5), heartbeat(10)],
        [connected(19), reset(10, 20, 9), stored(20, 9)],
    )
    assert checker.errors == []
    assert (checker.received, checker.missed, checker.position, checker.start) == (5, 11, 20, 4)
    assert (checker.last_id, checker.numbers) == ("e-20", {"p": 9})


def test_a_filtered_stream_may_skip_numbers_of_others() -> None:
    checker = judge(
        [connected(4), stored(7, 0), heartbeat(9), stored(12, 1)],
        [connected(29), reset(12, 30, None), stored(33, 8)],
        whole=False,
    )
    assert checker.errors == []


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ([stored(5)], "before connected"),
        ([connected(4), stored(6)], "e-6 after e-4"),
        ([connected(4), stored(5), stored(5)], "e-5 after e-5"),
        ([connected(4), stored(5), stored(7), stored(6)], "e-6 after e-7"),
        ([connected(4), stored(5, 0), stored(6, 2)], "number 2 after 0"),
        ([connected(4), stored(5, 0), stored(6, 0)], "number 0 after 0"),
        ([connected(4), heartbeat(5)], "heartbeat at e-5"),
        ([connected(4), control("heartbeat")], "without a position"),
        ([connected(4), stored(5), reset(5, 9, 2)], "missed is 2, but 3"),
        ([connected(4), stored(5), reset(5, 9, None)], "missed is None, but 3"),
        ([connected(4), stored(5), reset(4, 9, 4)], "reset for e-4"),
        ([connected(4), reset(4, 9, 4), stored(10)], "e-10 after e-8"),
        ([connected(4), goodbye(1500, 1500), heartbeat(4)], "after goodbye"),
        ([connected(4), goodbye(1500, 1000)], "retry: 1500 and retry_ms 1000"),
        ([connected(4), control("snapshot", event_id="e-9")], "a control event with id e-9"),
        ([connected(4), control("test", event_id="e-5", id="e-6")], "id line e-5, id field e-6"),
    ],
)
def test_what_breaks_a_rule_is_reported(broken: list[Frame], what: str) -> None:
    assert any(what in error for error in judge(broken).errors)


@pytest.mark.parametrize(
    ("again", "what"),
    [
        ([connected(6), stored(7)], "no stream_reset"),
        ([connected(5), stored(7)], "e-7 after e-5"),
        ([connected(9), reset(5, 10, 3)], "missed is 3, but 4"),
    ],
)
def test_what_goes_wrong_when_a_client_comes_back_is_reported(again: list[Frame], what: str) -> None:
    checker = judge([connected(4), stored(5)], again)
    assert what in checker.errors[0]


def test_a_filtered_stream_has_no_hole_in_a_publishers_numbers() -> None:
    assert "number 2 after 0" in judge([connected(4), stored(5, 0), stored(9, 2)], whole=False).errors[0]
