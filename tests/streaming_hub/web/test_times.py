"""Times and cursors in a query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.errors import BadRequest
from streaming_hub.web import times


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", 0.0),
        ("1795430000.25", 1_795_430_000.25),
        ("2026-11-23T10:33:20Z", 1_795_430_000.0),
        ("2026-11-23t10:33:20z", 1_795_430_000.0),
        ("2026-11-23 10:33:20.5Z", 1_795_430_000.5),
        ("2026-11-23T10:33:20.123456789Z", 1_795_430_000.123456),
        ("2026-11-23T11:33:20+01:00", 1_795_430_000.0),
        ("2026-11-23T11:33:20 01:00", 1_795_430_000.0),
        ("2026-11-23T05:03:20-05:30", 1_795_430_000.0),
    ],
)
def test_times(text: str, wanted: float) -> None:
    assert times.moment("from", text) == pytest.approx(wanted, abs=1e-6)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_is_refused_by_name(text: str) -> None:
    found = refusal = None
    try:
        found = times.moment("from", text)
    except BadRequest as error:
        refusal = error.extra["field"]
    assert refusal == "from" if found is None else 0 <= found < times.MOST


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.text(),
            st.integers(-(2**53), 2**53),
            st.floats(allow_nan=False, allow_infinity=False),
        )
    )
)
def test_a_cursor_is_read_as_it_was_made(values: list[object]) -> None:
    cursor = times.make_cursor(values)
    if len(cursor) <= times.MAX_CURSOR:
        assert times.read_cursor(cursor, list) == values


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_is_refused(text: str) -> None:
    found = refusal = None
    try:
        found = times.read_cursor(text, tuple[str, float | None, str, int])
    except BadRequest as error:
        refusal = error.extra["field"]
    assert (found is None) is (refusal == "cursor")
