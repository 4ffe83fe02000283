"""Streams served without a handler: which requests are, on values; then on real sockets, in a patched Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streaming_hub.server import direct
from streaming_hub.server.environ import STREAM_PATH
from tests.streaming_hub.server import directly
from tests.streaming_hub.server.wire import request_bytes
from tests.streaming_hub.stream.child import scenarios

if TYPE_CHECKING:
    from tests.streaming_hub.stream.child import Patched

SCENES = directly
SCENARIOS = scenarios(directly, "told", "descriptors", "let_a_crowd_in")
WHOLE = request_bytes("GET", f"{STREAM_PATH}?room=a", Accept="text/event-stream")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_direct(patched: Patched, scenario: str) -> None:
    patched.run(scenario)


def test_all_scenarios_are_there() -> None:
    assert SCENARIOS


def test_a_whole_request_is_taken() -> None:
    asked = direct.parse(WHOLE)
    assert asked is not None
    query, headers = asked
    assert query == "room=a"
    assert dict(headers.environ_items()) == {"HTTP_HOST": "localhost", "HTTP_ACCEPT": "text/event-stream"}


def test_a_part_of_one_is_left() -> None:
    assert [length for length in range(len(WHOLE)) if direct.parse(WHOLE[:length])] == []


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(request_bytes("POST", STREAM_PATH), id="another method"),
        pytest.param(request_bytes("HEAD", STREAM_PATH), id="HEAD"),
        pytest.param(request_bytes("GET", STREAM_PATH, version="1.0"), id="HTTP/1.0"),
        pytest.param(request_bytes("GET", f"{STREAM_PATH}/ticket"), id="another path"),
        pytest.param(request_bytes("GET", f"{STREAM_PATH}x"), id="a longer path"),
        pytest.param(request_bytes("GET", STREAM_PATH.replace("s", "%73")), id="an encoded path"),
        pytest.param(request_bytes("GET", f"http://localhost{STREAM_PATH}"), id="the absolute form"),
        pytest.param(request_bytes("GET", f"{STREAM_PATH}?a#b"), id="a fragment"),
        pytest.param(request_bytes("GET", f"{STREAM_PATH}?\xe9"), id="more than ASCII"),
        pytest.param(request_bytes("GET", f"{STREAM_PATH}?a b"), id="a space"),
        pytest.param(request_bytes("GET", STREAM_PATH, body=b"x"), id="a body"),
        pytest.param(request_bytes("GET", STREAM_PATH, Content_Length="0"), id="a length"),
        pytest.param(request_bytes("GET", STREAM_PATH, Transfer_Encoding="chunked"), id="chunks"),
        pytest.param(request_bytes("GET", STREAM_PATH, Expect="100-continue"), id="Expect"),
        pytest.param(request_bytes("GET", STREAM_PATH, Upgrade="websocket"), id="Upgrade"),
        pytest.param(request_bytes("GET", STREAM_PATH) * 2, id="another request behind it"),
        pytest.param(request_bytes("GET", STREAM_PATH) + b"x", id="something behind it"),
        pytest.param(
            request_bytes("GET", STREAM_PATH)[:-2] + b"\n" + request_bytes("GET", STREAM_PATH),
            id="another request behind a bare line feed",
        ),
        pytest.param(request_bytes("GET", STREAM_PATH, **{"a b": "c"}), id="a malformed field"),
        pytest.param(b"GET " + STREAM_PATH.encode() + b" HTTP/1.1\r\n\r\n", id="no Host"),
        pytest.param(request_bytes("GET", STREAM_PATH).replace(b"\r\n", b"\n"), id="bare line feeds"),
        pytest.param(request_bytes("GET", STREAM_PATH, X="a" * direct.MAX_REQUEST), id="a long one"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    ],
)
def test_what_is_anything_else_is_left(request_: bytes) -> None:
    assert direct.parse(request_[: direct.MAX_REQUEST]) is None
