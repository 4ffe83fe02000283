"""Header fields cost what their length is worth; what they mean is tested over sockets (test_hostile_requests)."""

from __future__ import annotations

import io
import timeit

from streaming_hub.server.headers import MAX_LINE, Headers


def seconds_for(filling: bytes) -> float:
    """The least time that a long line takes."""
    line = b"X: a" + filling * (MAX_LINE - 100) + b"b\r\n"
    return min(timeit.repeat(lambda: Headers(io.BytesIO(line * 3 + b"\r\n").readline), number=1, repeat=3))


def test_thousands_of_spaces_in_a_value_are_read_like_letters() -> None:
    """A pattern that looked for the spaces' end at each of them took ten thousand times as long."""
    assert seconds_for(b" ") < 200 * seconds_for(b"x")


def test_spaces_around_a_value_are_no_part_of_it() -> None:
    headers = Headers(io.BytesIO(b"A: \t b c \t\r\nD:\r\n\r\n").readline)
    assert headers.items() == [("a", "b c"), ("d", "")]
