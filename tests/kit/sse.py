"""Reading streams: strictly as the hub writes them, or as any line-wise client does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from werkzeug.test import TestResponse


def frames(body: bytes) -> list[dict[str, Any]]:
    """Decode SSE frames strictly as this server writes them; `_id` is the id line, `_retry` the retry line."""
    found: list[dict[str, Any]] = []
    assert body == b"" or body.endswith(b"\n\n"), body[-100:]
    for block in body.split(b"\n\n")[:-1]:
        lines = dict(line.split(b": ", 1) for line in block.split(b"\n"))
        assert set(lines) <= {b"id", b"data", b"retry"}, lines
        fields = json.loads(lines[b"data"])
        fields["_id"] = lines[b"id"].decode() if b"id" in lines else None
        if b"retry" in lines:
            fields["_retry"] = int(lines[b"retry"])
        found.append(fields)
    return found


def seqs(body: bytes) -> list[int]:
    """Sequence numbers of the stored events in a body."""
    return [int(frame["id"].split("-")[1]) for frame in frames(body) if "id" in frame]


def read(answer: TestResponse) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream of Flask's test client, as they arrive."""
    assert answer.status_code == 200, answer.text
    for piece in answer.response:
        block = piece if isinstance(piece, bytes) else piece.encode()
        yield from of_lines(block.split(b"\n"))


def of_lines(lines: Iterable[bytes | str]) -> Iterator[dict[str, Any]]:
    """Yield the event of each `data:` line."""
    for line in lines:
        text = line if isinstance(line, str) else line.decode()
        if text.startswith("data: "):
            yield json.loads(text[6:])


def unchunk(data: bytes) -> tuple[bytes, bool]:
    """Decode a chunked body strictly; the flag is whether it has its last chunk."""
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert rest == b"\r\n", rest
            return body, True
        assert rest[length : length + 2] == b"\r\n", data[:80]
        body += rest[:length]
        data = rest[length + 2 :]
    return body, False
