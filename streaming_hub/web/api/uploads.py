"""`POST /observability/...`: accepts what LiveKit's agents upload, in place of LiveKit Cloud's Agent Insights.

The body is on disk before the agent gets its 200; the archive's process does everything else later. Nothing here
waits for the database, applies a rate limit or responds 429 or 503: the agent's job would be killed for it
(docs/guides/any-agent.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from streaming_hub.archive.uploads.spool import Head
from streaming_hub.errors import BadRequest, HubError, TooLarge, Unauthorized, UnsupportedMedia
from streaming_hub.livekit import uploads as tokens
from streaming_hub.web import answers
from streaming_hub.web.about import JSON, LIVEKIT, About, Answer, Content, json
from streaming_hub.web.api.answer_types import UploadsOff
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.archive.uploads.spool import Part
    from streaming_hub.services import Services

blueprint = Blueprint("uploads", __name__)

MAX_BODY: Final = 64 * 1024 * 1024
"""Maximum bytes of a body as sent; an hour of audio has about 50 MB."""
PIECE: Final = 64 * 1024
MULTIPART: Final = "multipart/form-data"
_BOUNDARY: Final = re.compile(r'boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70})"?', re.ASCII)


def _about(summary: str, *media: str) -> Callable[[], About]:
    binary = {"type": "string", "format": "binary"}
    taken = [Content(one, (binary,), {"Example": ""}) for one in media if one == OTLP[0]]
    taken += [Content(JSON, ({"type": "object"},), {"Example": {}})]
    return lambda: About(
        group=LIVEKIT,
        summary=summary,
        text="For LiveKit's agents, in place of Agent Insights. The JWT in `Authorization` is checked "
        "with LIVEKIT_API_SECRET. The upload is on disk when the response arrives.",
        body=tuple(Content(one, (binary,), {"Example": ""}) for one in media),
        body_required=True,
        answers=(
            Answer(200, "Accepted.", tuple(taken)),
            Answer(
                401,
                "The token is wrong; or uploads are off, and this body makes the SDK stop sending them.",
                (
                    json(UploadsOff, {"msg": tokens.DISABLED}),
                    Content(PROBLEM, ("Problem",), {"Example": _REFUSED}),
                ),
            ),
        ),
    )


OTLP: Final = ("application/x-protobuf", "application/json")
PROBLEM: Final = "application/problem+json"
_REFUSED: Final = {
    "type": "about:blank",
    "title": "Unauthorized",
    "status": 401,
    "detail": "The upload's token is not signed with this hub's LIVEKIT_API_SECRET.",
}
ERRORS: Final = (BadRequest, Unauthorized, TooLarge, UnsupportedMedia)


@endpoint(
    blueprint,
    "POST",
    "/observability/traces/otlp/v0",
    signed=True,
    errors=ERRORS,
    about=_about("An agent's spans", *OTLP),
)
def traces() -> Response:
    """Accept spans."""
    return _take("traces")


@endpoint(
    blueprint,
    "POST",
    "/observability/logs/otlp/v0",
    signed=True,
    errors=ERRORS,
    about=_about("An agent's log", *OTLP),
)
def logs() -> Response:
    """Accept log lines and reports."""
    return _take("logs")


@endpoint(
    blueprint,
    "POST",
    "/observability/metrics/otlp/v0",
    signed=True,
    errors=ERRORS,
    about=_about("An agent's metrics", *OTLP),
)
def metrics() -> Response:
    """Accept metrics."""
    return _take("metrics")


@endpoint(
    blueprint,
    "POST",
    "/observability/recordings/v0",
    signed=True,
    errors=ERRORS,
    about=_about("An agent's recording of a call", MULTIPART),
)
def recordings() -> Response:
    """Accept a recording: the chat history, and audio if there is any."""
    return _take("recordings")


def _take(kind: str) -> Response:
    parts = services()
    settings, spool = parts.settings, parts.uploads
    if spool is None or settings.livekit_api_key is None or settings.livekit_api_secret is None:
        return answers.json({"msg": tokens.DISABLED}, 401)
    try:
        tokens.verify(
            request.headers.get("Authorization"),
            api_key=settings.livekit_api_key,
            api_secret=settings.livekit_api_secret,
            now=parts.clock(),
        )
        head = _head(kind)
        request.max_content_length = MAX_BODY
        if (request.content_length or 0) > MAX_BODY:
            raise TooLarge(f"The upload has {request.content_length} bytes; at most {MAX_BODY} are accepted.")
        outcome = _keep(parts, head)
    except HubError as error:
        spool.count(kind, _OUTCOMES.get(type(error), "undecodable"))
        raise
    spool.count(kind, outcome)
    if head.content_type == OTLP[0]:
        # The protocol's empty response.
        return Response(b"", content_type=head.content_type)
    return answers.json({})


_OUTCOMES: Final = {Unauthorized: "refused", TooLarge: "too_large"}


def _head(kind: str) -> Head:
    """Read the headers that describe the body.

    Raises:
        UnsupportedMedia: it is not accepted here.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if kind == "recordings":
        boundary = _BOUNDARY.search(request.headers.get("Content-Type", ""))
        if request.mimetype != MULTIPART or boundary is None:
            raise UnsupportedMedia(
                f"Content-Type {request.mimetype[:100]!r}: expected {MULTIPART} with a boundary."
            )
        if encoding not in ("", "identity"):
            raise UnsupportedMedia("Content-Encoding: recordings must not be compressed.")
        return Head(kind, f"{MULTIPART}; boundary={boundary[1]}")
    # Loaded with the first upload: not every hub gets one.
    from streaming_hub.archive.uploads import otlp  # noqa: PLC0415

    if request.mimetype not in otlp.TYPES:
        raise UnsupportedMedia(
            f"Content-Type {request.mimetype[:100]!r}: expected {' or '.join(otlp.TYPES)}."
        )
    if encoding not in otlp.ENCODINGS:
        raise UnsupportedMedia(f"Content-Encoding {encoding[:100]!r}: expected gzip, or none.")
    return Head(kind, request.mimetype, encoding)


def _keep(parts: Services, head: Head) -> str:
    """Write the body to disk; return the outcome.

    Raises:
        BadRequest: it did not arrive in full, or cannot be decoded.
        TooLarge: it is too large.
    """
    spool = parts.uploads
    assert spool is not None  # noqa: S101 - checked by the caller
    try:
        with spool.begin(head) as part:
            _receive(part)
            parts.offload(lambda: _check_and_keep(part, head))
    except OSError as error:
        # A full spool or disk must not end the agent's job.
        parts.log_upload_lost(error)
        return "dropped"
    return "accepted"


def _receive(part: Part) -> None:
    while True:
        try:
            piece = request.stream.read(PIECE)
        except ClientDisconnected as error:
            raise BadRequest("The upload did not arrive in full.") from error
        except RequestEntityTooLarge as error:
            raise TooLarge(
                f"The upload has more than {MAX_BODY} bytes, the most that is accepted."
            ) from error
        if not piece:
            break
        part.write(piece)
    if request.content_length is not None and part.size < request.content_length:
        raise BadRequest("The upload did not arrive in full.")


def _check_and_keep(part: Part, head: Head) -> None:
    if head.kind == "recordings":
        end = f"--{head.content_type.partition('boundary=')[2]}--".encode()
        if end not in part.last(len(end) + 16):
            raise BadRequest("The upload is not complete multipart/form-data.")
    else:
        from streaming_hub.archive.uploads import otlp  # noqa: PLC0415 - see `_head`

        try:
            otlp.check(head.kind, head.content_type, otlp.unpacked(part.body(), head.encoding))
        except otlp.TooLong as error:
            raise TooLarge(f"The upload has {error}.") from error
        except otlp.Undecodable as error:
            raise BadRequest(f"The upload cannot be decoded: {error}.") from error
    part.keep()
