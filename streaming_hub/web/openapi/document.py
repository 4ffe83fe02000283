"""From the described endpoints to an OpenAPI 3.1 document: plain dicts in reading order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from streaming_hub import __version__, errors
from streaming_hub.access import ALL_SCOPES
from streaming_hub.web.about import About
from streaming_hub.web.api.answer_types import Problem
from streaming_hub.web.openapi import schemas

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streaming_hub.errors import HubError
    from streaming_hub.web.about import Answer, Content, Parameter, Schema

PROBLEM: Final = "application/problem+json"


class Endpoint(About, frozen=True, kw_only=True):
    """One method of one path: what its view says about it, and what it declares.

    Attributes:
        method: in capitals; a GET stands for its HEAD, too, unless that has an entry of its own.
        path: as Flask's route has it.
        scope: what the caller needs; None if anyone may call it.
        signed: whether LiveKit's signature is the credential.
        errors: what is refused beside what follows from scope, method and body.
    """

    method: str
    path: str
    scope: str | None
    signed: bool
    errors: tuple[type[HubError], ...]


DESCRIPTION: Final = """Events of a voice agent's conversation: an agent posts them, pages and back ends read them as \
Server-Sent Events or as JSON. A credential is sent as `Authorization: Bearer` or as `X-API-Key`. While a scope has no \
key, it is open to this machine. Every error is `application/problem+json`."""

SECURITY_SCHEMES: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of the settings, a JWT of your own back end (`STREAM_JWT_SECRET`), or a participant's "
        "LiveKit token, which reads its own room.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same as `bearer`."},
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "For streams only, since EventSource cannot send headers: from `POST /api/stream/ticket`.",
    },
    "livekit": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "livekit-server's signature: a JWT with the body's SHA-256.",
    },
}

ERRORS: Final[dict[type[HubError], tuple[str, str]]] = {
    errors.BadRequest: (
        "The body is not JSON, or a value cannot be read.",
        "The body is not JSON: unexpected end.",
    ),
    errors.Unauthorized: (
        "No credential, or a wrong or expired one.",
        "This needs a credential with the scope `publish`.",
    ),
    errors.Forbidden: (
        "The credential lacks the scope or the room, or a web page of an origin that is not listed sent the request.",
        "The origin 'https://elsewhere.example' is not listed in STREAM_CORS_ORIGINS.",
    ),
    errors.NotFound: (
        "It does not exist. Names cannot be empty.",
        "The room 'support-7' has no stored events.",
    ),
    errors.Conflict: (
        "The current state does not allow it, or the request is ambiguous.",
        "There is a session 'd74c' in several rooms: choose one with ?room= ('support-7', 'support-8').",
    ),
    errors.Gone: (
        "It existed, but is no longer stored.",
        "The events of the session 'd74c' are no longer stored: STREAM_ARCHIVE_RECORDINGS is off, and they have "
        "expired from the history.",
    ),
    errors.TooLarge: (
        "Too many bytes or events.",
        "The event has 70000 bytes; at most 65536 are accepted.",
    ),
    errors.UnsupportedMedia: (
        "The content type is not supported, or the body is compressed.",
        "Content-Type 'text/plain': expected application/json or application/x-ndjson.",
    ),
    errors.Misdirected: (
        "The `Host` is not this machine while a scope is open (prevents DNS rebinding).",
        "Host 'elsewhere.example' is not this server's: while a scope is open, it responds only to localhost, "
        "127.0.0.1 and [::1].",
    ),
    errors.InvalidEvent: (
        "JSON, but not a valid event.",
        "type: 'a b': expected a letter, then letters, digits, _ . : or -, at most 64.",
    ),
    errors.InvalidBody: (
        "JSON, but not what this endpoint accepts.",
        "rom: not a field of this body; it accepts room.",
    ),
    errors.TooMany: (
        "A rate limit was reached.",
        "More than 100 per 1 second from this address (publish): retry later.",
    ),
    errors.Unavailable: (
        "Not available now; retry later.",
        "The server is stopping: retry.",
    ),
}
"""When each error occurs, and a detail for its example."""


def document(endpoints: Sequence[Endpoint], open_scopes: Iterable[str]) -> dict[str, Any]:
    """Return the whole description.

    Args:
        endpoints: in the order in which they are listed.
        open_scopes: what needs no credential with this server's settings.
    """
    scopes = frozenset(open_scopes)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, is_open=endpoint.scope is None or endpoint.scope in scopes)
        paths.setdefault(openapi_path(endpoint.path), {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "LiveKit agent streaming hub", "version": __version__, "description": DESCRIPTION},
        "tags": [{"name": name} for name in dict.fromkeys(endpoint.group for endpoint in endpoints)],
        "paths": paths,
        "components": {
            "securitySchemes": SECURITY_SCHEMES,
            "schemas": schemas.components([Problem, *_types_of(endpoints)]),
            "responses": {kind.__name__: _error(kind, *said) for kind, said in ERRORS.items()},
        },
    }


def openapi_path(rule: str) -> str:
    """Turn a Flask route into a path of OpenAPI: `/api/rooms/<path:name>` -> `/api/rooms/{name}`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


def errors_of(endpoint: Endpoint) -> list[type[HubError]]:
    """Return every error that an endpoint may answer, by status."""
    found: set[type[HubError]] = {*endpoint.errors, errors.Misdirected}
    if endpoint.scope is not None:
        found |= {errors.Unauthorized, errors.Forbidden, errors.TooMany}
    if endpoint.method not in ("GET", "HEAD"):
        found.add(errors.Forbidden)
    if endpoint.body:
        found |= {errors.BadRequest, errors.TooLarge}
        if errors.InvalidEvent not in found:
            found.add(errors.InvalidBody)
    return sorted(found, key=lambda kind: kind.status)


def _types_of(endpoints: Iterable[Endpoint]) -> list[type]:
    contents = [content for one in endpoints for content in one.body]
    contents += [content for one in endpoints for answer in one.answers for content in answer.contents]
    return [kind for content in contents for kind in content.types if isinstance(kind, type)]


def _operation(endpoint: Endpoint, *, is_open: bool) -> dict[str, Any]:
    answers = {str(answer.status): _answer(answer) for answer in endpoint.answers}
    for kind in errors_of(endpoint):
        # A status that is an answer as well (health's 503) is described there.
        answers.setdefault(str(kind.status), {"$ref": f"#/components/responses/{kind.__name__}"})
    made: dict[str, Any] = {
        "tags": [endpoint.group],
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
    }
    if endpoint.text:
        made["description"] = endpoint.text
    if endpoint.scope:
        made["x-scope"] = endpoint.scope
    made["security"] = _security(endpoint, is_open=is_open)
    if endpoint.parameters:
        made["parameters"] = [_parameter(parameter) for parameter in endpoint.parameters]
    if endpoint.body:
        made["requestBody"] = {"required": endpoint.body_required, "content": _contents(endpoint.body)}
    made["responses"] = answers
    return made


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"[A-Za-z_]+", openapi_path(endpoint.path).removeprefix("/api")) or ["page"]
    return "_".join([endpoint.method.lower(), *words])


def _security(endpoint: Endpoint, *, is_open: bool) -> list[dict[str, list[str]]]:
    if endpoint.signed:
        return [{"livekit": []}]
    if endpoint.scope is None:
        return []
    needed = [endpoint.scope] if endpoint.scope in ALL_SCOPES else []
    schemes: list[dict[str, list[str]]] = [{"bearer": needed}, {"apiKey": needed}]
    if endpoint.ticket:
        schemes.append({"ticket": []})
    return [{}, *schemes] if is_open else schemes


def _parameter(parameter: Parameter) -> dict[str, Any]:
    made = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.text,
        "required": parameter.where == "path",
        "schema": parameter.schema,
    }
    if parameter.example is not None:
        repeated = parameter.schema.get("type") == "array"
        made["example"] = [parameter.example] if repeated else parameter.example
    return made


def _contents(contents: Iterable[Content]) -> dict[str, Any]:
    return {content.media: _content(content) for content in contents}


def _content(content: Content) -> dict[str, Any]:
    made = [_schema(kind) for kind in content.types]
    return {
        "schema": made[0] if len(made) == 1 else {"oneOf": made},
        "examples": {
            _key(title): {"summary": title, "value": value} for title, value in content.examples.items()
        },
    }


def _key(title: str) -> str:
    return title.lower().replace(" ", "-")


def _schema(kind: type | str | Schema) -> Schema:
    if isinstance(kind, dict):
        return kind
    if isinstance(kind, str):
        return schemas.reference(kind)
    return schemas.reference(kind.__name__)


def _answer(answer: Answer) -> dict[str, Any]:
    made: dict[str, Any] = {"description": answer.text}
    if answer.contents:
        made["content"] = _contents(answer.contents)
    return made


def _error(kind: type[HubError], when: str, detail: str) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }
    if kind is errors.InvalidEvent:
        example["field"] = "type"
    made: dict[str, Any] = {
        "description": when,
        "content": {PROBLEM: {"schema": schemas.reference(Problem.__name__), "example": example}},
    }
    if kind in (errors.TooMany, errors.Unavailable):
        made["headers"] = {
            "Retry-After": {
                "description": "Seconds until a retry makes sense.",
                "schema": {"type": "integer"},
            }
        }
    if kind is errors.Unauthorized:
        made["headers"] = {"WWW-Authenticate": {"description": "The scheme.", "schema": {"type": "string"}}}
    return made
