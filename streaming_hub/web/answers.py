"""Responses: JSON by msgspec, errors as problem+json (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from flask import Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from streaming_hub import errors
from streaming_hub.web import bodies, callers
from streaming_hub.wording import listing

if TYPE_CHECKING:
    from flask import Flask

Asked = TypeVar("Asked", bound=msgspec.Struct)

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode

Plain = tuple[Iterable[tuple[str, str]], Iterable[bytes]]
"""Headers and body of a 200 that does not need Flask."""
ERROR_KEY = "hub.error"
"""Where the environ carries an error raised before Flask was called."""
NOT_CACHED = {"Cache-Control": "no-store"}
"""Spoken words must not stay in caches."""
TITLES = {400: "Bad request", 404: "Not found", 405: "Method not allowed", 413: "Too large"}


def json(body: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return encoded(_encode(body), status)


def encoded(body: bytes, status: int = 200) -> Response:
    """Answer with JSON that is encoded already."""
    return Response(body, status, headers=NOT_CACHED, content_type="application/json")


def problem(status: int, title: str, detail: str, extra: dict[str, Any] | None = None) -> Response:
    """Answer with a problem document."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **(extra or {})}
    return Response(_encode(body), status, mimetype="application/problem+json")


def init_app(app: Flask) -> None:
    """Make every error a problem document."""
    app.register_error_handler(errors.HubError, _hub_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _hub_error(error: errors.HubError) -> Response:
    callers.note_refusal(error)
    extra = {name: value for name, value in error.extra.items() if value is not None}
    answer = problem(error.status, error.title, error.detail, extra)
    answer.headers.update(error.headers())
    return answer


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    answer = problem(status, TITLES.get(status, error.name), _detail(error))
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def _detail(error: HTTPException) -> str:
    """Describe the error in the hub's own words, without the path, which may contain a secret."""
    if isinstance(error, NotFound):
        return "There is nothing at this path. /docs lists what there is."
    if isinstance(error, MethodNotAllowed):
        taken = sorted(set(error.valid_methods or ()) - {"OPTIONS"})
        return f"{request.method[:20]} is not allowed at this path: use {listing(taken, 'or')}."
    if isinstance(error, RequestEntityTooLarge):
        return f"The body has more than {request.max_content_length} bytes, the most that is accepted here."
    return error.description or error.name


def _unexpected(error: Exception) -> Response:
    log.exception("unexpected error: a request failed", exc_info=error)
    return problem(500, "Internal error", "The server failed; see its log.")


def body(kind: type[Asked]) -> Asked:
    """Read the request's optional JSON body.

    Args:
        kind: the type that describes it; all its fields have defaults.

    Raises:
        BadRequest: not JSON.
        InvalidBody: JSON, but not what is expected; names the field.
    """
    data = request.get_data(cache=False)
    if not data.strip():
        return kind()
    return bodies.read(data, kind)


def raise_met(environ: dict[str, Any]) -> None:
    """Raise the error that was raised before Flask was called, if there was one."""
    if ERROR_KEY in environ:
        raise environ[ERROR_KEY]
