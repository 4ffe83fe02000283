"""What an agent uploaded of a session: `GET /api/sessions/ID/trace`, `/logs` and `/audio`. For operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from flask import Blueprint, Response, request, send_file

from streaming_hub.access import SUBSCRIBE
from streaming_hub.errors import BadRequest, Conflict, Forbidden, NotFound, Unavailable
from streaming_hub.web import answers, callers, parameters, paths, query, times
from streaming_hub.web.about import ARCHIVE, About, Answer, Content, Parameter, ok
from streaming_hub.web.api import archived, sessions
from streaming_hub.web.api.answer_types import LogPage, Trace
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from streaming_hub.errors import HubError

blueprint = Blueprint("telemetry", __name__)

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
_Cursor = tuple[float, Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]]
ERRORS: Final[tuple[type[HubError], ...]] = (BadRequest, Forbidden, NotFound, Conflict, Unavailable)
OGG: Final = "audio/ogg"
_SOUND: Final = Content(OGG, ({"type": "string", "format": "binary"},), {"Example": "OggS..."})
_STAGE: Final[dict[str, Any]] = {
    "name": "llm_request",
    "started": 1795429993.11,
    "duration": 0.186,
    "model": "gpt-4o-mini",
    "provider": "api.openai.com",
    "input_tokens": 15,
    "output_tokens": 6,
    "retries": 0,
    "error": None,
}


@endpoint(
    blueprint,
    "GET",
    "/api/sessions/<path:session_id>/trace",
    scope=SUBSCRIBE,
    errors=ERRORS,
    about=lambda: About(
        group=ARCHIVE,
        summary="The stages of a session's turns",
        text="From what the agent uploaded (`POST /observability/traces/otlp/v0`); empty without uploads. Needs the "
        "operator's view.",
        parameters=(archived.SESSION_ID, archived.ROOM),
        answers=ok(Trace, {"turns": [{"turn_id": "d74c.t3", "stages": [_STAGE]}], "other": [], "dropped": 0}),
    ),
)
def session_trace(session_id: str) -> Response:
    """Return the stages of a session's turns."""
    if not paths.ends_with(request.environ, "trace"):
        return answers.encoded(sessions.detail_of(f"{session_id}/trace"))
    archived.for_operators(callers.grant(), "The trace")
    return answers.encoded(archived.ask("trace", sessions.chosen(session_id), session=session_id))


@endpoint(
    blueprint,
    "GET",
    "/api/sessions/<path:session_id>/logs",
    scope=SUBSCRIBE,
    errors=ERRORS,
    about=lambda: About(
        group=ARCHIVE,
        summary="The agent's log of a session",
        text="From what the agent uploaded (`POST /observability/logs/otlp/v0`), oldest first. Needs the operator's "
        "view.",
        parameters=(
            archived.SESSION_ID,
            archived.ROOM,
            Parameter(
                "limit",
                "query",
                parameters.count(1),
                f"Maximum number: {DEFAULT_LIMIT} by default, at most {MAX_LIMIT}.",
            ),
            archived.CURSOR,
        ),
        answers=ok(
            LogPage,
            {
                "lines": [
                    {
                        "at": 1795429986.9,
                        "level": "info",
                        "logger": "livekit.agents",
                        "message": "RoomIO linked to participant",
                    }
                ],
                "next": None,
                "dropped": 0,
            },
        ),
    ),
)
def session_logs(session_id: str) -> Response:
    """Return a page of the agent's log."""
    if not paths.ends_with(request.environ, "logs"):
        return answers.encoded(sessions.detail_of(f"{session_id}/logs"))
    archived.for_operators(callers.grant(), "The log")
    arguments = sessions.chosen(session_id, "limit", "cursor")
    cursor = request.args.get("cursor")
    arguments |= {
        "limit": query.count(request.args, "limit", DEFAULT_LIMIT, MAX_LIMIT, least=1),
        "after": times.read_cursor(cursor, _Cursor) if cursor else (-1.0, -1),
    }
    lines, dropped, last = archived.ask("logs", arguments, session=session_id)
    following = None if last is None else times.make_cursor(last)
    return answers.json({"lines": msgspec.Raw(lines), "next": following, "dropped": dropped})


@endpoint(
    blueprint,
    "GET",
    "/api/sessions/<path:session_id>/audio",
    scope=SUBSCRIBE,
    errors=ERRORS,
    about=lambda: About(
        group=ARCHIVE,
        summary="The audio of a session",
        text="Ogg Opus with two channels, the user's and the agent's, if STREAM_ARCHIVE_AUDIO is on and the agent "
        "uploaded it at the end of the call. Begins at the session's `recording_start`. Supports Range requests. "
        "Needs the operator's view.",
        parameters=(archived.SESSION_ID, archived.ROOM),
        answers=(
            Answer(200, "The audio.", (_SOUND,)),
            Answer(206, "The requested range.", (_SOUND,)),
        ),
    ),
)
def session_audio(session_id: str) -> Response:
    """Answer a session's audio, or a part of it."""
    if not paths.ends_with(request.environ, "audio"):
        return answers.encoded(sessions.detail_of(f"{session_id}/audio"))
    archived.for_operators(callers.grant(), "The audio")
    path = archived.ask("audio", sessions.chosen(session_id), session=session_id)
    if path is None:
        raise NotFound(f"There is no audio of the session {session_id[:100]!r}.")
    try:
        # Made in Flask, since a file is one of the few answers here that may be asked for in parts.
        answer = send_file(path, OGG, conditional=True, etag=True, max_age=None)
    except FileNotFoundError as error:
        raise NotFound(f"The audio of the session {session_id[:100]!r} is gone.") from error
    answer.headers.update(answers.NOT_CACHED)
    return answer
