"""Schemathesis reads /openapi.json and tries whether the running server keeps to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import GenerationMode

from streaming_hub.web.openapi.describe import ENDPOINTS
from streaming_hub.web.openapi.document import openapi_path
from tests.streaming_hub.web.hub_of_fake_agents import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streaming_hub.web.openapi.document import Endpoint

SECRET = "a-secret-of-livekit-that-is-long-enough"
OFTEN = settings(
    max_examples=settings.default.max_examples // 4,
    suppress_health_check=list(HealthCheck),
)
EVENTS = [
    {"type": "transcript", "room": "hall", "session_id": "s1", "participant": "alice", "text": "Hello!"},
    {
        "type": "tool_call_started",
        "room": "hall",
        "session_id": "s1",
        "call_id": "c",
        "name": "f",
        "arguments": {},
    },
]


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    livekit = {"LIVEKIT_URL": "ws://127.0.0.1:9", "LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": SECRET}
    with running(**livekit) as url:
        assert requests.post(f"{url}/api/agent/data", json=EVENTS, timeout=10).ok
        yield url


@pytest.fixture(scope="module")
def description(hub: str) -> Any:
    return schemathesis.openapi.from_url(f"{hub}/openapi.json")


def cases(description: Any, endpoint: Endpoint, mode: GenerationMode) -> Any:
    operation = description[openapi_path(endpoint.path)][endpoint.method]
    return operation.as_strategy(generation_mode=mode)


def is_endless(endpoint: Endpoint) -> bool:
    return endpoint.path == "/api/stream" and endpoint.method == "GET"


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


ANSWERED = [endpoint for endpoint in ENDPOINTS if not is_endless(endpoint)]
# Any string may be a name in a path: nothing there can be wrong.
TAKING = [
    endpoint
    for endpoint in ANSWERED
    if endpoint.body or any(one.where != "path" for one in endpoint.parameters)
]
LONGEST_LINE = 8000


def line_of(case: Any) -> str:
    """Return the address of a case as it is sent."""
    sent = case.as_transport_kwargs()
    prepared = requests.Request(sent["method"], sent["url"], params=sent.get("params")).prepare()
    return str(prepared.url)


CURSORS = ("after", "before", "cursor")
"""Which strings are cursors of a history or a list is known to the hub alone: no schema can say it."""


@pytest.mark.parametrize("endpoint", ANSWERED, ids=name_of)
def test_what_is_described_is_taken_and_answered_so(description: Any, endpoint: Endpoint) -> None:
    @OFTEN
    @given(case=cases(description, endpoint, GenerationMode.POSITIVE))
    def call(case: Any) -> None:
        case.query = {name: value for name, value in (case.query or {}).items() if name not in CURSORS}
        case.call_and_validate(timeout=20)

    call()


@pytest.mark.parametrize("endpoint", TAKING, ids=name_of)
def test_what_is_not_described_is_refused_as_described(description: Any, endpoint: Endpoint) -> None:
    @OFTEN
    @given(case=cases(description, endpoint, GenerationMode.NEGATIVE))
    def call(case: Any) -> None:
        # White space alone is no body, as where none is needed.
        assume(not isinstance(case.body, bytes) or endpoint.body_required or case.body.strip(b" \t\r\n"))
        # A longer request line is refused before any endpoint is asked.
        assume(len(line_of(case)) < LONGEST_LINE)
        case.call_and_validate(timeout=20)

    call()


def test_the_stream_keeps_to_its_description(description: Any) -> None:
    tried = 0
    endpoint = next(filter(is_endless, ENDPOINTS))

    @OFTEN
    @given(case=cases(description, endpoint, GenerationMode.POSITIVE))
    def open_one(case: Any) -> None:
        nonlocal tried
        tried += 1
        # It does not end: only its beginning is read.
        with requests.request(**case.as_transport_kwargs(), stream=True, timeout=20) as answer:
            assert answer.status_code == 200, answer.text
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert next(answer.iter_lines()).startswith(b"data: {")

    open_one()
    assert tried > 5
