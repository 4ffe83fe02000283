"""`GET /api/events`: stored events, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from streaming_hub.access import SUBSCRIBE
from streaming_hub.errors import BadRequest
from streaming_hub.events import cursor
from streaming_hub.history.page import Limit
from streaming_hub.web import answers, callers, parameters, query
from streaming_hub.web.about import HISTORY, About, Parameter, ok
from streaming_hub.web.api.answer_types import EventsPage
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from streaming_hub.events.interest import Interest
    from streaming_hub.events.stored import Entry
    from streaming_hub.services import Services

blueprint = Blueprint("events", __name__)

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
PAGE_BYTES: Final = 1024 * 1024
PARAMETERS: Final = (*query.FILTERS, "after", "before", "last", "limit")


def _about() -> About:
    example = {
        "id": "4fdd2f42-12",
        "type": "transcript",
        "timestamp": 1795429993.485,
        "room": "support-7",
        "role": "user",
        "participant": "alice",
        "text": "Hello!",
        "is_final": True,
    }
    cursors: dict[str, Any] = {"type": "string"}
    return About(
        group=HISTORY,
        summary="Stored events",
        text="Oldest first. Unknown parameters are rejected, since a misspelt filter would match everything.",
        parameters=(
            *parameters.FILTERS,
            Parameter(
                "after", "query", cursors, "Events after this id. Not together with `before` or `last`."
            ),
            Parameter("before", "query", cursors, "Events before this id."),
            Parameter(
                "last",
                "query",
                parameters.count(1),
                "This many of the newest events; without a number, `limit` of them.",
            ),
            Parameter(
                "limit",
                "query",
                parameters.count(1),
                "Maximum number of events: 100 by default, at most 1000.",
                10,
            ),
        ),
        answers=ok(
            EventsPage,
            {"events": [example], "next": "4fdd2f42-12", "previous": "4fdd2f42-12", "more": False},
        ),
    )


@endpoint(blueprint, "GET", "/api/events", scope=SUBSCRIBE, errors=(BadRequest,), about=_about)
def events() -> Response:
    """Return a page of stored events, oldest first."""
    parts, args = services(), request.args
    grant = callers.grant()
    query.only(args, PARAMETERS, query.FILTERS)
    interest = callers.interest_of(grant, query.filters(args))
    limit = query.count(args, "limit", DEFAULT_LIMIT, MAX_LIMIT, least=1)
    limit = min(limit, query.count(args, "last", limit, MAX_LIMIT, least=1))
    parts.reach_head()
    after, before, last = _position(parts, "after"), _position(parts, "before"), "last" in args
    if (after is not None) + (before is not None) + last > 1:
        raise BadRequest("after, before and last are mutually exclusive: send only one.")
    if after is None and before is None and not last:
        after = parts.history.bounds.oldest - 1
    if after is not None:
        return _forward(parts, interest, after, limit)
    return _backward(parts, interest, parts.history.bounds.head + 1 if before is None else before, limit)


def _position(parts: Services, name: str) -> int | None:
    text = request.args.get(name)
    if not text:
        return None
    found = cursor.resolve(text, parts.history.bounds.range())
    if isinstance(found, int):
        return found
    # A page is requested, not streamed: expired events are simply no longer there.
    if found.reason == "expired":
        return parts.history.bounds.oldest - 1
    raise BadRequest(
        f"{name}={found.requested!r}: {found.reason}; it is not a cursor of this history.", field=name
    )


def _forward(parts: Services, interest: Interest, after: int, limit: int) -> Response:
    page = parts.read(lambda: parts.history.since(after, interest, Limit(limit, PAGE_BYTES)))
    return _page(parts, page.entries, next_after=page.upto, more=page.upto < parts.history.bounds.head)


def _backward(parts: Services, interest: Interest, before: int, limit: int) -> Response:
    entries = parts.read(lambda: parts.history.before(before, interest, Limit(limit, PAGE_BYTES)))
    upto = entries[-1].seq if entries else max(before, parts.history.bounds.oldest) - 1
    return _page(parts, entries, next_after=upto, more=False)


def _page(parts: Services, entries: list[Entry], *, next_after: int, more: bool) -> Response:
    epoch = parts.history.bounds.epoch
    body: EventsPage = {
        "events": [msgspec.Raw(entry.data) for entry in entries],
        "next": cursor.show(epoch, next_after),
        "previous": cursor.show(epoch, entries[0].seq) if entries else None,
        "more": more,
    }
    mistaken = query.warnings(request.args, request.query_string.decode("latin-1"))
    if mistaken:
        body["warnings"] = mistaken
    return answers.json(body)
