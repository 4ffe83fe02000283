"""Reading what is stored: `/api/events`, `/api/rooms`; and erasing it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from streaming_hub.access import OPERATE, SUBSCRIBE, require_room
from streaming_hub.archive.wire import Refusal
from streaming_hub.errors import BadRequest, NotFound
from streaming_hub.events import cursor
from streaming_hub.events.interest import EVERYTHING, Interest
from streaming_hub.history.page import Limit
from streaming_hub.stream.erasing import erase
from streaming_hub.web import answers, callers, query
from streaming_hub.web.api import archived
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streaming_hub.access import Grant
    from streaming_hub.events.stored import Entry
    from streaming_hub.services import Services
    from streaming_hub.web.api.answer_types import Erased, EventsPage, RoomList

blueprint = Blueprint("rooms", __name__)

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
PAGE_BYTES: Final = 1024 * 1024
PARAMETERS: Final = (*query.FILTERS, "after", "before", "last", "limit")


@endpoint(blueprint, "GET", "/api/events", scope=SUBSCRIBE)
def events() -> Response:
    """Answer a page of stored events, oldest first."""
    parts, args = services(), request.args
    grant = callers.grant()
    query.only(args, PARAMETERS)
    interest = callers.interest_of(grant, query.filters(args))
    limit = query.count(args, "limit", DEFAULT_LIMIT, MAX_LIMIT, least=1)
    limit = min(limit, query.count(args, "last", limit, MAX_LIMIT, least=1))
    after, before, last = _position(parts, "after"), _position(parts, "before"), "last" in args
    if (after is not None) + (before is not None) + last > 1:
        raise BadRequest("after, before and last exclude each other: send one of them.")
    if after is None and before is None and not last:
        after = parts.history.bounds.oldest - 1
    if after is not None:
        return _forward(parts, interest, after, limit)
    return _backward(parts, interest, parts.history.bounds.head + 1 if before is None else before, limit)


@endpoint(blueprint, "GET", "/api/rooms", scope=SUBSCRIBE)
def rooms() -> Response:
    """Answer all rooms with stored events."""
    parts = services()
    interest = callers.interest_of(callers.grant(), EVERYTHING)
    states, _ = parts.rooms.current()
    body: RoomList = {"rooms": parts.rooms.summaries(states, interest)}
    return answers.json(body)


@endpoint(blueprint, "GET", "/api/rooms/<path:name>", scope=SUBSCRIBE)
def room(name: str) -> Response:
    """Answer one room's present state."""
    parts = services()
    interest = callers.interest_of(callers.grant(), EVERYTHING)
    states, _ = parts.rooms.current()
    state = parts.rooms.describe(states, name, interest)
    if state is None:
        raise NotFound(f"The room {name[:100]!r} has no stored events.")
    return answers.json(state)


@endpoint(blueprint, "DELETE", "/api/rooms/<path:name>/events", scope=OPERATE)
def erase_room(name: str) -> Response:
    """Erase a room's events for good."""
    require_room(callers.grant(), name)
    parts = services()
    with _outlets_without(parts, room=name):
        return _erased(parts, erase(parts.hub, room=name), room=name)


@endpoint(blueprint, "DELETE", "/api/sessions/<path:session_id>", scope=OPERATE)
def erase_session(session_id: str) -> Response:
    """Erase a session's events for good: in the room that is named, else in every room that the caller may erase."""
    grant = callers.grant()
    parts = services()
    query.only(request.args, ("room",))
    # What comes after the look at its rooms is not erased.
    head = parts.history.bounds.head
    rooms = _rooms_to_erase(parts, grant, session_id, archived.room_asked(request.args), head)
    with _outlets_without(parts, session_id=session_id, rooms=rooms):
        count = sum(
            erase(parts.hub, session_id=session_id, room=room, upto=head)
            for room in ([None] if rooms is None else rooms)
        )
        return _erased(parts, count, session_id=session_id)


def _rooms_to_erase(
    parts: Services, grant: Grant, session_id: str, asked: str | None, head: int
) -> list[str] | None:
    """Return the rooms in which a session is to be erased (empty: in none); None for all.

    Raises:
        Forbidden: it is the named room's, or other rooms' alone, which the caller may not erase.
    """
    if asked is not None:
        require_room(grant, asked or None)
        return [asked]
    if grant.rooms is None:
        return None
    found = _rooms_of(parts, session_id, head)
    if found and not any(grant.allows_room(room) for room in found):
        require_room(grant, next(iter(found)))
    return sorted(grant.rooms)


@contextmanager
def _outlets_without(
    parts: Services,
    *,
    room: str | None = None,
    session_id: str | None = None,
    rooms: Collection[str] | None = None,
) -> Iterator[None]:
    """Take a room or a session out of the archive and the webhooks, and keep both from reading it meanwhile.

    First out of these: what they still read of the history is then kept out of them.

    Raises:
        Unavailable: one of them is away. The history was not erased: it would stay there for good.
    """
    if parts.archive is None or parts.webhooks is None:
        yield
        return
    with parts.archive.erasing():
        interest = Interest(
            rooms=None if room is None else frozenset({room}),
            sessions=None if session_id is None else frozenset({session_id}),
        )
        known = {key for key in _stored_sessions(parts, interest) if rooms is None or (key[1] or "") in rooms}
        wanted: dict[str, Any] = {
            "session_id": session_id,
            "room": room,
            "rooms": None if rooms is None else list(rooms),
        }
        with ExitStack() as stack:
            try:
                stack.enter_context(parts.webhooks.erasing(**wanted))
                parts.archive.erase(**wanted, known=known)
            except Refusal as refusal:
                raise archived.problem_of(refusal) from refusal
            yield


def _stored_sessions(parts: Services, interest: Interest) -> set[tuple[str, str | None]]:
    """Return the sessions, id and room, of which the history has events."""
    return {
        (entry.session_id, entry.room)
        for entry in _stored(parts, interest, parts.history.bounds.head)
        if entry.session_id is not None
    }


def _rooms_of(parts: Services, session_id: str, head: int) -> set[str | None]:
    """Return every room in which a session has events up to a position; None stands for those in no room."""
    return {entry.room for entry in _stored(parts, Interest(sessions=frozenset({session_id})), head)}


def _stored(parts: Services, interest: Interest, head: int) -> Iterator[Entry]:
    """Yield what is stored up to a position."""
    position = parts.history.bounds.oldest - 1
    while position < head:
        page = parts.read(partial(parts.history.since, position, interest, Limit(MAX_LIMIT, PAGE_BYTES)))
        yield from page.entries
        position = page.upto


def _erased(
    parts: Services, count: int, *, room: str | None = None, session_id: str | None = None
) -> Response:
    callers.note("erase", room=room, session_id=session_id, events=count)
    parts.rooms.forget()
    parts.sessions.forget(room=room, session_id=session_id)
    # The store's log, too, is rid of them before this is answered.
    parts.offload(parts.history.checkpoint)
    body: Erased = {"status": "ok", "erased": count}
    return answers.json(body)


def _position(parts: Services, name: str) -> int | None:
    text = request.args.get(name)
    if not text:
        return None
    found = cursor.resolve(text, parts.history.bounds.range())
    if isinstance(found, int):
        return found
    # A page of history is asked for again, not streamed: what has expired is simply not there any more.
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
