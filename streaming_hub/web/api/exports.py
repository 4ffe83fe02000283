"""A session as a file to download."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

import msgspec
from flask import Blueprint, Response, request

from streaming_hub.access import SUBSCRIBE
from streaming_hub.errors import BadRequest, Conflict, NotFound, Unavailable
from streaming_hub.events.types.figures import SessionReport
from streaming_hub.outlets.exports import FORMATS
from streaming_hub.web import answers, parameters, paths, query
from streaming_hub.web.about import ARCHIVE, About, Answer, Content, Parameter
from streaming_hub.web.api import archived, sessions
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("exports", __name__)

NAME: Final = "session"
_MOST_OF_ID: Final = 80
_decode = msgspec.json.Decoder().decode


def _about() -> About:
    contents = tuple(
        Content(
            form.media.partition(";")[0],
            ({"type": "object"} if name == "json" else {"type": "string"},),
            {"Example": {"session": SessionReport.example["session"]} if name == "json" else name.upper()},
        )
        for name, form in FORMATS.items()
    )
    return About(
        group=ARCHIVE,
        summary="A session as a file",
        text="Captions, a readable transcript, a table of its turns, or its JSON; for a live session, so far.",
        parameters=(
            archived.SESSION_ID,
            archived.ROOM,
            Parameter(
                "format",
                "query",
                parameters.choice(*FORMATS),
                "The format; `json` by default.",
                "vtt",
            ),
        ),
        answers=(Answer(200, "The file.", contents),),
    )


@endpoint(
    blueprint,
    "GET",
    "/api/sessions/<path:session_id>/export",
    scope=SUBSCRIBE,
    errors=(BadRequest, NotFound, Conflict, Unavailable),
    about=_about,
)
def export(session_id: str) -> Response:
    """Return a session in one of several formats."""
    if not paths.ends_with(request.environ, "export"):
        return answers.encoded(sessions.detail_of(f"{session_id}/export"))
    arguments = sessions.chosen(session_id, "format")
    name = query.choice(request.args, "format", FORMATS, "json")
    found = archived.ask("session", arguments, session=session_id)
    form = FORMATS[name]
    text = services().offload(lambda: form.write(_decode(found)))
    disposition = {"Content-Disposition": f"attachment; {file_name(session_id, name)}"}
    return Response(text, headers=answers.NOT_CACHED | disposition, content_type=form.media)


def file_name(session_id: str, extension: str) -> str:
    """Return the parameters that name the file (RFC 6266): in ASCII, and unchanged if that differs."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", session_id)[:_MOST_OF_ID].strip("._-")
    short = f"{NAME}-{plain or 'unnamed'}.{extension}"
    full = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]+', "_", session_id)[:_MOST_OF_ID]
    exact = f"{NAME}-{full}.{extension}"
    return (
        f'filename="{short}"'
        if exact == short
        else f"filename=\"{short}\"; filename*=UTF-8''{quote(exact, safe='')}"
    )
