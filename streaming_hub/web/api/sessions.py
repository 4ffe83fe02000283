"""Sessions of the archive: the list, one of them, its raw events."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from streaming_hub.access import SUBSCRIBE
from streaming_hub.archive.messages import SORTS, Place, Search
from streaming_hub.archive.reduce import REPORT
from streaming_hub.archive.views import OPERATOR_SORTS
from streaming_hub.errors import BadRequest, Conflict, Forbidden, Gone, NotFound, Unavailable
from streaming_hub.events.interest import Interest
from streaming_hub.events.types.figures import SessionReport
from streaming_hub.history.follow import pages
from streaming_hub.sidecar.wire import Refusal
from streaming_hub.web import answers, callers, parameters, paths, query, times
from streaming_hub.web.about import ARCHIVE, About, Answer, Parameter, ok, text
from streaming_hub.web.api import archived
from streaming_hub.web.api.answer_types import SessionDetail, SessionList
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.datastructures import MultiDict

    from streaming_hub.access import Grant
    from streaming_hub.archive.feed import Archive
    from streaming_hub.events.stored import Entry
    from streaming_hub.services import Services

blueprint = Blueprint("sessions", __name__)

MAX_SKIP: Final = 10**query.MOST_DIGITS - 1
MAX_QUERY: Final = 200
"""Characters of `q`."""
STATES: Final = ("live", "ended")
ORDERS: Final = tuple(sign + name for sign in ("", "-") for name in SORTS)
LISTS: Final = ("room", "participant", "agent", "reason")
REPEATABLE: Final = (*LISTS, "state")
OPERATOR_FILTERS: Final = frozenset({"latency_over", "failed_tools", "errors"})
PARAMETERS: Final = (
    *LISTS,
    "state",
    "from",
    "to",
    "q",
    "sort",
    "limit",
    "cursor",
    "skip",
    "total",
    "latency_over",
    "failed_tools",
    "errors",
)
_NUMBER: Final = re.compile(r"(\d{1,11}\.?\d{0,20}|\.\d{1,20})([eE][+-]?\d{1,3})?", re.ASCII)
_Cursor = tuple[str, float | None, str, int]


def _about_list() -> About:
    many = archived.many
    return About(
        group=ARCHIVE,
        summary="List and search sessions",
        text="Live and ended sessions, at most 2 s behind the stream. Viewers do not see tools, errors, usage and "
        "LiveKit's latencies, and may not filter or sort by them (403).",
        parameters=(
            many("room", "Sessions in this room; empty: those without a room."),
            many("participant", "Sessions with this identity."),
            many("agent", "Sessions of this agent."),
            many("reason", "Sessions that ended for this reason."),
            many("state", "`live` or `ended`.", STATES),
            *archived.PERIOD,
            Parameter(
                "q",
                "query",
                {**archived.TEXT, "maxLength": MAX_QUERY},
                "Sessions with an utterance that contains all these words, in upper or lower case; in scripts without "
                "spaces, any part of two or more characters. There are no operators.",
                "Paris",
            ),
            Parameter(
                "sort",
                "query",
                parameters.choice(*ORDERS),
                "The order; prefix `-` for descending. Latencies sort by p95. Default: `-started`.",
                "-started",
            ),
            archived.LIMIT,
            archived.CURSOR,
            Parameter(
                "skip",
                "query",
                parameters.count(0),
                "Number of sessions to skip before the page, counted from the cursor if there is one.",
            ),
            Parameter(
                "total",
                "query",
                parameters.FLAG,
                "Adds `total`, the number of matching sessions on all pages.",
            ),
            Parameter(
                "latency_over",
                "query",
                {"type": "number", "minimum": 0},
                "Operators: sessions whose p95 of `latency` is above this many seconds.",
            ),
            Parameter(
                "failed_tools", "query", parameters.FLAG, "Operators: only sessions with failed tool calls."
            ),
            Parameter("errors", "query", parameters.FLAG, "Operators: only sessions with errors."),
        ),
        answers=ok(SessionList, {"sessions": [SessionReport.example["session"]], "next": None}),
    )


@endpoint(
    blueprint,
    "GET",
    "/api/sessions",
    scope=SUBSCRIBE,
    errors=(BadRequest, Forbidden, NotFound, Unavailable),
    about=_about_list,
)
def sessions() -> Response:
    """Return a page of sessions."""
    grant, args = callers.grant(), request.args
    archived.archive()
    query.only(args, PARAMETERS, REPEATABLE)
    search = search_of(grant, args)
    found, place, total = archived.ask("sessions", search)
    body: dict[str, Any] = {"sessions": msgspec.Raw(found), "next": None}
    if place is not None:
        values = [_sort_of(args), place["value"], place["session_id"], place["row"]]
        body["next"] = times.make_cursor(values)
    if search.total:
        body["total"] = total
    return answers.json(body)


def _about_detail() -> About:
    report = SessionReport.example
    turn = {
        "turn_id": "d74c.t3",
        "index": 0,
        "started": 1795429990.699,
        "user_text": "Hello! What time is it in Paris?",
        "agent_text": None,
        "user_started": 1795429990.699,
        "user_stopped": 1795429992.913,
        "agent_started": 1795429994.413,
        "agent_stopped": 1795429997.5,
        "interrupted": False,
        "heard_latency": 1.5,
        "e2e_latency": 1.42,
        "transcription_delay": None,
        "end_of_turn_delay": None,
        "llm_node_ttft": 0.151,
        "tts_node_ttfb": 0.124,
        "playback_latency": None,
        "tools": [],
    }
    example = {
        "session": report["session"],
        "turns": [turn],
        "transcript": report["transcript"],
        "tools": [],
        "errors": [],
        "reconciliation": None,
    }
    return About(
        group=ARCHIVE,
        summary="Everything about a session",
        parameters=(archived.SESSION_ID, archived.ROOM),
        answers=ok(SessionDetail, example),
    )


@endpoint(
    blueprint,
    "GET",
    "/api/sessions/<path:session_id>",
    scope=SUBSCRIBE,
    errors=(BadRequest, NotFound, Conflict, Unavailable),
    about=_about_detail,
)
def session(session_id: str) -> Response:
    """Return everything about a session."""
    return answers.encoded(detail_of(session_id))


def _about_events() -> About:
    example = '{"id":"4fdd2f42-12","type":"session_started","timestamp":1795429986.66}\n'
    return About(
        group=ARCHIVE,
        summary="A session's raw events",
        text="Every event as streamed, interims included, oldest first, one per line. 410 if recordings "
        "are off and the events have expired.",
        parameters=(archived.SESSION_ID, archived.ROOM),
        answers=(Answer(200, "The events.", (text("application/x-ndjson", example),)),),
    )


@endpoint(
    blueprint,
    "GET",
    "/api/sessions/<path:session_id>/events",
    scope=SUBSCRIBE,
    errors=(BadRequest, NotFound, Conflict, Gone, Unavailable),
    about=_about_events,
)
def session_events(session_id: str) -> Response:
    """Return every event of a session as it was on the stream."""
    if not paths.ends_with(request.environ, "events"):
        return answers.encoded(detail_of(f"{session_id}/events"))
    arguments = chosen(session_id)
    found = archived.ask("events", arguments | {"after": 0}, session=session_id)
    parts = _from_archive(archived.archive(), session_id, arguments, found)
    if not found["recorded"]:
        parts = _from_history(services(), session_id, found, operator=arguments["operator"])
    return Response(parts, headers=answers.NOT_CACHED, content_type="application/x-ndjson")


def detail_of(session_id: str) -> bytes:
    """Return what `GET /api/sessions/ID` answers the caller of this request, as JSON."""
    found: bytes = archived.ask("session", chosen(session_id), session=session_id)
    return found


def chosen(session_id: str, *also: str) -> dict[str, Any]:
    """Return what the archive needs to choose a session for the caller of this request.

    Args:
        session_id: the session's.
        also: parameters beside `room` that the endpoint reads.
    """
    grant = callers.grant()
    archived.archive()
    query.only(request.args, ("room", *also))
    archived.check("session_id", session_id)
    return {
        "session_id": session_id,
        "room": archived.room_asked(request.args),
        "allowed": archived.rooms_of(grant),
        "operator": archived.sees_all(grant),
    }


def search_of(grant: Grant, args: MultiDict[str, str]) -> Search:
    """Read the query of a list.

    Raises:
        BadRequest: a value cannot be read; names it.
        Forbidden: a viewer asks for what viewers do not see.
    """
    sort = _sort_of(args)
    plain = sort.removeprefix("-")
    archived.only_operators(grant, args, "filter", OPERATOR_FILTERS)
    archived.only_operators(grant, [plain], "sort", OPERATOR_SORTS)
    since, until = (times.moment(name, args[name]) if args.get(name) else None for name in ("from", "to"))
    times.in_order(since, until)
    asked = args.get("q", "")
    archived.check("q", asked)
    if len(asked) > MAX_QUERY:
        raise BadRequest(f"q has {len(asked)} characters; at most {MAX_QUERY} are accepted.", field="q")
    return Search(
        **{name: archived.texts(args, name) for name in LISTS},
        state=archived.texts(args, "state", STATES),
        allowed=archived.rooms_of(grant),
        operator=archived.sees_all(grant),
        since=since,
        until=until,
        q=asked,
        latency_over=_seconds(args, "latency_over") if args.get("latency_over") else None,
        failed_tools=query.flag(args, "failed_tools"),
        errors=query.flag(args, "errors"),
        sort=plain,
        descending=sort.startswith("-"),
        after=_place(args["cursor"], sort) if args.get("cursor") else None,
        limit=archived.limit(args),
        skip=query.count(args, "skip", 0, MAX_SKIP),
        total=query.flag(args, "total"),
    )


def _sort_of(args: MultiDict[str, str]) -> str:
    return query.choice(args, "sort", ORDERS, "-started")


def _seconds(args: MultiDict[str, str], name: str) -> float:
    # Not by float() alone: that reads "1_000", and digits of any script.
    number = float(args[name]) if _NUMBER.fullmatch(args[name]) else -1.0
    if not 0 <= number < times.MOST:
        raise BadRequest(f"{name}={args[name][:40]!r}: expected seconds, 0 or more.", field=name)
    return number


def _place(sent: str, sort: str) -> Place:
    made_for, value, session_id, row = times.read_cursor(sent, _Cursor)
    if made_for != sort or "\0" in session_id or not 0 <= row < 1 << 62:
        raise BadRequest(
            f"cursor: belongs to a list with sort={made_for[:40]!r}. Send the same sort, or no cursor to start over.",
            field="cursor",
        )
    return Place(value, session_id, row)


def _from_archive(
    archive: Archive, session_id: str, arguments: dict[str, Any], found: dict[str, Any]
) -> Iterator[bytes]:
    """Read a session's events page by page, the first of which is given.

    Raises:
        NotFound, Unavailable: the session was erased meanwhile, or the archive is away; the answer breaks off.
    """
    # Of this very session, even if another of its id begins in another room.
    arguments |= {"room": found["room"] or ""}
    while found["upto"] is not None:
        if found["lines"]:
            yield found["lines"]
        try:
            found = archive.ask("events", arguments | {"after": found["upto"]})
        except Refusal as refusal:
            raise archived.problem_of(refusal, session_id) from refusal


def _from_history(
    parts: Services, session_id: str, found: dict[str, Any], *, operator: bool
) -> Iterator[bytes]:
    """Read a session's events from the history, where the archive keeps none.

    Raises:
        Gone: the history has forgotten some of them.
    """
    bounds = parts.history.bounds
    epoch, _, first = found["first"].rpartition("-")
    last = int(found["last"].rpartition("-")[2])
    if epoch != bounds.epoch or int(first) < bounds.oldest:
        raise Gone(
            f"The events of the session {session_id[:100]!r} are no longer stored: STREAM_ARCHIVE_RECORDINGS is off, "
            "and they have expired from the history."
        )
    interest = Interest(sessions=frozenset({session_id}), operator=operator)
    room = found["room"]
    return (
        b"".join(entry.data + b"\n" for entry in page.entries if _belongs(entry, room))
        for page in pages(parts.history, int(first) - 1, last, interest, parts.read)
    )


def _belongs(entry: Entry, room: str | None) -> bool:
    return entry.type != REPORT and (entry.room or None) == room
