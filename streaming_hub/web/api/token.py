"""`POST /api/token`: LiveKit's standard token endpoint, for `TokenSource.endpoint` of its clients and for Talk."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec
from flask import Blueprint, Response, request

from streaming_hub.access import JOIN, require_room
from streaming_hub.access.limits import Action
from streaming_hub.errors import Forbidden, Unavailable, UnsupportedMedia
from streaming_hub.livekit import tokens
from streaming_hub.livekit.tokens import TokenRequest
from streaming_hub.web import answers, bodies, callers
from streaming_hub.web.about import LIVEKIT, About, Answer, json
from streaming_hub.web.api.answer_types import Token
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from streaming_hub.access import Grant
    from streaming_hub.services import Services

blueprint = Blueprint("token", __name__)

MAX_BODY_BYTES: Final = 64 * 1024
_CAPITAL = re.compile(r"(?<=[a-z])([A-Z])")


def _about() -> About:
    example = {
        "server_url": "ws://localhost:7880",
        "participant_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
    }
    return About(
        group=LIVEKIT,
        summary="A LiveKit token for one participant",
        text="LiveKit's standard token endpoint, for `TokenSource.endpoint` of its clients. All fields are "
        "optional. Without a room, the hub picks one.",
        body=(json(TokenRequest, {"room_name": "support-7", "participant_identity": "alice"}),),
        answers=(Answer(201, "A token.", (json(Token, example),)),),
    )


@endpoint(
    blueprint,
    "POST",
    "/api/token",
    scope=JOIN,
    errors=(UnsupportedMedia, Unavailable),
    about=_about,
)
def token() -> Response:
    """Return a token for one participant in one room, within the caller's own rooms and lifetime."""
    grant = callers.grant()
    callers.limit(Action.TOKEN, grant)
    parts = services()
    asked = _read()
    room = _room(grant, asked)
    minter, url = parts.minter, parts.settings.livekit_url
    if minter is None or url is None:
        raise Unavailable(_missing(parts), retry_after=60)
    identity = asked.participant_identity or f"user-{secrets.token_hex(6)}"
    seconds = tokens.PARTICIPANT_SECONDS
    if grant.expires_at is not None:
        seconds = min(seconds, grant.expires_at - parts.clock())
    made = minter.participant(asked, room, identity, seconds)
    if parts.recall is not None and not (asked.room_config or {}).get("agents"):
        parts.recall.entered(room)
    body: Token = {"server_url": url, "participant_token": made}
    return answers.json(body, 201)


def _read() -> TokenRequest:
    request.max_content_length = MAX_BODY_BYTES
    body = request.get_data(cache=False)
    if body.strip() and request.mimetype != "application/json":
        raise UnsupportedMedia(f"Content-Type {request.mimetype!r}: expected application/json, or no body.")
    return parse_request(body)


def parse_request(body: bytes) -> TokenRequest:
    """Read a request; LiveKit's clients write snake_case, others may write camelCase. Unknown fields are ignored.

    Raises:
        BadRequest: not JSON.
        InvalidBody: a field is of the wrong type; names it.
    """
    if not body.strip():
        return TokenRequest()
    fields = bodies.read(body, dict[str, Any])
    plain = {_CAPITAL.sub(r"_\1", name).lower(): value for name, value in fields.items()}
    try:
        return msgspec.convert(plain, TokenRequest)
    except msgspec.ValidationError as error:
        raise bodies.refusal(error, TokenRequest) from error


def _room(grant: Grant, asked: TokenRequest) -> str:
    if asked.room_name:
        require_room(grant, asked.room_name)
        return asked.room_name
    if grant.rooms is None:
        return f"room-{secrets.token_hex(6)}"
    if len(grant.rooms) == 1:
        return next(iter(grant.rooms))
    raise Forbidden("This credential is limited to certain rooms: name one of them in `room_name`.")


def _missing(parts: Services) -> str:
    settings = parts.settings
    needed = {
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_API_KEY": settings.livekit_api_key,
        "LIVEKIT_API_SECRET": settings.livekit_api_secret,
    }
    missing = [name for name, value in needed.items() if not value]
    return f"LiveKit is not configured: set {', '.join(missing)} and restart the server."
