"""What the archive's endpoints share: queries, and their refusals as HTTP errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streaming_hub.errors import BadRequest, Conflict, Forbidden, HubError, NotFound, Unavailable
from streaming_hub.events.views import OPERATOR
from streaming_hub.sidecar.wire import Refusal
from streaming_hub.web import parameters, query
from streaming_hub.web.about import Parameter, Schema
from streaming_hub.web.current import services

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from werkzeug.datastructures import MultiDict

    from streaming_hub.access import Grant
    from streaming_hub.archive.feed import Archive

_SHOWN: Final = 40
RETRY: Final = 2
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200

TEXT: Final[Schema] = {"type": "string", "pattern": "^[^\\x00]*$"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT, "maxItems": query.MOST_VALUES}
_TIME: Final[Schema] = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "format": "date-time"}, {"enum": [""]}]
}
ROOM: Final = Parameter(
    "room",
    "query",
    TEXT,
    "Selects one if the id exists in several rooms; empty: the one without a room.",
    "support-7",
)
SESSION_ID: Final = parameters.name(
    "session_id",
    "The session, percent-encoded: `%2F` is part of the id.",
    "d74c",
)
PERIOD: Final = (
    Parameter(
        "from", "query", _TIME, "Sessions that began at this time or later: seconds since 1970, or RFC 3339."
    ),
    Parameter("to", "query", _TIME, "Sessions that began before this time."),
)
LIMIT: Final = Parameter(
    "limit", "query", parameters.count(1), f"Maximum number: {DEFAULT_LIMIT} by default, at most {MAX_LIMIT}."
)
CURSOR: Final = Parameter("cursor", "query", {"type": "string"}, "`next` of the previous page.")


def many(name: str, text: str, words: Collection[str] = ()) -> Parameter:
    """Describe a filter that may be repeated; see `texts`."""
    schema = {**TEXTS, "items": {"enum": list(words)}} if words else TEXTS
    return Parameter(name, "query", schema, f"{text} Repeat it for alternatives.")


def archive() -> Archive:
    """Return the archive.

    Raises:
        NotFound: it is off.
    """
    found = services().archive
    if found is None:
        raise NotFound(
            "There is no archive: set STREAM_ARCHIVE to keep sessions (a history in memory has none by default)."
        )
    return found


def ask(what: str, arguments: Any, *, session: str = "") -> Any:
    """Query the archive.

    Args:
        what: the query.
        arguments: what belongs to it.
        session: the requested session, for messages.

    Raises:
        NotFound: no such session, or no archive.
        Conflict: the id exists in several rooms.
        Unavailable: the database is away.
    """
    try:
        return archive().ask(what, arguments)
    except Refusal as refusal:
        raise problem_of(refusal, session) from refusal


def problem_of(refusal: Refusal, session: str = "") -> HubError:
    """Return the error for a refusal."""
    shown = session[:100]
    if refusal.name == "missing":
        return NotFound(f"There is no session {shown!r} in the archive.")
    if refusal.name == "ambiguous":
        rooms = ", ".join(repr(room or "")[:60] for room in refusal.extra[:10])
        return Conflict(
            f"There is a session {shown!r} in several rooms: choose one with ?room= ({rooms}).",
            rooms=list(refusal.extra),
        )
    return Unavailable(f"The archive is unavailable: {refusal.text}", retry_after=RETRY)


def sees_all(grant: Grant) -> bool:
    """Return whether a caller has the operator's view."""
    return grant.view == OPERATOR


def for_operators(grant: Grant, what: str) -> None:
    """Refuse viewers.

    Raises:
        Forbidden: the caller has the viewer's view.
    """
    if not sees_all(grant):
        raise Forbidden(f"{what} needs the operator's view.")


def rooms_of(grant: Grant) -> list[str] | None:
    """Return the only rooms that a caller may see; None for all."""
    return None if grant.rooms is None else sorted(grant.rooms)


def texts(args: MultiDict[str, str], name: str, words: Collection[str] = ()) -> list[str]:
    """Read the values of a filter that may be repeated.

    Args:
        args: the parameters.
        name: of the filter.
        words: the only values that it may have; any if there are none.

    Raises:
        BadRequest: too many, with NUL, or none of the words.
    """
    values = args.getlist(name)
    if len(values) > query.MOST_VALUES:
        raise BadRequest(
            f"{name} is given {len(values)} times; at most {query.MOST_VALUES} are accepted.", field=name
        )
    for value in values:
        check(name, value)
        if words:
            query.one_of(name, value, words)
    return values


def limit(args: MultiDict[str, str]) -> int:
    """Read `limit`: how many items a page may have.

    Raises:
        BadRequest: not a count.
    """
    return query.count(args, "limit", DEFAULT_LIMIT, MAX_LIMIT, least=1)


def check(name: str, value: str) -> None:
    """Refuse a value that no stored text can contain. It may have any length, as what is posted may.

    Raises:
        BadRequest: it is.
    """
    if "\0" in value:
        raise BadRequest(f"{name}={value[:_SHOWN]!r}: a text cannot contain NUL.", field=name)


def room_asked(args: MultiDict[str, str]) -> str | None:
    """Read `room`, which chooses between sessions of one id; empty is the session without a room.

    Raises:
        BadRequest: it cannot be a room.
    """
    room = args.get("room")
    if room is not None:
        check("room", room)
    return room


def only_operators(grant: Grant, asked: Iterable[str], kind: str, hidden: Collection[str]) -> None:
    """Refuse what would reveal to a viewer what viewers do not see.

    Raises:
        Forbidden: a viewer asks for it.
    """
    if sees_all(grant):
        return
    for name in asked:
        if name in hidden:
            raise Forbidden(f"{name}: this {kind} needs the operator's view.", field=name)
