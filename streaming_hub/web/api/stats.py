"""Statistics of the archive by time, and what a caller may see at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, request

from streaming_hub.access import HUB_SCOPES, SUBSCRIBE
from streaming_hub.errors import BadRequest
from streaming_hub.web import answers, callers, query, times
from streaming_hub.web.api import archived
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from streaming_hub.access import Grant
    from streaming_hub.web.api.answer_types import Me

blueprint = Blueprint("stats", __name__)

PARAMETERS: Final = ("from", "to", "bucket", "room", "agent")
SIZES: Final = {"minute": 60, "hour": 3600, "day": 86_400}
"""Seconds of a bucket."""
DEFAULT_BUCKETS: Final = {"minute": 60, "hour": 24, "day": 30}
"""Buckets up to now, where `from` is not given."""
MOST_BUCKETS: Final = 10_000


@endpoint(blueprint, "GET", "/api/stats", scope=SUBSCRIBE)
def stats() -> Response:
    """Answer figures by time of start."""
    grant = callers.grant()
    archived.archive()
    query.only(request.args, PARAMETERS)
    found: bytes = archived.ask("stats", asked_of(grant, request.args, services().clock()))
    return answers.encoded(found)


@endpoint(blueprint, "GET", "/api/me", scope=SUBSCRIBE)
def me() -> Response:
    """Answer what the caller may do and see."""
    grant = callers.grant()
    query.only(request.args, ())
    body: Me = {
        "scopes": sorted(grant.scopes & HUB_SCOPES),
        "view": grant.view,
        "rooms": archived.rooms_of(grant),
    }
    return answers.json(body)


def asked_of(grant: Grant, args: MultiDict[str, str], now: float) -> dict[str, Any]:
    """Read the query.

    Raises:
        BadRequest: a value cannot be read, or there would be too many buckets.
    """
    bucket = args.get("bucket") or "hour"
    if bucket not in SIZES:
        raise BadRequest(f"bucket={bucket[:40]!r}: expected minute, hour or day.", field="bucket")
    size = SIZES[bucket]
    until = times.moment("to", args["to"]) if args.get("to") else now
    if args.get("from"):
        since = times.moment("from", args["from"])
    else:
        since = max(0.0, (until // size + 1 - DEFAULT_BUCKETS[bucket]) * size)
    count = -(-until // size) - since // size
    if count > MOST_BUCKETS:
        raise BadRequest(
            f"from and to are {count:.0f} buckets of a {bucket} apart; at most {MOST_BUCKETS} are answered: choose a "
            "larger bucket or a shorter time.",
            field="bucket",
        )
    return {
        "since": since,
        "until": until,
        "bucket": bucket,
        "room": archived.texts(args, "room"),
        "agent": archived.texts(args, "agent"),
        "allowed": archived.rooms_of(grant),
        "operator": archived.sees_all(grant),
    }
