"""Rules of posting: verdicts, back-off, Retry-After."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming_hub_client.retry import (
    LONGEST_RETRY_AFTER,
    Verdict,
    backoff,
    is_from_hub,
    judge,
    retry_after,
    takes,
)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.ACCEPTED),
        (201, Verdict.ACCEPTED),
        (302, Verdict.LATER),
        (400, Verdict.BAD),
        (401, Verdict.KEY_REFUSED),
        (403, Verdict.KEY_REFUSED),
        (404, Verdict.LATER),
        (408, Verdict.LATER),
        (413, Verdict.BAD),
        (421, Verdict.LATER),
        (422, Verdict.BAD),
        (429, Verdict.LATER),
        (500, Verdict.LATER),
        (502, Verdict.LATER),
        (503, Verdict.LATER),
        (504, Verdict.LATER),
    ],
)
def test_only_statuses_about_the_events_condemn_them(status: int, verdict: Verdict) -> None:
    assert judge(status) is verdict


def test_refusal_of_a_room_is_about_the_event_and_not_about_the_key() -> None:
    assert judge(403, "room") is Verdict.BAD
    assert judge(403, None) is Verdict.KEY_REFUSED
    assert judge(401, "room") is Verdict.KEY_REFUSED


PROBLEM = {"type": "about:blank", "title": "Too large", "status": 413, "detail": "Send less."}


@pytest.mark.parametrize(
    ("status", "content_type", "said", "hubs"),
    [
        (200, "application/json", {"status": "ok"}, True),
        (200, "text/html", {}, False),
        (204, "", {}, False),
        (200, "application/json", {"status": "accepted"}, False),
        (413, "application/problem+json", PROBLEM, True),
        (413, "Application/Problem+JSON; charset=utf-8", PROBLEM | {"field": "[3].text"}, True),
        (413, "application/json", PROBLEM, False),
        (400, "application/problem+json", PROBLEM, False),
        (413, "application/problem+json", PROBLEM | {"instance": "/api/agent/data"}, False),
        (413, "application/problem+json", PROBLEM | {"type": "https://proxy.example/413"}, False),
        (413, "application/problem+json", PROBLEM | {"detail": None}, False),
        (413, "application/problem+json", {}, False),
    ],
)
def test_only_the_hubs_own_answers_count_as_its_own(
    status: int, content_type: str, said: dict[str, object], hubs: bool
) -> None:
    assert is_from_hub(status, content_type, said) is hubs


def test_backoff_doubles_up_to_the_longest() -> None:
    delays = [backoff(attempt, 1.0, first=0.1, longest=5.0) for attempt in range(8)]

    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


@given(st.integers(0, 100_000), st.floats(0, 1))
def test_backoff_stays_between_half_and_all_of_its_step(attempt: int, chance: float) -> None:
    step = backoff(attempt, 1.0, first=0.1, longest=5.0)

    assert step / 2 <= backoff(attempt, chance, first=0.1, longest=5.0) <= step <= 5.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("soon", 0.0),
        ("-3", 0.0),
        ("1.5", 0.0),
        ("999999999", LONGEST_RETRY_AFTER),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 30.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        ("Sun, 99 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header: str | None, seconds: float) -> None:
    # 784111747 is 08:49:07 of that day.
    assert retry_after(header, 784111747.0) == seconds


def test_retry_after_takes_another_maximum() -> None:
    assert retry_after("3600", 0.0, longest=7200.0) == 3600.0
    assert retry_after("9999", 0.0, longest=7200.0) == 7200.0


@pytest.mark.parametrize(
    ("said", "count", "taken"),
    [
        ({"status": "ok", "ids": ["e-1", "e-2"]}, 2, True),
        ({"status": "ok", "ids": []}, 0, True),
        ({"status": "ok", "id": "e-1"}, None, True),
        ({"status": "ok", "ids": []}, 2, False),
        ({"status": "ok", "ids": ["e-1"]}, 2, False),
        ({"status": "ok", "ids": [1, 2]}, 2, False),
        ({"status": "ok", "ids": "ab"}, 2, False),
        ({"status": "ok", "id": "e-1"}, 1, False),
        ({"status": "ok"}, None, False),
        ({"status": "accepted", "id": "e-1"}, None, False),
        ({}, None, False),
    ],
)
def test_events_are_taken_by_an_answer_that_names_each(
    said: dict[str, Any], count: int | None, taken: bool
) -> None:
    assert takes(said, count) is taken
