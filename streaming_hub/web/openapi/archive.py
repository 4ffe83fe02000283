"""The endpoints over the archive: sessions, their events, exports, statistics; and what a caller may see."""

from __future__ import annotations

from typing import Any, Final

from streaming_hub.errors import BadRequest, Conflict, Forbidden, Gone, NotFound, Unavailable
from streaming_hub.events.types.figures import SessionReport
from streaming_hub.outlets.exports import FORMATS
from streaming_hub.web.api.answer_types import Me, SessionDetail, SessionList, Statistics
from streaming_hub.web.api.archived import MOST_CHARACTERS
from streaming_hub.web.api.sessions import MAX_LIMIT, MAX_QUERY, SORTS, STATES
from streaming_hub.web.api.stats import MOST_BUCKETS, SIZES
from streaming_hub.web.openapi.endpoint import Answer, Content, Endpoint, Parameter, ok
from streaming_hub.web.query import MOST_DIGITS

GROUP: Final = "Archive"

_TEXT: Final = {"type": "string", "maxLength": MOST_CHARACTERS, "pattern": "^[^\\x00]*$"}
_TEXTS: Final = {"type": "array", "items": _TEXT, "maxItems": 100}
_TIME: Final = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "format": "date-time"}, {"enum": [""]}]
}
_FLAG: Final = {"type": "string", "enum": ["1", "0", "true", "false", ""]}
_ROOM: Final = Parameter(
    "room",
    "query",
    _TEXT,
    "Chooses where the id exists in several rooms; empty: the one without a room.",
    "support-7",
)
_SESSION_ID: Final = Parameter(
    "session_id",
    "path",
    {"type": "string", "pattern": "^[^\\r\\n\\x00]+$", "maxLength": MOST_CHARACTERS},
    "The session, percent-encoded: a `%2F` belongs to the id.",
    "d74c",
)
_FROM: Final = Parameter(
    "from", "query", _TIME, "Sessions that began at this time or later: seconds since 1970, or RFC 3339."
)
_TO: Final = Parameter("to", "query", _TIME, "Sessions that began before this time.")
_SORTS: Final = [*SORTS, *(f"-{name}" for name in SORTS)]

_SESSION: Final[dict[str, Any]] = SessionReport.example["session"]
_LINE: Final[dict[str, Any]] = SessionReport.example["transcript"][0]
_PERCENTILES: Final = _SESSION["heard_latency"]
_BUCKET: Final = {
    "start": 1795428000,
    "sessions": 1,
    "minutes": 1.724,
    "turns": 1,
    "heard_latency": _PERCENTILES,
    "latency": _PERCENTILES,
    "transcription_delay": None,
    "end_of_turn_delay": None,
    "llm_node_ttft": None,
    "tts_node_ttfb": None,
    "interruptions": 0,
    "tool_calls": 1,
    "tool_failures": 0,
    "errors": 0,
}
_TURN: Final = {
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


def _many(name: str, text: str, schema: dict[str, Any] = _TEXTS) -> Parameter:
    return Parameter(name, "query", schema, f"{text} Repeat it for alternatives.")


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/api/sessions",
        group=GROUP,
        summary="Sessions, page by page",
        text="Live ones and ended ones, at most 2 s after their events. Viewers see no tools, errors, usage and "
        "LiveKit's latencies, and may not filter or sort by them (403).",
        parameters=(
            _many("room", "Sessions in this room; empty: those without a room."),
            _many("participant", "Sessions with this identity."),
            _many("agent", "Sessions of this agent."),
            _many("reason", "Sessions that ended for this reason."),
            _many(
                "state",
                "`live` or `ended`.",
                {"type": "array", "items": {"enum": list(STATES)}, "maxItems": 100},
            ),
            _FROM,
            _TO,
            Parameter(
                "q",
                "query",
                {**_TEXT, "maxLength": MAX_QUERY},
                "Sessions with an utterance that has all these words, whatever their case; in scripts without spaces, "
                "any part of two or more characters. There are no operators.",
                "Paris",
            ),
            Parameter(
                "sort",
                "query",
                {"enum": [*_SORTS, ""]},
                "By what; `-` in front for descending; latencies by p95. Default: `-started`.",
                "-started",
            ),
            Parameter(
                "limit",
                "query",
                {
                    "anyOf": [
                        {"type": "integer", "minimum": 1, "maximum": 10**MOST_DIGITS - 1},
                        {"enum": [""]},
                    ]
                },
                f"How many at most: 50, up to {MAX_LIMIT}.",
            ),
            Parameter("cursor", "query", {"type": "string"}, "`next` of the page before."),
            Parameter(
                "latency_over",
                "query",
                {"type": "number", "minimum": 0},
                "Operators: p95 of `latency` above it, seconds.",
            ),
            Parameter("failed_tools", "query", _FLAG, "Operators: only those with failed tool calls."),
            Parameter("errors", "query", _FLAG, "Operators: only those with errors."),
        ),
        answers=ok(SessionList, {"sessions": [_SESSION], "next": None}),
        errors=(BadRequest, Forbidden, NotFound, Unavailable),
    ),
    Endpoint(
        method="GET",
        path="/api/sessions/<path:session_id>",
        group=GROUP,
        summary="Everything about a session",
        parameters=(_SESSION_ID, _ROOM),
        answers=ok(
            SessionDetail,
            {"session": _SESSION, "turns": [_TURN], "transcript": [_LINE], "tools": [], "errors": []},
        ),
        errors=(BadRequest, NotFound, Conflict, Unavailable),
    ),
    Endpoint(
        method="GET",
        path="/api/sessions/<path:session_id>/events",
        group=GROUP,
        summary="A session's events as they were",
        text="Every event, interims included, as the stream sent it, oldest first; one a line. 410 where recordings "
        "are off and the history has forgotten them.",
        parameters=(_SESSION_ID, _ROOM),
        answers=(
            Answer(
                200,
                "The events.",
                (
                    Content(
                        "application/x-ndjson",
                        ({"type": "string"},),
                        {
                            "Example": '{"id":"4fdd2f42-12","type":"session_started","timestamp":1795429986.66}\n'
                        },
                    ),
                ),
            ),
        ),
        errors=(BadRequest, NotFound, Conflict, Gone, Unavailable),
    ),
    Endpoint(
        method="GET",
        path="/api/sessions/<path:session_id>/export",
        group=GROUP,
        summary="A session as a file",
        text="Captions, a protocol to read, a table of its turns, or the JSON of the session. A live one up to now.",
        parameters=(
            _SESSION_ID,
            _ROOM,
            Parameter(
                "format", "query", {"enum": [*FORMATS, ""]}, "Which kind of file; `json` by default.", "vtt"
            ),
        ),
        answers=(
            Answer(
                200,
                "The file.",
                tuple(
                    Content(
                        form.media.partition(";")[0],
                        ({"type": "object"} if name == "json" else {"type": "string"},),
                        {"Example": {"session": _SESSION} if name == "json" else name.upper()},
                    )
                    for name, form in FORMATS.items()
                ),
            ),
        ),
        errors=(BadRequest, NotFound, Conflict, Unavailable),
    ),
    Endpoint(
        method="GET",
        path="/api/stats",
        group=GROUP,
        summary="Figures by time",
        text="By the time at which sessions began, in UTC; empty buckets included. Without `from`, the last 60 "
        "minutes, 24 hours or 30 days.",
        parameters=(
            _FROM,
            _TO,
            Parameter(
                "bucket",
                "query",
                {"enum": [*SIZES, ""]},
                f"How long a bucket is; `hour` by default. At most {MOST_BUCKETS} buckets.",
                "hour",
            ),
            _many("room", "Sessions in this room; empty: those without a room."),
            _many("agent", "Sessions of this agent."),
        ),
        answers=ok(Statistics, {"buckets": [_BUCKET]}),
        errors=(BadRequest, NotFound, Unavailable),
    ),
    Endpoint(
        method="GET",
        path="/api/me",
        group=GROUP,
        summary="What the caller may do and see",
        answers=ok(Me, {"scopes": ["subscribe"], "view": "viewer", "rooms": ["support-7"]}),
    ),
)
