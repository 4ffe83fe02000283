"""What is still sent to a slow client after an erasure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.events.sse import chunk, event_frame
from streaming_hub.stream.takeback import cut
from tests.kit.sse import frames, unchunk

FRAMES = [
    event_frame(b"e-%d" % number, b'{"id":"e-%d","x":"%d"}' % (number, number))[0] for number in (3, 4, 7)
]
PLAIN = b"".join(FRAMES)


def check(sent: int, *, chunked: bool) -> None:
    data = chunk(PLAIN) if chunked else PLAIN
    found = cut(data, sent, chunked=chunked)
    assert found is not None
    whole = data[:sent] + found.rest
    if chunked:
        whole, ended = unchunk(whole)
        assert not ended
    read = frames(whole.partition(b"::")[0].rstrip(b":"))
    seqs = [int(frame["id"].split("-")[1]) for frame in read]
    # In order, from the first on, and the next one is the first that was not sent.
    assert seqs == [3, 4, 7][: len(seqs)]
    assert found.position == (seqs[-1] if seqs else 2)
    # No frame that had not begun is sent.
    begun = sum(data.index(frame) < sent for frame in FRAMES)
    assert len(seqs) <= max(begun, 0)


@pytest.mark.parametrize("chunked", [True, False])
@given(sent=st.integers(0, len(PLAIN)))
def test_it_ends_with_the_frame_that_is_under_way(chunked: bool, sent: int) -> None:
    check(sent, chunked=chunked)


@pytest.mark.parametrize("chunked", [True, False])
def test_what_it_is_filled_with_is_a_comment(chunked: bool) -> None:
    data = chunk(PLAIN) if chunked else PLAIN
    found = cut(data, data.index(FRAMES[0]) + 5, chunked=chunked)
    assert found is not None
    body = unchunk(data[: data.index(FRAMES[0]) + 5] + found.rest)[0] if chunked else FRAMES[0]
    assert body.startswith(FRAMES[0])
    rest = body[len(FRAMES[0]) :]
    assert rest.strip(b":\n") == b""
    assert b"\n" not in rest[:-1]


@pytest.mark.parametrize(
    "data", [b"data: {}\n\n", b"", chunk(b"data: {}\n\n"), chunk(PLAIN) * 2, chunk(PLAIN)[:-1], b"zz\r\n"]
)
@pytest.mark.parametrize("chunked", [True, False])
def test_what_has_no_position_is_not_cut(data: bytes, chunked: bool) -> None:
    if not chunked and b"id: " in data:
        return
    assert cut(data, 1, chunked=chunked) is None
