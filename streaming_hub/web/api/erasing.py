"""`DELETE /api/rooms/NAME/events`, `DELETE /api/sessions/ID`: erase stored events permanently."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from streaming_hub.access import OPERATE, require_room
from streaming_hub.errors import BadRequest, NotFound, Unavailable
from streaming_hub.events.interest import Interest
from streaming_hub.history.follow import pages
from streaming_hub.sidecar.wire import Refusal
from streaming_hub.stream.erasing import erase
from streaming_hub.web import answers, callers, parameters, query
from streaming_hub.web.about import HISTORY, About, Parameter, ok
from streaming_hub.web.api import archived
from streaming_hub.web.api.answer_types import Erased
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from streaming_hub.access import Grant
    from streaming_hub.events.stored import Entry
    from streaming_hub.services import Services

blueprint = Blueprint("erasing", __name__)


@endpoint(
    blueprint,
    "DELETE",
    "/api/rooms/<path:name>/events",
    scope=OPERATE,
    errors=(BadRequest, NotFound, Unavailable),
    about=lambda: About(
        group=HISTORY,
        summary="Erase a room's events permanently",
        text="From the file, from memory, from the queues of slow clients, and from the archive. While the archive is "
        "unavailable, the response is 503 and nothing is erased.",
        parameters=(parameters.name("name", "The room.", "support-7"),),
        answers=ok(Erased, {"status": "ok", "erased": 484}),
    ),
)
def erase_room(name: str) -> Response:
    """Erase a room's events permanently."""
    # A filter that is not read would erase more than was meant.
    query.only(request.args, ())
    require_room(callers.grant(), name)
    parts = services()
    parts.reach_head()
    with _outlets_without(parts, room=name):
        return _erased(parts, erase(parts.hub, room=name), room=name)


@endpoint(
    blueprint,
    "DELETE",
    "/api/sessions/<path:session_id>",
    scope=OPERATE,
    errors=(BadRequest, NotFound, Unavailable),
    about=lambda: About(
        group=HISTORY,
        summary="Erase a session's events permanently",
        text="In every room that the caller may erase, as for a room. Late events of the session are not archived.",
        parameters=(
            parameters.name("session_id", "The session.", "d74c"),
            Parameter("room", "query", archived.TEXT, "Only in this room; empty: only without a room."),
        ),
        answers=ok(Erased, {"status": "ok", "erased": 37}),
    ),
)
def erase_session(session_id: str) -> Response:
    """Erase a session's events permanently: in the named room, else in every room that the caller may erase."""
    grant = callers.grant()
    parts = services()
    parts.reach_head()
    query.only(request.args, ("room",))
    # Events that arrive after its rooms are looked up are not erased.
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
    """Return the rooms to erase a session in (empty: none); None for all.

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
    """Erase a room or a session from the archive and the webhooks, and hold back reports and deliveries meanwhile.

    They come first: they then ignore what they still read of it in the history.

    Raises:
        Unavailable: one of them is away. The history was not erased, since they would keep it.
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
    for page in pages(parts.history, parts.history.bounds.oldest - 1, head, interest, parts.read):
        yield from page.entries


def _erased(
    parts: Services, count: int, *, room: str | None = None, session_id: str | None = None
) -> Response:
    callers.note("erase", room=room, session_id=session_id, events=count)
    parts.rooms.forget()
    parts.sessions.forget(room=room, session_id=session_id)
    # The store's log and the other nodes, too, are cleared before the response.
    parts.read(parts.history.checkpoint)
    if parts.nodes is not None:
        parts.nodes.wait_until_erased()
    body: Erased = {"status": "ok", "erased": count}
    return answers.json(body)
