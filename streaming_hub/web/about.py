"""What a view says about its endpoint: the words that `/openapi.json` and `/docs` are made from.

`@endpoint(..., about=...)` takes a function that returns an `About`. It is called only when a client asks for the
description, so descriptions cost nothing at start.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

STREAMING: Final = "Streaming"
HISTORY: Final = "History and rooms"
ARCHIVE: Final = "Archive"
PUBLISHING: Final = "Publishing"
AGENT: Final = "Agent"
LIVEKIT: Final = "LiveKit"
SERVER: Final = "Server"
WEBHOOKS: Final = "Webhooks"
GROUPS: Final = (STREAMING, HISTORY, ARCHIVE, WEBHOOKS, PUBLISHING, AGENT, LIVEKIT, SERVER)
"""The headings, in order."""

JSON: Final = "application/json"
HTML: Final = "text/html"
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
    """One way in which a request succeeds, or is refused without being an error.

    Attributes:
        status: HTTP's.
        text: when.
        contents: what the body may be.
    """

    status: int
    text: str
    contents: tuple[Content, ...] = ()


class About(Struct, frozen=True, kw_only=True):
    """The description of one endpoint, beside what its declaration says.

    Attributes:
        group: one of `GROUPS`.
        summary: a few words.
        text: what else to know.
        head: the summary of its HEAD, where that is worth an entry of its own.
        ticket: whether a ticket will do.
        parameters: of query, path and headers.
        body: what may be sent; empty where no body is read.
        body_required: whether it must be.
        answers: how it goes well.
    """

    group: str
    summary: str
    text: str = ""
    head: str = ""
    ticket: bool = False
    parameters: tuple[Parameter, ...] = ()
    body: tuple[Content, ...] = ()
    body_required: bool = False
    answers: tuple[Answer, ...]


def json(kind: type | str, example: Any, title: str = "Example") -> Content:
    """Describe a JSON body with one example."""
    return Content(JSON, (kind,), {title: example})


def text(media: str, example: str) -> Content:
    """Describe a body of text with one example."""
    return Content(media, ({"type": "string"},), {"Example": example})


def ok(kind: type | str, example: Any, text: str = "Success.") -> tuple[Answer, ...]:
    """Describe the only answer of an endpoint: 200 with JSON."""
    return (Answer(200, text, (json(kind, example),)),)


def page(summary: str, *parameters: Parameter) -> About:
    """Describe an HTML page."""
    answers = (Answer(200, "The page.", (text(HTML, "<!doctype html>"),)),)
    return About(group=SERVER, summary=summary, parameters=parameters, answers=answers)
