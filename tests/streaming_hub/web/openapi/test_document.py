"""The description of the API: it names every route, fits what is really sent, and holds together.

Covers streaming_hub.events.types.snapshot, streaming_hub.web.api.answer_types and streaming_hub.web.api.watcher_answer,
over HTTP.

Covers streaming_hub.web.about, streaming_hub.web.parameters and streaming_hub.web.api.webhook_about: what views say of
their endpoints.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from streaming_hub import errors
from streaming_hub.access import (
    ALL_SCOPES,
    JOIN,
    OPERATE,
    PUBLISH,
)
from streaming_hub.events.types import TYPES
from streaming_hub.web.openapi.describe import ENDPOINTS, describe
from streaming_hub.web.openapi.document import ERRORS, errors_of, openapi_path
from streaming_hub.web.openapi.page import curl
from streaming_hub.web.openapi.schemas import name_of_event
from tests.kit.sse import of_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask import Flask
    from flask.testing import FlaskClient

DOCUMENT = describe(ALL_SCOPES)
KEYS = {"publish_keys": ("p-key",), "subscribe_keys": ("s-key",), "operator_keys": ("o-key",)}
LIVEKIT = {
    "livekit_url": "ws://127.0.0.1:9",
    "livekit_api_key": "devkey",
    "livekit_api_secret": "a-secret-of-livekit-that-is-long-enough",
}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


OPERATIONS = list(operations())
NAMES = [f"{method} {path}" for method, path, _ in OPERATIONS]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that validators can follow: with the components that it refers to."""
    return {**schema, "components": DOCUMENT["components"]}


def check(schema: dict[str, Any], value: Any) -> None:
    jsonschema_rs.validate(resolved(schema), value)


def undescribed(schema: dict[str, Any], value: Any, at: str = "") -> list[str]:
    """The fields of an answer that no property of its schema describes."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return min((undescribed(one, value, at) for one in schema[choice]), key=len)
    if isinstance(value, list):
        return [name for one in value for name in undescribed(schema.get("items", {}), one, f"{at}[]")]
    if not isinstance(value, dict) or "properties" not in schema or schema.get("additionalProperties"):
        return []
    found = [f"{at}.{name}" for name in value if name not in schema["properties"]]
    inside = (
        undescribed(schema["properties"][name], one, f"{at}.{name}")
        for name, one in value.items()
        if name in schema["properties"]
    )
    return found + [name for names in inside for name in names]


# Routes


def test_every_route_is_described_and_no_other(app: Flask) -> None:
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(one.method, one.path) for one in ENDPOINTS if one.method != "HEAD"}
    assert routes - described == set(), "give its @endpoint an `about`"
    assert described - routes == set()


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names) == len(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_the_named_scope_is_the_one_that_is_asked(make_app: Callable[..., Flask], endpoint: Any) -> None:
    client = make_app(**KEYS, **LIVEKIT).test_client()
    path = re.sub(r"{\w+}", "x", openapi_path(endpoint.path))

    def status(key: str | None) -> int:
        headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
        answer = client.open(
            path, method=endpoint.method, headers=headers, data=b"{" if endpoint.body else None
        )
        answer.close()
        return answer.status_code

    if endpoint.scope is None:
        assert status(None) not in (401, 403) or endpoint.signed
        return
    assert status(None) == 401
    lacking = "s-key" if endpoint.scope in (PUBLISH, OPERATE, JOIN) else "p-key"
    assert status(lacking) == 403
    if endpoint.path not in ("/api/agent/start", "/api/agent/stop"):
        assert status("o-key") not in (401, 403)


# The document


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)))
    assert len(references) > 40
    for reference in references:
        place: Any = DOCUMENT
        for part in reference.split("/"):
            place = place[part]


def test_security_follows_what_is_open() -> None:
    closed = describe(frozenset())["paths"]["/api/agent/data"]["post"]["security"]
    assert closed == [{"bearer": ["publish"]}, {"apiKey": ["publish"]}]
    assert DOCUMENT["paths"]["/api/agent/data"]["post"]["security"] == [{}, *closed]
    assert {"ticket": []} in DOCUMENT["paths"]["/api/stream"]["get"]["security"]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_examples_fit_their_schemas(method: str, path: str, operation: dict[str, Any]) -> None:
    contents = [operation["requestBody"]["content"]] if "requestBody" in operation else []
    contents += [answer["content"] for answer in operation["responses"].values() if "content" in answer]
    assert contents or method == "HEAD" or "204" in operation["responses"]
    for content in contents:
        for media in content.values():
            assert media["examples"]
            for example in media["examples"].values():
                check(media["schema"], example["value"])
                assert undescribed(media["schema"], example["value"]) == []


@pytest.mark.parametrize("name", TYPES)
def test_events_fit_their_schemas(name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name_of_event(name)}"}
    check(schema, TYPES[name].example)
    with pytest.raises(jsonschema_rs.ValidationError):
        check(schema, TYPES[name].example | {"type": "another"})


def test_every_error_has_an_example() -> None:
    answers = DOCUMENT["components"]["responses"]
    for kind in ERRORS:
        content = answers[kind.__name__]["content"]["application/problem+json"]
        check(content["schema"], content["example"])
        assert content["example"]["status"] == kind.status
    raised = {kind for endpoint in ENDPOINTS for kind in errors_of(endpoint)}
    assert raised == set(ERRORS)
    known = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HubError)
    }
    assert known - set(ERRORS) == {errors.HubError}


@pytest.mark.parametrize(
    "body",
    [
        {"text": "no type"},
        {"type": "heartbeat"},
        {"type": "a b"},
        {"type": "test", "id": "1-1"},
        {"type": "test", "room": 5},
        {"type": "test", "timestamp": 1e11},
    ],
)
def test_what_the_schema_of_an_event_refuses_is_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        check({"$ref": "#/components/schemas/PostedEvent"}, body)
    assert client.post("/api/agent/data", json=body).status_code == 422


# Answers


def answer_schema(method: str, path: str, status: int) -> dict[str, Any]:
    answer = DOCUMENT["paths"][path][method.lower()]["responses"][str(status)]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema: dict[str, Any] = next(iter(answer["content"].values()))["schema"]
    return schema


def test_real_answers_are_described_to_the_last_field(make_app: Callable[..., Flask]) -> None:
    client = make_app(**LIVEKIT).test_client()
    talk = [
        {"type": "session_started", "room": "hall", "session_id": "s1"},
        {"type": "participant_joined", "room": "hall", "participant": "alice", "role": "user"},
        {
            "type": "user_speech_started",
            "room": "hall",
            "session_id": "s1",
            "turn_id": "t1",
            "participant": "alice",
        },
        {
            "type": "transcript",
            "room": "hall",
            "session_id": "s1",
            "turn_id": "t1",
            "role": "user",
            "text": "Hello!",
        },
        {
            "type": "tool_call_started",
            "room": "hall",
            "session_id": "s1",
            "call_id": "c",
            "name": "f",
            "arguments": 1,
        },
        {"type": "session_ended", "room": "hall", "session_id": "s0", "reason": "error"},
    ]
    calls: list[tuple[str, str, str, Any]] = [
        ("POST", "/api/agent/data", "", talk),
        ("POST", "/api/agent/data", "", {"type": "test", "event_id": "e"}),
        ("POST", "/api/agent/data", "", {"type": "test", "event_id": "e"}),
        ("POST", "/api/agent/data", "", {"type": "a b"}),
        ("POST", "/api/agent/lease", "", {"sessions": [{"session_id": "s0"}]}),
        ("POST", "/api/stream/ticket", "", {"room": "hall"}),
        ("POST", "/api/token", "", {"room_name": "hall"}),
        ("GET", "/api/events", "?limit=2", None),
        ("GET", "/api/events", "?limit=x", None),
        ("GET", "/api/rooms", "", None),
        ("GET", "/api/rooms/{name}", "", None),
        ("GET", "/api/agent/status", "", None),
        ("POST", "/api/agent/stop", "", None),
        ("GET", "/api/health", "", None),
        ("DELETE", "/api/sessions/{session_id}", "", None),
        ("DELETE", "/api/rooms/{name}/events", "", None),
        ("GET", "/api/rooms/{name}", "", None),
    ]
    seen = set()
    for method, path, query, body in calls:
        url = path.replace("{name}", "hall").replace("{session_id}", "s1") + query
        answer = client.open(url, method=method, json=body) if body else client.open(url, method=method)
        schema = answer_schema(method, path, answer.status_code)
        check(schema, answer.json)
        assert undescribed(schema, answer.json) == [], f"{method} {path}"
        seen.add(answer.status_code)
    assert seen == {200, 201, 400, 404, 422}


def test_an_undescribed_field_would_be_found() -> None:
    schema = answer_schema("GET", "/api/health", 200)
    assert undescribed(schema, {"status": "ok", "mood": "glad"}) == [".mood"]
    rooms = answer_schema("GET", "/api/rooms", 200)
    assert undescribed(rooms, {"rooms": [{"room": "hall", "colour": "red"}]}) == [".rooms[].colour"]


def test_control_events_are_described(client: FlaskClient) -> None:
    client.post("/api/agent/data", json={"type": "transcript", "room": "hall", "text": "Hello!"})
    with client.get("/api/stream?snapshot=1&last_event_id=nonsense") as answer:
        frames = next(iter(answer.response))
    told = list(of_lines(frames.splitlines()))
    assert [event["type"] for event in told] == ["connected", "stream_reset", "snapshot"]
    for event in told:
        schema = {"$ref": f"#/components/schemas/{name_of_event(event['type'])}"}
        check(schema, event)
        assert undescribed(schema, event) == []


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_a_curl_line_is_what_a_shell_takes(method: str, path: str, operation: dict[str, Any]) -> None:
    words = shlex.split(curl("http://127.0.0.1:5000", method, path, operation))
    assert words[0] == "curl"
    urls = [word for word in words if word.startswith("http://127.0.0.1:5000/")]
    assert len(urls) == 1
    assert "{" not in urls[0]
    assert ("-d" in words) == ("requestBody" in operation)
