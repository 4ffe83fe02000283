"""`/api/webhooks`: endpoints, tests, the log of deliveries, and replays."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from flask import Blueprint, Response, request
from msgspec import Meta, UnsetType

from streaming_hub.access import OPERATE
from streaming_hub.errors import BadRequest, Conflict, Forbidden, HubError, InvalidBody, NotFound, Unavailable
from streaming_hub.events import cursor
from streaming_hub.events.interest import EVERYTHING
from streaming_hub.events.types import CONTROL_TYPES
from streaming_hub.events.views import OPERATOR
from streaming_hub.history.follow import PAGE, pages, position_before
from streaming_hub.history.page import Limit
from streaming_hub.outlets.webhooks.endpoints import SETTINGS, STATES, message_of
from streaming_hub.outlets.webhooks.feed import line_of
from streaming_hub.outlets.webhooks.messages import Asked
from streaming_hub.sidecar.wire import Refusal
from streaming_hub.web import answers, bodies, callers, query, times
from streaming_hub.web.api import archived, webhook_about
from streaming_hub.web.api.webhook_requests import Change, Create, Place, Replay
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import Arguments, endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.access import Grant
    from streaming_hub.outlets.webhooks.feed import Webhooks
    from streaming_hub.outlets.webhooks.messages import Line
    from streaming_hub.services import Services
    from streaming_hub.web.about import About
    from streaming_hub.web.declared import Method

blueprint = Blueprint("webhooks", __name__)

TEST_SECONDS: Final = 20.0
MOST_ID: Final = 10**15
ALL: Final = "/api/webhooks"
ONE: Final = "/api/webhooks/<webhook_id>"


def _endpoint(
    method: Method, path: str, about: Callable[[], About], *errors: type[HubError]
) -> Callable[[Callable[Arguments, Response]], Callable[Arguments, Response]]:
    """Declare an endpoint: all need `operate` and the archive; those for one webhook may not find it."""
    missing = (NotFound,) if path.startswith(ONE) else ()
    return endpoint(
        blueprint,
        method,
        path,
        scope=OPERATE,
        errors=(*errors, *missing, Conflict, Unavailable),
        about=about,
    )


@_endpoint("GET", ALL, webhook_about.all_of_them, BadRequest)
def webhooks() -> Response:
    """Return the webhooks that the caller may see."""
    grant = callers.grant()
    query.only(request.args, ())
    outlet = _outlet()
    found = _ask("list", {"allowed": archived.rooms_of(grant)}) if outlet.used else []
    return answers.json({"webhooks": found})


@_endpoint("POST", ALL, webhook_about.making, BadRequest, Forbidden, InvalidBody)
def create() -> Response:
    """Create a webhook."""
    grant, parts = callers.grant(), services()
    outlet = _outlet()
    asked = bodies.read(request.get_data(cache=False).strip() or b"{}", Create)
    _check_reach(grant, asked.rooms, asked.view)
    fields = msgspec.to_builtins(asked)
    _check_filters(fields)
    fields.pop("from")
    place = asked.since
    fields["after"] = parts.history.bounds.head if place is None else _position(parts, "from", place)
    outlet.need()
    made = _ask("create", fields)
    callers.note("webhook_create", webhook=made["id"])
    return answers.json(made, 201)


def _check_filters(fields: dict[str, Any]) -> None:
    """Refuse filters that no event passes.

    Raises:
        InvalidBody: a type of events that only streams have, or `*` as a room.
    """
    for kind in fields.get("types") or ():
        if kind in CONTROL_TYPES:
            raise InvalidBody(f"types: {kind} is part of a stream and not sent to webhooks.", field="types")
    if "*" in (fields.get("rooms") or ()):
        raise InvalidBody("rooms: names only; for all rooms omit it, or send null.", field="rooms")


@_endpoint("GET", ONE, webhook_about.one, BadRequest)
def webhook(webhook_id: str) -> Response:
    """Return one webhook."""
    query.only(request.args, ())
    return answers.json(_one(webhook_id))


@_endpoint("PATCH", ONE, webhook_about.changing, BadRequest, Forbidden, InvalidBody)
def change(webhook_id: str) -> Response:
    """Change a webhook."""
    found = _changeable(webhook_id)
    asked = answers.body(Change)
    fields = msgspec.to_builtins(asked)
    _check_reach(callers.grant(), fields.get("rooms", found["rooms"]), fields.get("view", found["view"]))
    _check_filters(fields)
    fields["id"] = webhook_id
    if not isinstance(asked.since, UnsetType):
        del fields["from"]
        fields["after"] = _position(services(), "from", asked.since)
    changed = _ask("change", fields)
    callers.note("webhook_change", webhook=webhook_id)
    return answers.json(changed)


@_endpoint("DELETE", ONE, webhook_about.removing)
def delete(webhook_id: str) -> Response:
    """Remove a webhook, its pending deliveries and its log."""
    _changeable(webhook_id)
    _ask("delete", webhook_id)
    callers.note("webhook_delete", webhook=webhook_id)
    return Response(status=204, headers=answers.NOT_CACHED)


@_endpoint("POST", f"{ONE}/test", webhook_about.testing)
def test(webhook_id: str) -> Response:
    """Send a test, once."""
    _one(webhook_id)
    outcome = _ask("test", webhook_id, within=TEST_SECONDS)
    return answers.json({name: outcome[name] for name in ("status", "answer", "duration", "error")})


@_endpoint("GET", f"{ONE}/deliveries", webhook_about.log, BadRequest)
def deliveries(webhook_id: str) -> Response:
    """Return a page of a webhook's log."""
    args = request.args
    query.only(args, ("state", "type", "limit", "cursor"), ("state", "type"))
    before: int | None = None
    if args.get("cursor"):
        (before,) = times.read_cursor(args["cursor"], tuple[Annotated[int, Meta(ge=0, le=MOST_ID)]])
    states, types = archived.texts(args, "state", STATES), archived.texts(args, "type")
    asked = Asked(webhook_id, archived.limit(args), states, types, before)
    _one(webhook_id)
    found, place = _ask("deliveries", asked)
    return answers.json({"deliveries": found, "next": None if place is None else times.make_cursor([place])})


@_endpoint("GET", f"{ONE}/deliveries/<delivery_id>", webhook_about.one_delivery, BadRequest)
def delivery(webhook_id: str, delivery_id: str) -> Response:
    """Return one delivery, with its requests as they were sent."""
    query.only(request.args, ())
    _one(webhook_id)
    number = _number_of(delivery_id)
    found = None if number is None else _ask("delivery", [webhook_id, number])
    if found is None:
        raise NotFound("There is no such delivery: the log keeps them for 7 days.")
    body = found["body"]
    if body is None:
        # The log keeps only the newest bodies, but an event's body is always the same.
        for line in _lines_of(services(), [found["event_id"]]):
            body = message_of(line).body
    return answers.json({**found, "body": None if body is None else body.decode()})


@_endpoint("POST", f"{ONE}/replay", webhook_about.replaying, BadRequest, InvalidBody)
def replay(webhook_id: str) -> Response:
    """Send a range of events, single deliveries, or all failed ones again."""
    asked = answers.body(Replay)
    parts = services()
    _one(webhook_id)
    given = {"state": asked.state, "deliveries": asked.deliveries, "from": asked.since, "to": asked.to}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) > 1 and chosen != ["from", "to"]:
        raise InvalidBody(f"{chosen[0]}: cannot be combined with {chosen[1]}.", field=chosen[0])
    if asked.state is not None:
        replayed, missed = _resend_failed(webhook_id), 0
    elif asked.deliveries is not None:
        replayed, missed = _resend(parts, webhook_id, asked.deliveries)
    elif asked.since is None:
        raise InvalidBody("from: missing; send from and to, deliveries, or state.", field="from")
    else:
        replayed, missed = _replay(parts, webhook_id, asked.since, asked.to)
    callers.note("webhook_replay", webhook=webhook_id, replayed=replayed)
    return answers.json({"replayed": replayed, "missed": missed}, 202)


def _outlet() -> Webhooks:
    """Return the webhooks.

    Raises:
        Conflict: there is no archive, which they need.
    """
    found = services().webhooks
    if found is None:
        raise Conflict("Webhooks need an archive, and there is none: set STREAM_ARCHIVE.")
    return found


def _ask(what: str, arguments: Any, **how: float) -> Any:
    try:
        return _outlet().ask(what, arguments, **how)
    except Refusal as refusal:
        raise _problem_of(refusal) from refusal


def _problem_of(refusal: Refusal) -> HubError:
    if refusal.name == "missing":
        return NotFound("There is no such webhook.")
    if refusal.name == "forbidden":
        return InvalidBody(f"url: {refusal.text}.", field="url")
    if refusal.name == "unknown":
        return InvalidBody(f"deliveries: {refusal.text}", field="deliveries")
    if refusal.name == "full":
        return Conflict(refusal.text)
    return Unavailable(f"The webhooks are away: {refusal.text}", retry_after=archived.RETRY)


def _one(webhook_id: str) -> dict[str, Any]:
    """Return a webhook that the caller may see.

    Raises:
        NotFound: there is none.
    """
    if not _outlet().used:
        raise NotFound("There is no such webhook.")
    found: list[dict[str, Any]] = _ask(
        "list", {"allowed": archived.rooms_of(callers.grant()), "id": webhook_id}
    )
    return found[0]


def _changeable(webhook_id: str) -> dict[str, Any]:
    found = _one(webhook_id)
    if webhook_id == SETTINGS:
        raise Conflict("This webhook comes from STREAM_WEBHOOK_URL: change the setting and restart the hub.")
    return found


def _check_reach(grant: Grant, rooms: list[str] | None, view: str) -> None:
    """Refuse a webhook that would get more than the caller may see.

    Raises:
        Forbidden: it would.
    """
    if grant.rooms is not None and (rooms is None or not set(rooms) <= grant.rooms):
        raise Forbidden(
            "This credential is limited to certain rooms: `rooms` may name only those.", field="rooms"
        )
    if view == OPERATOR and not archived.sees_all(grant):
        raise Forbidden("This credential has the viewer's view: set `view` to `viewer`.", field="view")


def _position(parts: Services, name: str, place: Place, *, inclusive: bool = False) -> int:
    """Return the sequence number that a cursor or a time stands for.

    Args:
        parts: the hub's services.
        name: of the field.
        place: a cursor, or a time.
        inclusive: for a time, whether the number includes events of exactly that time.

    Raises:
        InvalidBody: it is neither.
    """
    if isinstance(place, str):
        found = cursor.resolve(place, parts.history.bounds.range())
        if isinstance(found, int):
            return found
        if found.reason == "expired" and found.seq is not None:
            return found.seq
        if found.reason in ("foreign", "future"):
            raise InvalidBody(f"{name}: {place[:100]!r} is not a cursor of this history.", field=name)
    try:
        at = times.moment(name, place if isinstance(place, str) else f"{place:.6f}")
    except BadRequest as error:
        raise InvalidBody(
            f"{name}: expected a cursor, seconds since 1970, or a time like 2026-11-28T14:00:00Z.", field=name
        ) from error
    at = math.nextafter(at, math.inf) if inclusive else at
    return position_before(parts.history, at, parts.read)


def _replay(parts: Services, webhook_id: str, since: Place, to: Place | None) -> tuple[int, int]:
    bounds = parts.history.bounds
    position = _position(parts, "from", since) - _names_event(since)
    last = bounds.head if to is None else _position(parts, "to", to, inclusive=True)
    if to is not None and position > last:
        raise InvalidBody("from: later than to; swap them.", field="from")
    first = min(last, max(position, bounds.oldest - 1))
    missed = first - position - bounds.erased_between(position + 1, first) if first > position else 0
    replayed = 0
    found = pages(parts.history, first, last, EVERYTHING, parts.read)
    while True:
        with _outlet().reading():
            if (page := next(found, None)) is None:
                return replayed, max(0, missed)
            lines = [line_of(one) for one in page.entries if one.seq <= last]
            replayed += _ask("replay", {"id": webhook_id, "lines": lines, "filtered": True})


def _names_event(place: Place) -> bool:
    """Return whether a range begins at an event's id, which it includes, not at a time."""
    return isinstance(place, str) and cursor.is_id(place)


def _resend(parts: Services, webhook_id: str, names: list[str]) -> tuple[int, int]:
    ids = []
    for name in names:
        number = _number_of(name)
        if number is None:
            raise InvalidBody(f"deliveries: {name[:40]!r} is not the id of a delivery.", field="deliveries")
        ids.append(number)
    asked: dict[str, Any] = {"id": webhook_id, "deliveries": ids, "lines": None}
    with _outlet().reading():
        replayed, lost = _ask("resend", asked)
        if lost:
            replayed, lost = _ask("resend", asked | {"lines": _lines_of(parts, lost)})
    return replayed, len(lost)


def _resend_failed(webhook_id: str) -> int:
    replayed, after, upto = 0, 0, None
    while after is not None:
        with _outlet().reading():
            count, after, upto = _ask("resend_failed", {"id": webhook_id, "after": after, "upto": upto})
        replayed += count
    return replayed


def _number_of(name: str) -> int | None:
    """Return a delivery's number; None if the text is not one."""
    return int(name) if name.isascii() and name.isdigit() and len(name) < 16 else None


def _lines_of(parts: Services, events: list[str]) -> list[Line]:
    """Return events as lines for the webhooks' process, without those that the history no longer has."""
    lines: list[Line] = []
    for event_id in events:
        found = cursor.resolve(event_id, parts.history.bounds.range())
        if not isinstance(found, int):
            continue
        page = parts.read(partial(parts.history.since, found - 1, EVERYTHING, Limit(1, PAGE.size)))
        lines += [line_of(one) for one in page.entries if one.seq == found]
    return lines
