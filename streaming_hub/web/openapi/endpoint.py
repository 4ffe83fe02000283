"""What is said of one endpoint: the words in which the tables beside this module are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from streaming_hub.errors import HubError

JSON: Final = "application/json"
Schema = dict[str, Any]
"""A JSON Schema (2020-12), for what no Python type describes."""


class Parameter(Struct, frozen=True):
    """One value in the query, the path or a header.

    Attributes:
        name: as it is sent.
        where: which of them.
        schema: what it may be; an array is a parameter that may be repeated.
        text: what it does.
        example: for people, and for the curl line.
    """

    name: str
    where: Literal["query", "path", "header"]
    schema: Schema
    text: str
    example: Any = None


class Content(Struct, frozen=True):
    """A body.

    Attributes:
        media: its content type.
        types: Python types that msgspec describes (alternatives), names of components, or a schema.
        examples: title -> what is sent; text where the media type is not JSON.
    """

    media: str
    types: tuple[type | str | Schema, ...]
    examples: dict[str, Any]


class Answer(Struct, frozen=True):
    """One way in which it goes well, or is refused without being an error.

    Attributes:
        status: HTTP's.
        text: when.
        contents: what the body may be.
    """

    status: int
    text: str
    contents: tuple[Content, ...]


class Endpoint(Struct, frozen=True, kw_only=True):
    """One method of one path.

    Attributes:
        method: in capitals; a GET stands for its HEAD, too, unless that has an entry of its own.
        path: as Flask's route has it.
        group: the heading it stands under.
        summary: a few words.
        text: what else to know.
        scope: what the caller needs; None where nobody is asked. Left out in the tables: the view declares it.
        ticket: whether a ticket will do.
        signed: whether LiveKit's signature is the credential; declared by the view, too.
        parameters: of query, path and headers.
        body: what may be sent; empty where no body is read.
        body_required: whether it must be.
        answers: how it goes well.
        errors: what is refused beside what follows from scope, method and body.
    """

    method: Literal["GET", "HEAD", "POST", "PATCH", "DELETE"]
    path: str
    group: str
    summary: str
    text: str = ""
    scope: str | None = None
    ticket: bool = False
    signed: bool = False
    parameters: tuple[Parameter, ...] = ()
    body: tuple[Content, ...] = ()
    body_required: bool = False
    answers: tuple[Answer, ...]
    errors: tuple[type[HubError], ...] = ()


def json(kind: type | str, example: Any, title: str = "Example") -> Content:
    """Describe a JSON body with one example."""
    return Content(JSON, (kind,), {title: example})


def ok(kind: type | str, example: Any, text: str = "It went well.") -> tuple[Answer, ...]:
    """Describe the only answer of an endpoint: 200 with JSON."""
    return (Answer(200, text, (json(kind, example),)),)
