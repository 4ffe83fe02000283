"""Which origins may read answers: flask-cors does what the one rule in streaming_hub.access.origin says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_hub.access.origin import listed_patterns, origin_listed
from tests.kit.callers import (
    KEYS,
    SUBSCRIBE_KEY,
    ask,
    bearer,
    hub,
    same_hub,
)

LISTED = ("https://app.example.com", "http://[2001:db8::1]:3000", "http://shop.example", "null")
PATHS = ["/api/events", "/api/stream", "/api/health", "/api/nothing", "/api/agent/data"]
OPERATE_PATHS = [
    "/api/agent/status",
    "/api/agent/start",
    "/api/rooms/a/events",
    "/api/sessions/s",
    "/api/token",
]


def allowed(settings: dict[str, Any], origin: str, path: str = "/api/events", **more: Any) -> str | None:
    answer = ask(same_hub(**settings), "GET", path, headers={"Origin": origin, **more})
    answer.close()
    assert answer.headers.getlist("Vary") == ["Origin"]
    found: str | None = answer.headers.get("Access-Control-Allow-Origin")
    return found


@pytest.mark.parametrize("path", PATHS)
def test_by_default_local_pages_may_read(path: str) -> None:
    for origin in ("http://localhost", "http://localhost:3000", "https://127.0.0.1:8443", "http://[::1]:1"):
        assert allowed({}, origin, path) == origin
        assert allowed(KEYS, origin, path) == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost:3000.evil.example",
        "http://localhost:3000@evil.example",
        "http://evil.example/http://localhost",
        "*",
        "file://",
    ],
)
def test_others_may_not(origin: str) -> None:
    for path in PATHS + OPERATE_PATHS:
        assert allowed({}, origin, path) is None, path
        assert allowed({"cors_origins": LISTED}, origin, path) is None, path


def test_a_list_replaces_the_default_and_is_exact() -> None:
    settings = {"cors_origins": LISTED}
    for origin in LISTED[:3]:
        assert allowed(settings, origin) == origin
    for origin in (
        "http://localhost:3000",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://appXexample.com",
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "http://[2001:db8::2]:3000",
    ):
        assert allowed(settings, origin) is None


@pytest.mark.parametrize("cors_origins", [None, LISTED])
def test_a_page_from_disk_reads_while_all_is_open_and_never_operates(cors_origins: Any) -> None:
    for path in PATHS:
        assert allowed({"cors_origins": cors_origins}, "null", path) == "null"
        for keyed in ({"publish_keys": ("k",)}, {"operator_keys": ("k",)}, {"jwt_secret": "x" * 32}):
            assert allowed({"cors_origins": cors_origins, **keyed}, "null", path) is None
    for path in OPERATE_PATHS:
        assert allowed({"cors_origins": cors_origins}, "null", path) is None


SENT = (
    *("authorization", "last-event-id", "cache-control", "x-api-key", "idempotency-key", "content-type"),
    *("traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with", "x-request-id", "pragma"),
)
"""What clients send, and what tracing and request libraries add by themselves."""


def preflight(path: str, origin: str, method: str, **settings: Any) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ",".join(SENT),
    }
    return ask(same_hub(**settings), "OPTIONS", path, headers=headers)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/stream", "GET"),
        ("/api/agent/data", "POST"),
        ("/api/sessions/s", "DELETE"),
        ("/api/token", "POST"),
    ],
)
def test_a_preflight_needs_no_credential_and_allows_what_clients_send(path: str, method: str) -> None:
    answer = preflight(path, "http://localhost:3000", method, **KEYS)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert method in answer.headers["Access-Control-Allow-Methods"]
    granted = answer.headers["Access-Control-Allow-Headers"].replace(" ", "").split(",")
    assert set(granted) == set(SENT)
    assert "Access-Control-Allow-Credentials" not in answer.headers
    refused = preflight(path, "https://evil.example", method)
    assert "Access-Control-Allow-Methods" not in refused.headers
    assert refused.headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", ["/api/stream", "/api/agent/data", "/api/sessions/s", "/", "/docs"])
def test_an_answer_to_options_has_no_body_and_claims_no_type(path: str) -> None:
    answer = ask(hub(), "OPTIONS", path)
    assert (answer.status_code, answer.get_data(), answer.headers.get("Content-Type")) == (200, b"", None)
    assert "OPTIONS" in answer.headers["Allow"]
    assert ask(hub(), "OPTIONS", "/nowhere").headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", PATHS)
def test_only_an_origin_that_is_listed_by_name_may_send_credentials(path: str) -> None:
    def credentials(origin: str, **settings: Any) -> str | None:
        with ask(same_hub(**settings), "GET", path, headers={"Origin": origin}) as answer:
            found: str | None = answer.headers.get("Access-Control-Allow-Credentials")
            assert found is None or answer.headers["Access-Control-Allow-Origin"] == origin
            return found

    assert credentials("https://app.example.com", cors_origins=LISTED) == "true"
    assert credentials("null", cors_origins=LISTED) is None
    assert credentials("https://evil.example", cors_origins=LISTED) is None
    assert credentials("http://localhost:3000") is None
    answer = preflight(path, "https://app.example.com", "GET", cors_origins=LISTED)
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


def test_a_page_from_disk_gets_no_leave_to_erase() -> None:
    assert "Access-Control-Allow-Origin" not in preflight("/api/rooms/a/events", "null", "DELETE").headers


def test_refusals_can_be_read_by_listed_pages() -> None:
    answer = ask(hub(**KEYS), "GET", "/api/events", headers={"Origin": "http://localhost:3000"})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "www-authenticate" in answer.headers["Access-Control-Expose-Headers"]


def test_every_answer_varies_by_origin() -> None:
    for headers in ({}, bearer(SUBSCRIBE_KEY), bearer("wrong")):
        for path in ("/api/events", "/api/stream", "/", "/api/nothing"):
            answer = ask(same_hub(**KEYS), "GET", path, headers=headers)
            assert answer.headers["Vary"] == "Origin"
            answer.close()


ORIGINS = st.one_of(
    st.text(max_size=40),
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "ftp"]),
        st.sampled_from(
            ["localhost", "127.0.0.1", "[::1]", "app.example.com", "APP.example.com", "x.example"]
        ),
        st.sampled_from(["", ":80", ":443", ":3000", ":", "/", ".evil.example", "\n", ":٣"]),
    ),
)


@given(
    ORIGINS,
    st.none() | st.lists(st.sampled_from([*LISTED, "http://x.example:80", "https://x.example:443"])),
    st.booleans(),
    st.booleans(),
)
def test_the_patterns_say_what_the_rule_says(
    origin: str, listed: list[str] | None, all_open: bool, operate: bool
) -> None:
    patterns = listed_patterns(listed, all_open=all_open, operate=operate)
    by_pattern = any(pattern.match(origin) for pattern in patterns)
    by_rule = origin_listed(origin, listed, all_open=all_open, operate=operate)
    # Browsers write `null` in one way; a pattern that takes another matches no origin.
    assert by_pattern == by_rule or origin.lower() == "null"
