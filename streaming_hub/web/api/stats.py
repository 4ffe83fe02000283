"""`GET /api/stats`: statistics of the archive by time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, request

from streaming_hub.access import SUBSCRIBE
from streaming_hub.archive.messages import BUCKETS, Asked
from streaming_hub.errors import BadRequest, NotFound, Unavailable
from streaming_hub.web import answers, callers, parameters, query, times
from streaming_hub.web.about import ARCHIVE, About, Parameter, ok
from streaming_hub.web.api import archived
from streaming_hub.web.api.answer_types import Statistics
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from streaming_hub.access import Grant

blueprint = Blueprint("stats", __name__)

PARAMETERS: Final = ("from", "to", "bucket", "room", "agent")
REPEATABLE: Final = ("room", "agent")
MOST_BUCKETS: Final = 10_000


def _about() -> About:
    percentiles = {"count": 1, "p50": 1.5, "p90": 1.5, "p95": 1.5, "p99": 1.5, "max": 1.5}
    bucket = {
        "start": 1795428000,
        "sessions": 1,
        "minutes": 1.724,
        "turns": 1,
        "heard_latency": percentiles,
        "latency": percentiles,
        "transcription_delay": None,
        "end_of_turn_delay": None,
        "llm_node_ttft": None,
        "tts_node_ttfb": None,
        "interruptions": 0,
        "tool_calls": 1,
        "tool_failures": 0,
        "errors": 0,
    }
    return About(
        group=ARCHIVE,
        summary="Statistics over time",
        text="By the start of sessions, in UTC, including empty buckets. `from` defaults to the first session, "
        f"within the last {MOST_BUCKETS} buckets, `to` to now.",
        parameters=(
            *archived.PERIOD,
            Parameter(
                "bucket",
                "query",
                parameters.choice(*BUCKETS),
                f"Length of a bucket; `hour` by default. At most {MOST_BUCKETS} buckets.",
                "hour",
            ),
            archived.many("room", "Sessions in this room; empty: those without a room."),
            archived.many("agent", "Sessions of this agent."),
        ),
        answers=ok(Statistics, {"buckets": [bucket]}),
    )


@endpoint(
    blueprint,
    "GET",
    "/api/stats",
    scope=SUBSCRIBE,
    errors=(BadRequest, NotFound, Unavailable),
    about=_about,
)
def stats() -> Response:
    """Return figures by time of start."""
    grant = callers.grant()
    archived.archive()
    query.only(request.args, PARAMETERS, REPEATABLE)
    found: bytes = archived.ask("stats", asked_of(grant, request.args, services().clock()))
    return answers.encoded(found)


def asked_of(grant: Grant, args: MultiDict[str, str], now: float) -> Asked:
    """Read the query.

    Raises:
        BadRequest: a value cannot be read, or there would be too many buckets.
    """
    bucket = query.choice(args, "bucket", BUCKETS, "hour")
    size = BUCKETS[bucket]
    until = times.moment("to", args["to"]) if args.get("to") else now
    since = times.moment("from", args["from"]) if args.get("from") else None
    times.in_order(since, until if args.get("to") else None)
    from_first = since is None
    if since is None:
        since = max(0.0, (-(-until // size) - MOST_BUCKETS) * size)
    count = -(-until // size) - since // size
    if count > MOST_BUCKETS:
        raise BadRequest(
            f"from and to are {count:.0f} {bucket}s apart; at most {MOST_BUCKETS} buckets are returned: choose a "
            "larger bucket or a shorter time.",
            field="bucket",
        )
    return Asked(
        since=since,
        until=until,
        from_first=from_first,
        bucket=bucket,
        room=archived.texts(args, "room"),
        agent=archived.texts(args, "agent"),
        allowed=archived.rooms_of(grant),
        operator=archived.sees_all(grant),
    )
